"""The command line of mesh-top."""

from __future__ import annotations

import argparse
import contextlib
import re
import textwrap
from collections.abc import Sequence
from typing import NoReturn

from mesh.cli.exits import EPILOG, UsageError
from mesh.cli.options import add_client_options, positive
from mesh.top.columns import FIELDS, STATES, Field, Order, field_of

__all__ = ["parse"]

_DESCRIPTION = """\
Show every server of the mesh, live: state, round trip, calls, errors, percentiles, processor, memory.
Press ? in it for the keys. When its output is no terminal, it prints one plain table and ends."""
_DELAY_S_MIN, _DELAY_S_MAX = 0.1, 3600.0


class _Parser(argparse.ArgumentParser):
    """Tells what is wrong in one sentence, by raising UsageError."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; 'mesh-top --help' says what can be given")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the arguments. Raises UsageError."""
    parser = _Parser(
        prog="mesh-top",
        description=_DESCRIPTION,
        epilog=f"{_fields()}\n\n{EPILOG}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "-d", dest="delay_s", metavar="SECONDS", type=_delay, default=1.0, help="between refreshes (default: 1)"
    )
    parser.add_argument("-n", dest="count", metavar="COUNT", type=positive, help="end after so many refreshes")
    parser.add_argument(
        "-s",
        dest="order",
        metavar="[-]FIELD",
        type=_order,
        default=Order(),
        help="sort by this field; with - the highest first (default: name)",
    )
    parser.add_argument(
        "-f",
        dest="filter",
        metavar="WORDS",
        default="",
        help="only servers that have each of these words in name, services, state, address, source or version",
    )
    parser.add_argument(
        "-o",
        dest="fields",
        metavar="FIELD,...",
        type=_fields_of,
        default=(),
        help="show these fields, in this order (default: columns as there is room; CSV: those; JSON: all fields)",
    )
    parser.add_argument(
        "--all", action="store_true", help="keep servers that are dead or gone, and show those of other realms"
    )
    parser.add_argument("--once", action="store_true", help="print one table after SECONDS and end")
    parser.add_argument(
        "--json", action="store_true", help="print a JSON object for each server and refresh, one a line"
    )
    parser.add_argument("--csv", action="store_true", help="print a line of CSV for each server and refresh")
    add_client_options(parser)
    options = parser.parse_args(_joined(words))
    if options.json and options.csv:
        raise UsageError("--json and --csv exclude each other; give one of them")
    alone = [field.key for field in options.fields if not field.title]
    if alone and not options.json:
        raise UsageError(f"the field {alone[0]!r} has room in JSON alone; add --json")
    return options


def _joined(words: Sequence[str]) -> list[str]:
    """Put `-s -calls` into one word: argparse takes the second for an option."""
    joined: list[str] = []
    for word in words:
        if joined and joined[-1] == "-s" and re.match("-[A-Za-z]", word):
            joined[-1] += word
        else:
            joined.append(word)
    return joined


def _fields() -> str:
    lines = ["fields for -s, -o, JSON and CSV (by name or by the title of the column):"]
    for field in FIELDS:
        title = f"({field.title}) " if field.title else ""
        lines += textwrap.wrap(
            title + field.meaning, 100, initial_indent=f"  {field.key:<15}", subsequent_indent=" " * 17
        )
    lines += ["", "states:", *(f"  {state:<15}{meaning}" for state, meaning in STATES.items())]
    return "\n".join(lines)


def _delay(text: str) -> float:
    with contextlib.suppress(ValueError):
        if _DELAY_S_MIN <= float(text) <= _DELAY_S_MAX:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give seconds from {_DELAY_S_MIN:g} to {_DELAY_S_MAX:g}")


def _order(text: str) -> Order:
    try:
        return Order.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def _fields_of(text: str) -> tuple[Field, ...]:
    try:
        return tuple(dict.fromkeys(field_of(name.strip()) for name in text.split(",")))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
