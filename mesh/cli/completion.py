"""`mesh completion`: print the script that completes commands and options in a shell."""

from __future__ import annotations

import argparse

from mesh.cli.exits import Exit

__all__ = ["add_arguments", "run"]

_SHELLS = ("bash", "zsh", "fish")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Print the script that completes mesh in a shell. For bash and zsh put this into .bashrc or .zshrc: "
        'eval "$(mesh completion bash)". For fish: mesh completion fish > ~/.config/fish/completions/mesh.fish'
    )
    parser.add_argument("shell", choices=_SHELLS, help="your shell")


def run(args: argparse.Namespace) -> int:
    """Print the script."""
    from argcomplete.shell_integration import shellcode

    print(shellcode(["mesh"], shell=args.shell))
    return Exit.OK
