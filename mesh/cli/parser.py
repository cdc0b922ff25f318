"""The commands, and how their arguments are read. A command's module is imported when it is chosen."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import NoReturn

from mesh.cli.exits import EPILOG, UsageError

__all__ = ["COMMANDS", "GROUPS", "TOP", "Command", "command_parser", "group_parser", "mesh_parser", "unknown_command"]


@dataclass(frozen=True, slots=True)
class Command:
    """One command of `mesh`."""

    name: str
    """One word, or two for a command of a group."""
    help: str

    @property
    def module(self) -> str:
        """The module that does it."""
        return f"mesh.cli.{self.name.replace(' ', '_')}"

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Describe its arguments to the parser."""
        add: Callable[[argparse.ArgumentParser], None] = import_module(self.module).add_arguments
        add(parser)

    def run(self, args: argparse.Namespace) -> int:
        """Do it; return the exit code."""
        run: Callable[[argparse.Namespace], int] = import_module(self.module).run
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
        Command("warehouse", "keep what spools deliver, each record once"),
        Command("spool", "keep records on disk until they are delivered: listen, put, look, repair"),
        Command("gateway", "answer HTTP: curl, browsers and cron call whichever server lives"),
        Command("advertise", "put a server that does not speak mDNS on the mesh"),
        Command("completion", "print the script that completes commands in a shell"),
    )
}
GROUPS = {
    "spool": {
        command.name.split()[1]: command
        for command in (
            Command("spool run", "listen for records, and deliver them, until Ctrl-C or SIGTERM"),
            Command("spool put", "put records: arguments, files, or the lines of standard input"),
            Command("spool stats", "tell how a spool stands"),
            Command("spool ls", "list the records that wait, or were set aside"),
            Command("spool peek", "print what is in records"),
            Command("spool quarantine", "set records aside, so that they are not delivered"),
            Command("spool replay", "have records that were set aside delivered after all"),
            Command("spool purge", "remove records for good"),
            Command("spool verify", "look at every record whether it is as it was"),
        )
    },
}
"""Commands that have commands, by their second word."""
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


def mesh_parser(described: Sequence[str] = ()) -> argparse.ArgumentParser:
    """Return the parser of `mesh` itself; it knows the arguments of one command, whose words are `described`."""
    parser = _Parser(
        prog="mesh",
        description="Serve and call methods in a mesh of servers that find each other.",
        epilog=EPILOG,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    _add_commands(parser, {**COMMANDS, TOP.name: TOP}, described)
    return parser


def _add_commands(parser: argparse.ArgumentParser, commands: Mapping[str, Command], described: Sequence[str]) -> None:
    """Add commands by name; the arguments of the one that `described` begins with."""
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command")
    for word, command in commands.items():
        added = subparsers.add_parser(word, help=command.help, allow_abbrev=False)
        if [word] != [*described[:1]] or command is TOP:
            continue
        if word in GROUPS:
            _add_commands(added, GROUPS[word], described[1:])
        else:
            command.add_arguments(added)


def group_parser(name: str) -> argparse.ArgumentParser:
    """Return the parser of a command that has commands; it knows none of their arguments."""
    parser = _Parser(
        prog=f"mesh {name}",
        description=f"{COMMANDS[name].help[0].upper()}{COMMANDS[name].help[1:]}.",
        epilog=EPILOG,
        formatter_class=_HelpFormatter,
        allow_abbrev=False,
    )
    _add_commands(parser, GROUPS[name], ())
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


def unknown_command(name: str, group: str = "") -> UsageError:
    """Return the error that says which commands there are, in a group or at all."""
    import difflib  # here, for commands that exist start sooner without it

    known = [*GROUPS[group]] if group else [*COMMANDS, TOP.name]
    near = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(known)}"
    return UsageError(f"there is no command {f'{group} {name}'.strip()!r}; {hint}")
