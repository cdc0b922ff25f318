"""`mesh spool verify`: look at every record whether it is as it was."""

from __future__ import annotations

import argparse

from mesh.cli.exits import Exit
from mesh.cli.progress import progress
from mesh.cli.spool import add_directory, look_into, records
from mesh.cli.text import compact, complain

__all__ = ["add_arguments", "run"]

_NAMED_MAX = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Look at every page of the file and at the checksum of every record. What is damaged is set aside, and a file "
        "that is damaged is replaced by one with everything that could be saved. Programs that use the spool may go on."
    )
    add_directory(parser)
    parser.add_argument("--json", action="store_true", help="say what was found as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Look at all; return the exit code, 1 if anything was damaged."""
    with look_into(args.dir) as spool:
        stats = spool.stats()
        with progress(stats.ready + stats.quarantined) as show:
            report = spool.verify(lambda count: show(count, records(count)))
    whole = not report.repaired and not report.damaged
    if args.json:
        damaged = [{"seq": seq, "what": what} for seq, what in report.damaged.items()]
        print(compact({"ok": whole, "records": report.records, "repaired": report.repaired, "damaged": damaged}))
    elif whole:
        print(f"{records(report.records)}, all as put")
    else:
        print(records(report.records))
        if report.repaired:
            complain(report.repaired)
        for seq, what in list(report.damaged.items())[:_NAMED_MAX]:
            complain(f"record {seq}: {what}")
        if report.damaged:
            complain(f"damaged and set aside: {records(len(report.damaged))}; mesh spool purge removes them")
    return Exit.OK if whole else Exit.FAILED
