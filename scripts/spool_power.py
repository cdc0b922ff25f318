"""Cuts the power of a spool at thousands of instants, and looks whether everything acknowledged is there afterwards.

    python -m scripts.spool_power --points 10000

A real run of the shipped code is recorded with strace: several programs one after another, threads that put one by one
and in groups, deliveries, records set aside, checkpoints, one program that is killed, one whose file is damaged. At
each instant the disk of `scripts.spool_disk` tells what a power cut may leave; the shipped code opens that. Every
record whose put had returned before, and that nobody had begun to remove, must be there, bit by bit; nothing that was
never put may be; the next record must get a name that was never given to another one that was acknowledged; and
nothing may raise. A quarter as many cuts are made at an inbox, which must have stored what it acknowledged, once, and
must recognise it when it comes again.
"""

from __future__ import annotations

import argparse
import functools
import json
import logging
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from mesh import Spool
from mesh.spool.ranges import Ranges
from mesh.spool.store import Store
from scripts import spool_power_inbox as inbox
from scripts.spool_disk import Disk, Event, record

_METHOD = "warehouse.ingest"
PHASES = ("first", "killed", "after", "large", "damaged", "last")


@functools.cache
def body_of(number: int, octets: int) -> bytes:
    """Return the body of the put with this number."""
    return b"%d %d " % (number, octets) + random.Random(number).randbytes(octets)


# What is recorded


