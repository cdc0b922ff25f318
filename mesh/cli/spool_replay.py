"""`mesh spool replay`: have records that were set aside delivered after all."""

from __future__ import annotations

import argparse

from mesh.cli.exits import Exit
from mesh.cli.spool import add_directory, add_records, chosen_records, look_into, records
from mesh.cli.text import compact

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = "Have records that were set aside delivered after all, for instance when the inbox is mended."
    add_directory(parser)
    add_records(parser, "that were set aside")
    parser.add_argument("--json", action="store_true", help="say how many as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Do it; return the exit code, 1 if none of them was there."""
    seqs = chosen_records(args)
    with look_into(args.dir) as spool:
        count = spool.replay(seqs)
    print(compact({"replayed": count}) if args.json else f"to be delivered again: {records(count)}")
    return Exit.OK if count or seqs is None else Exit.FAILED
