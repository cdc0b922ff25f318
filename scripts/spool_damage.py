"""Flips one bit at a time in a spool's file or its WAL, and looks whether everything else comes out.

    python -m scripts.spool_damage --flips 1000

Each flip begins with the files as a killed process left them: records that lie in the file, others in the WAL, small
ones and some that fill pages of their own, waiting and in quarantine. The shipped code opens what the flip made of
them, delivers everything, and is asked what it has. The record whose own octets were hit may be missing, if that is
told: by a record in quarantine, or by the old file that is kept. No other record may be missing, none may be another
than was put, and nothing may raise.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mesh import Spool
from mesh.spool.ranges import Ranges
from mesh.spool.store import Store

_FILES = ("spool.db", "spool.db-wal", "spool.db-shm")
_METHODS = ("warehouse.ingest", "other.ingest")


@dataclass(frozen=True)
class Sample:
    """A spool as a killed process left it."""

    directory: Path
    bodies: dict[int, tuple[str, bytes]]
    """Method and body of every record, by number."""
    quarantined: frozenset[int]


def make_sample(directory: Path, rng: random.Random) -> Sample:
    """Make a spool whose records lie in the file and in the WAL."""
    bodies: dict[int, tuple[str, bytes]] = {}
    source = directory / "source"
    with Spool(source, deliver=False) as spool:

        def put(count: int) -> None:
            method = rng.choice(_METHODS)
            some = [rng.randbytes(rng.choice((0, 20, 200, 200, 200, 3900, 5000, 20_000))) for _ in range(count)]
            numbers = spool.put_many(method, some, stream=rng.choice(("", "", "a stream")))
            bodies.update(zip(numbers, ((method, body) for body in some), strict=True))

        for _ in range(30):
            put(rng.randint(1, 12))
        quarantined = rng.sample(sorted(bodies), 5)
        spool.quarantine(quarantined[:3], "refused five times: no such meter")
        # Some were delivered, so that pages are free.
        store = spool._store
        assert store is not None
        for seq in rng.sample(sorted(set(bodies) - set(quarantined)), 30):
            store.settle(bodies.pop(seq)[0], [(seq, seq)])
        store._file.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for _ in range(20):
            put(rng.randint(1, 6))
        spool.quarantine(quarantined[3:], "refused")
        for name in _FILES:
            shutil.copy(source / name, directory / name)
    return Sample(directory, bodies, frozenset(quarantined))


@dataclass
class Verdict:
    """What became of one flip."""

    kind: str
    """`unnoticed` by everything, which harms nobody; `quarantined`; `salvaged`."""
    missing: list[int]
    """Records that did not come out."""
    wrong: str = ""
    """What must not be."""


def try_flip(sample: Sample, directory: Path, name: str, bit: int, *, index: bool) -> Verdict:
    """Flip a bit of one file, and open what that makes.

    Args:
        sample: Where the files come from.
        directory: Where to put them; empty.
        name: The file.
        bit: Number of the bit in it.
        index: Whether the index of the WAL (`-shm`) is there, as after a kill; after a power cut it is not.
    """
    for other in _FILES if index else _FILES[:2]:
        shutil.copy(sample.directory / other, directory / other)
    with open(directory / name, "r+b") as file:
        file.seek(bit // 8)
        octet = file.read(1)[0]
        file.seek(bit // 8)
        file.write(bytes([octet ^ 1 << bit % 8]))
    got: dict[int, tuple[str, bytes]] = {}
    store = Store(directory)
    try:
        for method in store.methods():
            after = 0
            while records := store.fetch(method, after, 100):
                after = records[-1].seq
                got.update((record.seq, (record.method, record.body)) for record in records)
                store.settle(method, Ranges.of(record.seq for record in records))
        left = store.entries(1000, "quarantined")
        stats = store.stats()
        new = store.change(store.putting("a.b", [b"new"], ""))
    finally:
        store.close()
    got.update((entry.seq, (entry.method, entry.record.body)) for entry in left if entry.record is not None)
    missing = sorted(seq for seq, kept in sample.bodies.items() if got.get(seq) != kept)
    damaged = [entry for entry in left if entry.record is None]
    salvaged = any(directory.glob("damaged-*"))
    verdict = Verdict("salvaged" if salvaged else "quarantined" if damaged else "unnoticed", missing)
    if len(missing) > 1:
        verdict.wrong = f"{len(missing)} records are missing"
    elif missing and verdict.kind == "unnoticed":
        verdict.wrong = "a record is missing and nobody says so"
    elif stats.ready:
        verdict.wrong = f"{stats.ready} records wait although everything was delivered"
    elif new[0] <= max(sample.bodies):
        verdict.wrong = f"the new record has the number {new[0]}, which was given before"
    return verdict


def main() -> int:
    """Flip, and say what became of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--flips", type=int, default=1000, help="how many (1000)")
    parser.add_argument("--seed", type=int, default=1, help="of the records and of the bits (1)")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    options = parser.parse_args()
    logging.disable()  # a warning for each file that was saved
    began = time.monotonic()
    kinds, wrong = run(options.flips, options.seed)
    lost = kinds.pop("records lost", 0)
    result = {
        "flips": options.flips,
        **kinds,
        "records_hit_and_lost": lost,
        "wrong": len(wrong),
        "seconds": round(time.monotonic() - began, 1),
    }
    for line in wrong[:20]:
        print(line, file=sys.stderr)
    print(json.dumps(result) if options.json else ", ".join(f"{value} {name}" for name, value in result.items()))
    return 1 if wrong else 0


def run(flips: int, seed: int) -> tuple[Counter[str], list[str]]:
    """Flip so many bits; return how often what became of it, and what must not have."""
    rng = random.Random(seed)
    kinds: Counter[str] = Counter()
    wrong: list[str] = []
    # In memory where there is such a place: nothing here depends on a disk.
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        sample_in = Path(name) / "sample"
        sample_in.mkdir()
        sample = make_sample(sample_in, rng)
        sizes = [8 * (sample.directory / file).stat().st_size for file in _FILES[:2]]
        for number in range(flips):
            file = _FILES[number % 2]
            bit, index = rng.randrange(sizes[number % 2]), rng.random() < 0.5
            directory = Path(name) / "spool"
            directory.mkdir()
            try:
                verdict = try_flip(sample, directory, file, bit, index=index)
            except Exception as error:
                verdict = Verdict("raised", [], f"{type(error).__name__}: {error}")
            kinds[verdict.kind] += 1
            kinds["records lost"] += len(verdict.missing)
            if verdict.wrong:
                wrong.append(f"{file} bit {bit} index={index} seed={seed}: {verdict.wrong} ({verdict.kind})")
            shutil.rmtree(directory)
    return kinds, wrong


if __name__ == "__main__":
    sys.exit(main())
