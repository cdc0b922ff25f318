"""`mesh spool ls`: list the records that wait, or were set aside."""

from __future__ import annotations

import argparse
import time

from mesh.cli.exits import Exit
from mesh.cli.options import positive
from mesh.cli.spool import add_directory, as_json, look_into, number
from mesh.cli.tables import draw
from mesh.cli.text import compact, complain, printable
from mesh.top.figures import age_text, octets_text

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = "List the records that wait to be delivered, or that were set aside, oldest first."
    add_directory(parser)
    parser.add_argument("--quarantined", action="store_true", help="those that were set aside, and why")
    parser.add_argument("-n", "--limit", type=positive, default=100, metavar="N", help="at most so many (default: 100)")
    parser.add_argument("--after", type=number, default=0, metavar="SEQ", help="only those with a greater number")
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each record")


def run(args: argparse.Namespace) -> int:
    """List them; return the exit code."""
    state = "quarantined" if args.quarantined else "ready"
    with look_into(args.dir) as spool:
        entries = spool.peek(args.limit + 1, state="quarantined" if args.quarantined else "ready", after=args.after)
    shown, now = entries[: args.limit], time.time()
    if args.json:
        for entry in shown:
            print(compact(as_json(entry)))
    elif shown:
        rows = []
        for entry in shown:
            record = entry.record
            row = {"SEQ": str(entry.seq), "METHOD": printable(entry.method)}
            if record is not None:
                row["STREAM"] = printable(record.stream)
                row["AGE"] = age_text(max(0.0, now - record.at))
                row["SIZE"] = octets_text(len(record.body))
            if args.quarantined:
                row["WHY"] = printable(entry.why)
            rows.append(row)
        draw(rows, ("METHOD", "STREAM", "WHY"))
    if not args.json and not shown:
        complain(f"note: no record is {'in quarantine' if args.quarantined else 'waiting'}")
    if len(entries) > args.limit:
        complain(f"note: there are more {state} records; --after {shown[-1].seq} shows them, --limit more at a time")
    return Exit.OK
