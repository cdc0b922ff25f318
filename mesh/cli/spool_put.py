"""`mesh spool put`: put records; they are on disk when it says so."""

from __future__ import annotations

import argparse
import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from mesh import Spool
from mesh.cli.exits import Exit, UsageError
from mesh.cli.options import non_negative
from mesh.cli.progress import progress
from mesh.cli.spool import add_directory, add_quota_options, method_name, records
from mesh.cli.text import compact, complain
from mesh.spool.listen.intake import pieces

__all__ = ["add_arguments", "run"]

_READ_OCTETS = 256 << 10
_LINE_MAX = 60 << 20
"""A line that is longer could not be sent."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Put records into a spool, which is made if it is not there, and say how many are on disk. "
        "A program that delivers, such as mesh spool run, takes them from there, now or later."
    )
    add_directory(parser)
    parser.add_argument(
        "method", type=method_name, metavar="METHOD", help="the inbox that takes them, such as warehouse.ingest"
    )
    parser.add_argument(
        "bodies",
        nargs="*",
        default=[],
        metavar="TEXT",
        help="each is a record; without any, and without --file, each line of standard input is one",
    )
    parser.add_argument(
        "--file", action="append", default=[], metavar="FILE", help="all of it is one record; may be repeated"
    )
    parser.add_argument("--stream", default="", metavar="NAME", help="records of one stream keep their order")
    parser.add_argument(
        "--timeout", type=non_negative, metavar="SECONDS", help="how long to wait for room (default: for ever)"
    )
    add_quota_options(parser, ("block", "reject", "drop-oldest"))
    parser.add_argument("--json", action="store_true", help="say the numbers of the records as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Put them; return the exit code."""
    given = [os.fsencode(text) for text in args.bodies] + [Path(name).read_bytes() for name in args.file]
    if not given and sys.stdin is None:
        raise UsageError("there is no standard input; give records as arguments, or with --file")
    spool = Spool(
        args.dir,
        deliver=False,
        records_max=args.max_records,
        octets_max=args.max_size,
        when_full=args.when_full,
    )
    tally = _Tally()
    try:
        with spool:

            def put(bodies: Iterable[bytes]) -> None:
                for piece in pieces([*bodies]):
                    tally.add(spool.put_many(args.method, piece, stream=args.stream, timeout=args.timeout))

            if given:
                put(given)
            else:
                _put_lines(put, tally)
    except BaseException:
        if tally.count:
            complain(f"note: on disk: {records(tally.count)}, up to number {tally.last}")
        raise
    if args.json:
        print(compact({"put": tally.count, "first": tally.first, "last": tally.last}))
    else:
        print(f"on disk: {records(tally.count)}")
    return Exit.OK


class _Tally:
    """What was put."""

    def __init__(self) -> None:
        self.count = 0
        self.first: int | None = None
        self.last: int | None = None

    def add(self, seqs: list[int]) -> None:
        self.count += len(seqs)
        if self.first is None:
            self.first = seqs[0]
        self.last = seqs[-1]


def _put_lines(put: Callable[[Iterable[bytes]], None], tally: _Tally) -> None:
    if sys.stdin.isatty():
        complain("note: each line that you write is a record; Ctrl-D ends")
    status = os.fstat(sys.stdin.fileno())
    total = status.st_size if stat.S_ISREG(status.st_mode) else None
    with progress(total) as show:
        done = 0
        for octets, lines in _lines():
            put(lines)
            done += octets
            show(done, records(tally.count))


def _lines() -> Iterator[tuple[int, list[bytes]]]:
    """Yield lines as they come, several at a time, each without its end, and how many octets were read for them."""
    rest = b""
    while octets := os.read(sys.stdin.fileno(), _READ_OCTETS):
        *lines, rest = (rest + octets).split(b"\n")
        if len(rest) > _LINE_MAX:
            raise UsageError(f"a line of standard input has more than {_LINE_MAX} octets; give it with --file")
        yield len(octets), lines
    if rest:
        yield 0, [rest]