class _Subject:
    """The program that is recorded; each phase is a process of its own."""

    def __init__(self, directory: Path, seed: int) -> None:
        self._directory = directory
        self._rng = random.Random(seed)
        self.marks = os.open(directory.parent / "marks", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._next = seed * 1_000_000
        self._lock = threading.Lock()

    def mark(self, *values: object) -> None:
        os.write(self.marks, (json.dumps(values) + "\n").encode())

    def put(self, spool: Spool, count: int, octets: int, stream: str = "") -> list[int]:
        with self._lock:
            numbers = list(range(self._next, self._next + count))
            self._next += count
        self.mark("try", numbers, octets)
        seqs = spool.put_many(_METHOD, [body_of(number, octets) for number in numbers], stream=stream)
        store = spool._store
        assert store is not None
        self.mark("ack", numbers, seqs)
        return seqs

    def deliver(self, spool: Spool, count: int) -> None:
        store = spool._store
        assert store is not None
        seqs = [sent.seq for sent in store.fetch(_METHOD, 0, count)]
        self.mark("remove", seqs)
        store.settle(_METHOD, Ranges.of(seqs))

    def threads(self, spool: Spool, threads: int, puts: int) -> None:
        def work() -> None:
            for _ in range(puts):
                self.put(spool, 1, 120)

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()

    def run(self, phase: str) -> None:
        with Spool(self._directory, deliver=False) as spool:
            if phase == "large":
                for _ in range(30):
                    self.put(spool, 3, 50_000)
                    self.deliver(spool, 2)
                return
            for _ in range(6):
                self.put(spool, self._rng.randint(1, 30), self._rng.choice((0, 100, 3000, 9000)), "s")
                self.put(spool, 1, 200)
                self.deliver(spool, self._rng.randint(1, 10))
            self.threads(spool, 4, 4)
            spool.quarantine([entry.seq for entry in spool.peek(3)], "refused")
            self.deliver(spool, 20)
            if phase == "killed":
                os._exit(0)
        if phase == "damaged":
            self._damage()
            with Spool(self._directory, deliver=False) as spool:
                self.put(spool, 5, 300)

    def _damage(self) -> None:
        """Change a bit of what the spool knows of itself, so that every record must be carried over."""
        from mesh.spool import schema

        connection = schema.connect(self._directory)
        (row,) = connection.execute("SELECT row FROM counters").fetchone()
        connection.close()
        path = self._directory / schema.FILE
        content = path.read_bytes()
        descriptor = os.open(path, os.O_WRONLY)
        os.pwrite(descriptor, bytes([row[20] ^ 1]), content.index(row) + 20)
        os.fsync(descriptor)
        os.close(descriptor)


def record_run(directory: Path, end: str, phases: Sequence[str]) -> list[Event]:
    """Return what a run of the shipped code does to its files, in order."""
    files: dict[str, int] = {}
    events: list[Event] = []
    for seed, phase in enumerate(phases, 1):
        subject = ["-m", "scripts.spool_power", "--subject", end, phase, str(directory / "files"), str(seed)]
        events += record([sys.executable, *subject], directory / "files", files)
    return events


# What is checked


class Expectation(Protocol):
    """What must be there after a cut."""

    def take(self, event: Event) -> None:
        """Hear a mark of the program."""

    def judge(self, directory: Path) -> str:
        """Open what is left; return what is wrong in words, or nothing."""
        ...


@dataclass
class Expected:
    """What must be there, and what may."""

    tried: dict[int, int] = field(default_factory=dict)
    """Octets of every put that was begun, by its number."""
    kept: dict[int, int] = field(default_factory=dict)
    """Numbers of the puts that were acknowledged and not removed, by seq."""
    acknowledged: set[int] = field(default_factory=set)
    """Every seq that was ever acknowledged."""

    def take(self, event: Event) -> None:
        """Hear a mark."""
        what, *values = json.loads(event.octets)
        if what == "try":
            self.tried.update(dict.fromkeys(values[0], values[1]))
        elif what == "ack":
            self.kept.update(zip(values[1], values[0], strict=True))
            self.acknowledged.update(values[1])
        else:
            for seq in values[0]:
                self.kept.pop(seq, None)

    def judge(self, directory: Path) -> str:
        """Open what is left; return what is wrong in words, or nothing."""
        store = Store(directory)
        try:
            found: dict[int, bytes] = {}
            after = 0
            while records := store.fetch(_METHOD, after, 1000, 1 << 30):
                after = records[-1].seq
                found.update((kept.seq, kept.body) for kept in records)
            waiting = len(found)
            for entry in store.entries(10_000, "quarantined"):
                if entry.record is None:
                    return f"record {entry.seq} is damaged"
                found[entry.seq] = entry.record.body
            if waiting != store.stats().ready:
                return f"{store.stats().ready} records are counted and {waiting} wait"
            (new,) = store.change(store.putting(_METHOD, [b"new"], ""))
            producer = store.fetch(_METHOD, new - 1)[0].producer
        finally:
            store.close()
        for seq, number in self.kept.items():
            if found.get(seq) != body_of(number, self.tried[number]):
                return f"the acknowledged record {seq} is {'not there' if seq not in found else 'another'}"
        for seq, body in found.items():
            number, octets = (int(word) for word in body.split(b" ", 2)[:2])
            if self.tried.get(number) != octets or body != body_of(number, octets):
                return f"record {seq} was never put"
        if new in self.acknowledged:
            return f"the number {new} of {producer.hex()} is given a second time"
        return ""


def cut(events: list[Event], expected: Expectation, points: int, seed: int, share: tuple[int, int]) -> list[str]:
    """Cut the power at so many instants, of which this share is done here; return what was wrong."""
    logging.disable()
    rng = random.Random(seed)
    chosen: dict[int, int] = {}
    changes = [number for number, event in enumerate(events) if event.kind != "mark"]
    for point in range(points):
        number = changes[point * len(changes) // points] if points >= len(changes) else rng.choice(changes)
        chosen[number] = chosen.get(number, 0) + 1
    wrong: list[str] = []
    disk = Disk()
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as name:
        for number, event in enumerate(events):
            if event.kind == "mark":
                expected.take(event)
                continue
            disk.take(event)
            for variant in range(chosen.get(number, 0)):
                dice = random.Random(f"{seed} {number} {variant}")
                if (number + variant) % share[1] != share[0]:
                    continue
                directory = Path(name) / "files"
                directory.mkdir()
                for file, octets in disk.left(dice).items():
                    (directory / file).write_bytes(octets)
                try:
                    problem = expected.judge(directory)
                except Exception as error:
                    problem = f"{type(error).__name__}: {error}"
                if problem:
                    wrong.append(f"event {number} variant {variant} seed {seed}: {problem}")
                shutil.rmtree(directory)
    return wrong


@dataclass(frozen=True)
class Result:
    """What was found."""

    points: int
    """Instants at which the power was cut."""
    writes: int
    """Writes of the run, fsyncs of it, and records that it acknowledged."""
    syncs: int
    acknowledged: int
    wrong: list[str]
    """What must not be, each with how to find it again."""


def run(end: str, points: int, seed: int, processes: int, phases: Sequence[str] = ()) -> Result:
    """Record a run of one end, `spool` or `inbox`, cut its power at so many instants, and return what was found."""
    expected: Expectation = Expected() if end == "spool" else inbox.Expected()
    with tempfile.TemporaryDirectory() as name:
        events = record_run(Path(name).resolve(), end, phases or (PHASES if end == "spool" else inbox.PHASES))
    with ProcessPoolExecutor(processes) as pool:
        shares = [pool.submit(cut, events, expected, points, seed, (share, processes)) for share in range(processes)]
        wrong = [line for share in shares for line in share.result()]
    kinds = [event.kind for event in events]
    acknowledged = sum(
        len(json.loads(event.octets)[2]) for event in events if event.kind == "mark" and b'"ack"' in event.octets
    )
    return Result(points, kinds.count("write"), kinds.count("sync"), acknowledged, wrong)


def main() -> int:
    """Cut, and say what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=10_000, help="how many instants (10000)")
    parser.add_argument("--seed", type=int, default=1, help="of what a cut leaves (1)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="how many look at the same time")
    parser.add_argument("--json", action="store_true", help="print one line of JSON")
    parser.add_argument("--subject", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.subject:
        logging.disable()  # one phase damages its file, and is told so
        end, phase, directory, seed = options.subject
        subject = _Subject(Path(directory), int(seed))
        if end == "spool":
            subject.run(phase)
        else:
            inbox.run(phase, Path(directory), int(seed), subject.marks)
        return 0
    began = time.monotonic()
    shown: dict[str, object] = {}
    wrong = 0
    for end, points in (("spool", options.points), ("inbox", options.points // 4)):
        result = run(end, points, options.seed, options.processes)
        for line in result.wrong[:20]:
            print(f"{end}: {line}", file=sys.stderr)
        wrong += len(result.wrong)
        shown[end] = {
            "points": result.points,
            "writes": result.writes,
            "fsyncs": result.syncs,
            "acknowledged": result.acknowledged,
            "wrong": len(result.wrong),
        }
    shown["seconds"] = round(time.monotonic() - began, 1)
    print(json.dumps(shown) if options.json else "\n".join(f"{name}: {value}" for name, value in shown.items()))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
