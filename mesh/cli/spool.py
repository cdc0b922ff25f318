"""What the commands of `mesh spool` share: which spool, which records, and how a record is shown."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mesh import LocalProtocolError, Spool, SpoolEntry
from mesh.cli.completers import complete_directories
from mesh.cli.exits import UsageError
from mesh.cli.options import octets
from mesh.spool.listen.intake import check_method
from mesh.spool.schema import FILE

__all__ = [
    "add_directory",
    "add_quota_options",
    "add_records",
    "as_json",
    "chosen_records",
    "look_into",
    "method_name",
    "number",
    "records",
]


def add_directory(parser: argparse.ArgumentParser) -> None:
    """Add the option that says which spool."""
    complete_directories(parser.add_argument("--dir", required=True, metavar="DIR", help="directory of the spool"))


def add_quota_options(parser: argparse.ArgumentParser, policies: Sequence[str]) -> None:
    """Add what says how much a spool takes; the first policy is the default."""
    parser.add_argument(
        "--max-records",
        type=number,
        default=10_000_000,
        metavar="N",
        help="most records that wait or were set aside (default: %(default)s)",
    )
    parser.add_argument(
        "--max-size", type=octets, default=8 << 30, metavar="SIZE", help="most octets of these records (default: 8G)"
    )
    parser.add_argument(
        "--when-full", choices=policies, default=policies[0], help="what to do beyond that (default: %(default)s)"
    )


def look_into(directory: str) -> Spool:
    """Return the spool, to be opened, for looking and changing; it is not made. Raises UsageError: there is none."""
    if not (Path(directory) / FILE).exists():
        raise UsageError(f"{directory} is no spool; name the directory that was given to mesh spool run or put")
    return Spool(directory, deliver=False)


def add_records(parser: argparse.ArgumentParser, which: str) -> None:
    """Add the arguments that name records; `which` are those that --all means."""
    parser.add_argument("seqs", nargs="*", type=number, metavar="SEQ", help="number of a record, as ls shows it")
    parser.add_argument("--all", action="store_true", help=f"all {which}")


def chosen_records(args: argparse.Namespace) -> list[int] | None:
    """Return the numbers that were given, None for all. Raises UsageError: neither or both were said."""
    if bool(args.seqs) == args.all:
        raise UsageError("name records by their numbers, or give --all")
    return args.seqs or None


def as_json(entry: SpoolEntry) -> dict[str, Any]:
    """Return a record as programs are told of it, without its body."""
    told: dict[str, Any] = {"seq": entry.seq, "state": entry.state, "method": entry.method, "why": entry.why or None}
    record = entry.record
    if record is None:
        return {**told, "damaged": True}
    return {**told, "stream": record.stream, "at": record.at, "octets": len(record.body)}


def method_name(text: str) -> str:
    """Read the name of a method."""
    try:
        return check_method(text)
    except LocalProtocolError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def number(text: str) -> int:
    """Read a whole number from 1 on that SQLite has."""
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:20]) < 1 << 50:
        raise argparse.ArgumentTypeError(f"{text!r:.40} is no whole number from 1 to {(1 << 50) - 1}")
    return int(text)


def records(count: int) -> str:
    """Return so many records in words."""
    return "1 record" if count == 1 else f"{count} records"
