"""`mesh spool purge`: remove records for good."""

from __future__ import annotations

import argparse

from mesh.cli.exits import Exit
from mesh.cli.spool import add_directory, add_records, chosen_records, look_into, records
from mesh.cli.text import compact

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Remove records for good, without delivering them: those that were set aside, with --ready those that wait."
    )
    add_directory(parser)
    add_records(parser, "of them")
    parser.add_argument("--ready", action="store_true", help="records that wait to be delivered")
    parser.add_argument("--json", action="store_true", help="say how many as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do it; return the exit code, 1 if none of them was there."""
    seqs = chosen_records(args)
    with look_into(args.dir) as spool:
        count = spool.purge(seqs, state="ready" if args.ready else "quarantined")
    print(compact({"purged": count}) if args.json else f"removed: {records(count)}")
    return Exit.OK if count or seqs is None else Exit.FAILED
