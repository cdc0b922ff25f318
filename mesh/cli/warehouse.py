"""`mesh warehouse`: the far end of spools, which keeps each record once."""

from __future__ import annotations

import argparse
import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from mesh import MeshError
from mesh.cli.exits import Exit
from mesh.cli.hosting import add_server_options, serve
from mesh.cli.options import begin_logs
from mesh.cli.text import compact, complain

if TYPE_CHECKING:
    from mesh.spool.ledger import Counts
    from mesh.spool.warehouse import Warehouse

__all__ = ["add_arguments", "run"]

_EVERY_S = 1.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Keep what spools deliver until Ctrl-C or SIGTERM: each record once, however often it comes. "
        "A record is acknowledged when it is on disk."
    )
    kept = parser.add_mutually_exclusive_group(required=True)
    kept.add_argument("--db", type=Path, metavar="FILE", help="as rows of the table 'records' of an SQLite file")
    kept.add_argument(
        "--jsonl",
        type=Path,
        metavar="FILE",
        help="as lines of JSON; what was received stands beside it, in FILE.inbox; it may be moved away at any time",
    )
    parser.add_argument(
        "--service",
        default="warehouse",
        metavar="NAME",
        help="its methods are NAME.ingest, for spools, and NAME.count (default: %(default)s)",
    )
    add_server_options(
        parser,
        name="the service and eight digits that the file keeps",
        as_json="say what is served as one JSON object, and at the end what was stored as another",
    )


def run(args: argparse.Namespace) -> int:
    """Serve; return when it was told to stop and has done so."""
    logs = begin_logs(args.log_format)
    from mesh.spool.warehouse import Warehouse

    kept = Warehouse.in_table(args.db, args.service) if args.db else Warehouse.in_lines(args.jsonl, args.service)
    with kept as warehouse:
        with _shown(warehouse) as tell:
            name = args.name or f"{args.service}-{warehouse.mark}"
            serve(args, [warehouse.service], name=name, logs=logs, every_s=_EVERY_S, tell=tell)
        counts = warehouse.counts()
    if args.json:
        print(compact({"records": counts.records, "duplicates": counts.duplicates, "refusals": counts.refusals}))
    else:
        complain(_told(counts))
    return Exit.OK


def _told(counts: Counts) -> str:
    return f"records: {counts.records:,}, duplicates left out: {counts.duplicates:,}, refusals: {counts.refusals:,}"


@contextlib.contextmanager
def _shown(warehouse: Warehouse) -> Iterator[Callable[[], None]]:
    """Show on a terminal how many records there are, as they were at the last call of the function."""
    from rich.console import Console

    console = Console(stderr=True)
    if not console.is_terminal or console.is_dumb_terminal:
        yield lambda: None
        return
    before, looked_at = 0, 0.0

    def tell() -> None:
        nonlocal before, looked_at
        with contextlib.suppress(MeshError):  # of the disk: whoever sends records is told
            counts, now = warehouse.counts(), time.monotonic()
            rate = (counts.records - before) / (now - looked_at) if looked_at else 0.0
            before, looked_at = counts.records, now
            status.update(f"{_told(counts)}; {rate:,.0f} a second")

    with console.status("") as status:
        tell()
        yield tell
