"""The commands, and how their arguments are read. A command's module is imported when it is chosen."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from mesh.cli.exits import EPILOG, UsageError

__all__ = ["COMMANDS", "Command", "command_parser", "mesh_parser", "unknown_command"]


@dataclass(frozen=True, slots=True)
class Command:
    """One command of `mesh`."""

    name: str
    help: str

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Describe its arguments to the parser."""
        add: Callable[[argparse.ArgumentParser], None] = import_module(f"mesh.cli.{self.name}").add_arguments
        add(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Do it; return the exit code."""
        run: Callable[[argparse.Namespace], int] = import_module(f"mesh.cli.{self.name}").run
        return run(args)


COMMANDS = {
    command.name: command
    for command in (
        Command("serve", "serve the services of a Python file or module until Ctrl-C"),
        Command("call", "call a method of whichever server offers it"),
        Command("ls", "list the servers that are there"),
        Command("ping", "ask servers for a sign of life"),
        Command("info", "tell what servers are and offer"),
        Command("stats", "tell how servers do: calls, errors, latencies"),
        Command("describe", "print signatures and documentation of live methods"),
        Command("bench", "put load on a method, and tell how its servers bear it"),
        Command("drain", "have servers finish their calls and take no more, or take calls again"),
        Command("doctor", "say why a server is not seen, and what to do about it"),
        Command("advertise", "put a server that does not speak mDNS on the mesh"),
        Command("completion", "print the script that completes commands in a shell"),
    )
}
TOP = Command("top", "show the servers live, as mesh-top does")
"""Has a program and a parser of its own."""


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one sentence, by raising UsageError."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; '{self.prog} --help' says what can be given")


class _HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Wraps a description of one line to the width of the terminal, and leaves texts of several lines as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return super()._fill_text(text, width, indent)
        return argparse.HelpFormatter._fill_text(self, text, width, indent)


def mesh_parser(described: Iterable[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of `mesh` itself; only of the commands named in `described` it knows the arguments."""
    parser = _Parser(
        prog="mesh",
        description="Serve and call methods in a mesh of servers that find each other.",
        epilog=EPILOG,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for command in (*COMMANDS.values(), TOP):
        added = commands.add_parser(command.name, help=command.help, allow_abbrev=False)
        if command.name in described and command is not TOP:
            command.add_arguments(added)
    return parser


def command_parser(command: Command) -> argparse.ArgumentParser:
    """Return the parser of what follows the command's name."""
    parser = _Parser(
        prog=f"mesh {command.name}",
        epilog=EPILOG,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    return parser


def unknown_command(name: str) -> UsageError:
    """Return the error that says which commands there are."""
    import difflib  # here, for commands that exist start sooner without it

    known = [*COMMANDS, TOP.name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"
    return UsageError(f"there is no command {name!r}; {hint}")
