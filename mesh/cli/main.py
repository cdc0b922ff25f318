"""The program `mesh`: chooses the command, and turns every error into one sentence and an exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from discovery import DiscoveryError
from mesh import MeshError
from mesh.cli.exits import Exit, UsageError, exit_code
from mesh.cli.parser import COMMANDS, GROUPS, TOP, command_parser, group_parser, mesh_parser, unknown_command
from mesh.cli.text import complain

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run `mesh` with these arguments, by default those of the process, and return its exit code."""
    # Python has None for an output that the shell closed (>&-); print() would then take the other one.
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115  # open as long as the program runs
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name in Cyrillic is no reason to fail in a Latin-1 terminal
            stream.reconfigure(errors="backslashreplace")
    try:
        code = _run(list(sys.argv[1:] if argv is None else argv))
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return Exit.PIPE
    except Exception as error:
        if os.environ.get("MESH_DEBUG", "") not in ("", "0"):
            raise
        return _explain(error)


def _run(words: list[str]) -> int:
    if "_ARGCOMPLETE" in os.environ:
        return _complete()
    name = words[0] if words else ""
    if name == TOP.name:
        return _top(words[1:])
    if name in GROUPS:
        return _run_in_group(name, words[1:])
    if name in COMMANDS:
        command = COMMANDS[name]
        return command.run(command_parser(command).parse_intermixed_args(words[1:]))
    if name and not name.startswith("-"):
        raise unknown_command(name)
    parser = mesh_parser()
    if parser.parse_args(words).version:
        from importlib.metadata import version

        print(f"mesh {version('freelance-mesh')}")
        return Exit.OK
    parser.print_help(sys.stderr)
    return Exit.USAGE


def _run_in_group(group: str, words: list[str]) -> int:
    name = words[0] if words else ""
    if name in GROUPS[group]:
        command = GROUPS[group][name]
        return command.run(command_parser(command).parse_intermixed_args(words[1:]))
    if name and not name.startswith("-"):
        raise unknown_command(name, group)
    parser = group_parser(group)
    parser.parse_args(words)
    parser.print_help(sys.stderr)
    return Exit.USAGE


def _top(words: list[str]) -> int:
    from mesh.top.app import run as top

    return top(words)


def _complete() -> int:
    import argcomplete

    argcomplete.autocomplete(mesh_parser(described=os.environ.get("COMP_LINE", "").split()[1:3]))
    return Exit.OK


def _explain(error: Exception) -> int:
    if isinstance(error, MeshError | DiscoveryError | UsageError):
        complain(str(error))
        return exit_code(error)
    if isinstance(error, OSError):
        _forget_output()
        complain(f"{error.filename or 'input or output'}: {error.strerror or error}; check the file or the disk")
        return Exit.FAILED
    complain(f"a fault of this program ({type(error).__name__}: {error}); MESH_DEBUG=1 shows where, please report it")
    return Exit.BUG


def _forget_output() -> None:
    """Have the interpreter find nothing to flush at its end that could fail once more."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError):  # there is no such descriptor; then there is nothing to flush
        pass


if __name__ == "__main__":
    sys.exit(main())
