"""`mesh spool quarantine`: set records aside, so that they are not delivered."""

from __future__ import annotations

import argparse

from mesh.cli.exits import Exit
from mesh.cli.spool import add_directory, look_into, number, records
from mesh.cli.text import compact

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Set records aside, so that they are not delivered until they are replayed. One that is on its way "
        "may be delivered all the same."
    )
    add_directory(parser)
    parser.add_argument("seqs", nargs="+", type=number, metavar="SEQ", help="number of a record, as ls shows it")
    parser.add_argument("--why", default="set aside by hand", metavar="TEXT", help="what ls says of them")
    parser.add_argument("--json", action="store_true", help="say how many as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do it; return the exit code, 1 if none of them was there."""
    with look_into(args.dir) as spool:
        count = spool.quarantine(args.seqs, args.why)
    print(compact({"quarantined": count}) if args.json else f"set aside: {records(count)}")
    return Exit.OK if count else Exit.FAILED
