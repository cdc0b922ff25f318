"""How fast records get on disk, without their delivery, beside a bare SQLite loop in the same run.

    python -m scripts.spool_put [--rounds N] [--records N] [--json]

Records of 200 octets are put in groups of 1000, 100 and one by one in one thread, beside a loop that inserts them with
one transaction and one fsync for each group and does nothing else; they take turns, and each round gives one ratio.
Then one by one by 64 threads, and by 1000 coroutines, who share fsyncs.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

from mesh import AsyncSpool, Spool
from scripts.spool_bench import bare

_METHOD = "warehouse.ingest"
_BODY = os.urandom(200)
_GROUPS = (1000, 100, 1)
_THREADS, _COROUTINES = 64, 1000


def put_many(folder: Path, group: int, records: int) -> float:
    """Return how many records a second one thread puts in groups."""
    with Spool(folder / "spool", deliver=False) as spool:
        begun = time.perf_counter()
        for _ in range(records // group):
            spool.put_many(_METHOD, [_BODY] * group)
        return records / (time.perf_counter() - begun)


def put_in_threads(folder: Path, threads: int, records: int) -> float:
    """Return how many records a second these threads put one by one."""
    with Spool(folder / "spool", deliver=False) as spool:

        def put() -> None:
            for _ in range(records // threads):
                spool.put(_METHOD, _BODY)

        workers = [threading.Thread(target=put) for _ in range(threads)]
        begun = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        return records / (time.perf_counter() - begun)


def put_in_coroutines(folder: Path, coroutines: int, records: int) -> float:
    """Return how many records a second these coroutines put one by one."""

    async def main() -> float:
        async with AsyncSpool(folder / "spool", deliver=False) as spool:

            async def put() -> None:
                for _ in range(records // coroutines):
                    await spool.put(_METHOD, _BODY)

            begun = time.perf_counter()
            await asyncio.gather(*(put() for _ in range(coroutines)))
            return records / (time.perf_counter() - begun)

    return asyncio.run(main())


def measure(rounds: int, records: int) -> dict[str, dict[str, float]]:
    """Return the medians, in records a second, and of the ratios."""
    found: dict[str, dict[str, float]] = {}
    for group in _GROUPS:
        few = max(group, records if group >= 100 else records // 50)
        theirs, ours = [], []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as name:
                theirs.append(bare(Path(name), group, few))
                ours.append(put_many(Path(name), group, few))
        found[f"groups of {group}"] = {
            "bare": statistics.median(theirs),
            "spool": statistics.median(ours),
            "ratio": statistics.median(one / other for one, other in zip(ours, theirs, strict=True)),
        }
    for who, run, count in (("threads", put_in_threads, _THREADS), ("coroutines", put_in_coroutines, _COROUTINES)):
        speeds = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as name:
                speeds.append(run(Path(name), count, records // 5))
        found[f"{count} {who}"] = {"spool": statistics.median(speeds)}
    return found


def main() -> int:
    """Measure, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="turns, of which the median counts (5)")
    parser.add_argument("--records", type=int, default=50_000, help="records of a turn (50000)")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    found = measure(options.rounds, options.records)
    if options.json:
        print(json.dumps(found))
        return 0
    for what, numbers in found.items():
        beside = f", bare SQLite {numbers['bare']:,.0f}, ratio {numbers['ratio']:.2f}" if "bare" in numbers else ""
        print(f"{what}: {numbers['spool']:,.0f} records a second{beside}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
