"""How fast records get from put to a warehouse's disk and are acknowledged, beside a bare SQLite loop in the same run.

    python -m scripts.spool_bench [--rounds N] [--records N] [--peers] [--backlog N] [--json] [--check]

Records of 200 octets are put in groups of 100 and of 1000. `bare` inserts them into a table of its own, one transaction
with one fsync for each group, and that is all. `spool` puts them, has them delivered to `mesh warehouse` in another
process and committed there, and waits until the last one is acknowledged: two fsyncs, two processes. The contenders
take turns, and each round gives one ratio. --peers adds mosquitto (QoS 1 through a bridge, persistence on), if it and
paho-mqtt are installed. --backlog looks at the memory of a spool that delivers so many records that were put before.

Exit code 1: something could not be measured, or with --check a ratio missed its limit (0.5 of bare, 3 times mosquitto).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from mesh import Spool
from scripts.spool_mosquitto import Mosquitto
from scripts.usage import resident_octets
from tests.helpers import free_port

__all__ = ["main"]

_METHOD = "warehouse.ingest"
_OCTETS = 200
_GROUPS = (100, 1000)
_BARE_MIN, _MOSQUITTO_MIN = 0.5, 3.0
_WAIT_S = 300.0


@dataclass(frozen=True)
class Row:
    """What was measured with one size of groups: records a second, and ratios, as medians over the rounds."""

    group: int
    bare_per_s: float
    spool_per_s: float
    to_bare: float
    mosquitto_per_s: float | None = None
    to_mosquitto: float | None = None

    @property
    def good(self) -> bool:
        """Whether it keeps its limits."""
        return self.to_bare >= _BARE_MIN and (self.to_mosquitto is None or self.to_mosquitto >= _MOSQUITTO_MIN)

    def __str__(self) -> str:
        text = (
            f"groups of {self.group}: bare SQLite {self.bare_per_s:,.0f} records a second, "
            f"spool {self.spool_per_s:,.0f}, which is {self.to_bare:.2f} of it"
        )
        if self.mosquitto_per_s is None:
            return text
        return f"{text}; mosquitto {self.mosquitto_per_s:,.0f}, {self.to_mosquitto:.1f} times fewer"


def bare(folder: Path, group: int, records: int) -> float:
    """Return how many records a second are inserted by a loop that does nothing else."""
    bodies = [(os.urandom(_OCTETS),)] * group
    with contextlib.closing(sqlite3.connect(folder / "bare.db", isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.execute("CREATE TABLE bare (id INTEGER PRIMARY KEY, body BLOB)")
        begun = time.perf_counter()
        for _ in range(records // group):
            db.execute("BEGIN IMMEDIATE")
            db.executemany("INSERT INTO bare (body) VALUES (?)", bodies)
            db.execute("COMMIT")
        return records / (time.perf_counter() - begun)


@contextlib.contextmanager
def _warehouse(folder: Path) -> Iterator[str]:
    """Run `mesh warehouse`, and yield its endpoint."""
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    words = ("warehouse", "--db", str(folder / "warehouse.db"), "--bind", endpoint, "--no-advertise")
    with subprocess.Popen(
        [sys.executable, "-m", "mesh.cli.main", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        assert process.stdout is not None
        try:
            process.stdout.readline()
            yield endpoint
        finally:
            process.terminate()


def spool(folder: Path, group: int, records: int) -> float:
    """Return how many records a second get from put to the acknowledgement of the warehouse."""
    bodies = [os.urandom(_OCTETS)] * group
    with (
        _warehouse(folder) as endpoint,
        Spool(folder / "spool", servers=[endpoint], discover=False) as near,
    ):
        near.put(_METHOD, b"is it there?")
        _flushed(near)
        begun = time.perf_counter()
        for _ in range(records // group):
            near.put_many(_METHOD, bodies)
        _flushed(near)
        return records / (time.perf_counter() - begun)


def _flushed(near: Spool) -> None:
    if not near.flush(_WAIT_S):
        raise RuntimeError(f"after {_WAIT_S:g} s {near.stats().ready} records still wait")


def backlog(records: int) -> dict[str, float]:
    """Return the memory of this process, in MiB: with a spool, with so many records in it, and while they go."""
    with tempfile.TemporaryDirectory(prefix="mesh-spool-bench-") as name:
        folder = Path(name)
        bodies = [os.urandom(_OCTETS)] * 1000
        with Spool(folder / "spool", deliver=False) as near:
            near.put_many(_METHOD, bodies)
            before = resident_octets(os.getpid())
            for _ in range(records // 1000 - 1):
                near.put_many(_METHOD, bodies)
            stored = resident_octets(os.getpid())
        most = 0
        with _warehouse(folder) as endpoint:
            begun = time.perf_counter()
            with Spool(folder / "spool", servers=[endpoint], discover=False) as near:
                while not near.flush(0.1):
                    most = max(most, resident_octets(os.getpid()))
                took = time.perf_counter() - begun
    mib = 1 << 20
    return {
        "records": records,
        "before_mib": before / mib,
        "stored_mib": stored / mib,
        "most_mib": most / mib,
        "delivered_per_s": records / took,
    }


def measure(rounds: int, records: int, broker: Mosquitto | None) -> list[Row]:
    """Let the contenders take turns, and return a row for each size of groups."""
    contenders: dict[str, Callable[[Path, int, int], float]] = {"bare": bare, "spool": spool}
    if broker is not None:
        contenders["mosquitto"] = broker.measure
    speeds: dict[tuple[int, str], list[float]] = {}
    for _ in range(rounds):
        for group in _GROUPS:
            for contender, run in contenders.items():
                with tempfile.TemporaryDirectory(prefix="mesh-spool-bench-") as folder:
                    speeds.setdefault((group, contender), []).append(run(Path(folder), group, records))
    return [_row(group, speeds, broker is not None) for group in _GROUPS]


def _row(group: int, speeds: dict[tuple[int, str], list[float]], peers: bool) -> Row:
    def ratio(base: str) -> float:
        pairs = zip(speeds[group, "spool"], speeds[group, base], strict=True)
        return statistics.median(ours / theirs for ours, theirs in pairs)

    return Row(
        group,
        statistics.median(speeds[group, "bare"]),
        statistics.median(speeds[group, "spool"]),
        ratio("bare"),
        statistics.median(speeds[group, "mosquitto"]) if peers else None,
        ratio("mosquitto") if peers else None,
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; return the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m scripts.spool_bench", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender has its turn (default: 5)")
    parser.add_argument("--records", type=int, default=50_000, help="of one turn (default: %(default)s)")
    parser.add_argument("--peers", action="store_true", help="measure mosquitto too")
    parser.add_argument("--backlog", type=int, metavar="N", help="look at the memory with N records, and nothing else")
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a ratio misses its limit")
    args = parser.parse_args(argv)
    if args.backlog is not None:
        memory = backlog(args.backlog)
        text = "{records:,} records: {before_mib:.0f} MiB with a spool, {stored_mib:.0f} with all of them in it, "
        text += "{most_mib:.0f} at the most while {delivered_per_s:,.0f} a second are delivered"
        print(json.dumps(memory) if args.json else text.format(**memory))
        return 0
    rows = measure(args.rounds, args.records, Mosquitto() if args.peers else None)
    for row in rows:
        print(json.dumps(asdict(row)) if args.json else row)
    return 0 if not args.check or all(row.good for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
