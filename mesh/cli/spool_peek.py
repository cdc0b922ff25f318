"""`mesh spool peek`: print what is in records."""

from __future__ import annotations

import argparse
import sys

from mesh import SpoolEntry
from mesh.cli.exits import Exit
from mesh.cli.options import positive
from mesh.cli.spool import add_directory, as_json, look_into, number
from mesh.cli.text import compact, complain, printable

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Print the bodies of the oldest records, or of those that are named: as they are, with a newline behind each; "
        "in a terminal without what could steer it."
    )
    add_directory(parser)
    parser.add_argument("seqs", nargs="*", type=number, metavar="SEQ", help="number of a record, as ls shows it")
    parser.add_argument(
        "-n", "--limit", type=positive, default=1, metavar="N", help="without SEQ: so many (default: 1)"
    )
    parser.add_argument("--quarantined", action="store_true", help="without SEQ: of those that were set aside")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a line for each, with its body as text, or in base64"
    )


def run(args: argparse.Namespace) -> int:
    """Print them; return the exit code, 1 if there is none, or one is not there."""
    with look_into(args.dir) as spool:
        if args.seqs:
            entries = [
                entry
                for seq in args.seqs
                for state in ("ready", "quarantined")
                for entry in spool.peek(1, state=state, after=seq - 1)
                if entry.seq == seq
            ]
        else:
            entries = spool.peek(args.limit, state="quarantined" if args.quarantined else "ready")
    for entry in entries:
        _print(entry, args.json)
    there = {entry.seq for entry in entries}
    missing = [seq for seq in args.seqs if seq not in there]
    for seq in missing:
        complain(f"{args.dir} has no record {seq}; it was delivered or purged, or never put: ls shows which there are")
    if not entries and not args.seqs:
        complain(f"note: no record is {'in quarantine' if args.quarantined else 'waiting'}")
    return Exit.OK if entries and not missing else Exit.FAILED


def _print(entry: SpoolEntry, json: bool) -> None:
    body = b"" if entry.record is None else entry.record.body
    if json:
        told = as_json(entry)
        if entry.record is not None:
            told |= _body(body)
        print(compact(told))
    elif entry.record is None:
        complain(f"record {entry.seq} is damaged; mesh spool verify says how")
    elif sys.stdout.isatty():
        print(printable(body.decode(errors="replace")))
    else:
        sys.stdout.buffer.write(body + b"\n")


def _body(body: bytes) -> dict[str, object]:
    try:
        return {"body": body.decode(), "encoding": "utf-8"}
    except UnicodeDecodeError:
        return {"body": body, "encoding": "base64"}
