"""`mesh spool stats`: tell how a spool stands."""

from __future__ import annotations

import argparse

from mesh import SpoolStats
from mesh.cli.exits import Exit
from mesh.cli.options import non_negative
from mesh.cli.spool import add_directory, look_into
from mesh.cli.tables import draw
from mesh.cli.text import compact
from mesh.signals import StopSignals
from mesh.top.figures import age_text, octets_text, rate_text

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Tell how many records wait (READY) and were set aside, how large and how old they are, and how many were put, "
        "delivered and dropped since the spool was made; with --delay again and again, with rates, until Ctrl-C."
    )
    add_directory(parser)
    parser.add_argument("-d", "--delay", type=non_negative, metavar="SECONDS", help="again after so long, with rates")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Look and tell; return the exit code."""
    with look_into(args.dir) as spool:
        if args.delay is None:
            _tell(spool.stats(), rates=False, json=args.json)
            return Exit.OK
        with StopSignals() as signals:
            while not signals.wait(args.delay):
                _tell(spool.stats(), rates=True, json=args.json)
    return Exit.OK


def _tell(stats: SpoolStats, rates: bool, json: bool) -> None:
    if json:
        told = {name: getattr(stats, name) for name in stats.__struct_fields__}
        del told["in_flight"]  # only the process that delivers knows
        if not rates:
            del told["put_per_s"], told["delivered_per_s"]
        print(compact(told), flush=True)
        return
    row = {
        "READY": str(stats.ready),
        "QUARANTINED": str(stats.quarantined),
        "SIZE": octets_text(stats.octets),
        "OLDEST": "-" if stats.oldest_age_s is None else age_text(stats.oldest_age_s),
        "PUT": str(stats.put),
        "DELIVERED": str(stats.delivered),
        "DROPPED": str(stats.dropped),
    }
    if rates:
        row |= {"PUT/S": rate_text(stats.put_per_s), "DELIVERED/S": rate_text(stats.delivered_per_s)}
    draw([row], ())
