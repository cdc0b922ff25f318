"""What can be changed in a spool, all within one transaction."""

from __future__ import annotations

import sqlite3
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate, chain
from pathlib import Path

from mesh.errors import SpoolCorrupt, SpoolError, SpoolFull
from mesh.spool.bundle import RECORDS_MAX, pieces, portions
from mesh.spool.counters import Counters
from mesh.spool.quota import Quota
from mesh.spool.ranges import Ranges
from mesh.spool.record import HEAD_OCTETS, pack_all
from mesh.spool.schema import EVERY_KEY, FILE, REACHING, SEQ_BITS, SEQ_MASK, TABLES, State, keys_of, read_counters

__all__ = ["QUEUES_MAX", "Transaction", "octets_of"]

QUEUES_MAX = 1 << 62 - SEQ_BITS
_ROWS = 100
"""Rows of one statement: half as many, or one by one, cost three times as much processor time a row (measured)."""
_INSERT = [f"INSERT INTO ready VALUES {', '.join(['(?, ?, ?)'] * count)}" for count in range(_ROWS + 1)]
_RECORDS: Mapping[State, str] = {"ready": "max(1, CAST(records AS INTEGER))", "quarantined": "1"}
"""How many records a row has."""


def octets_of(method: str, stream: str, bodies: Sequence[bytes]) -> int:
    """Return how many octets these records take."""
    return len(bodies) * (HEAD_OCTETS + len(method.encode()) + len(stream.encode())) + sum(map(len, bodies))


class Transaction:
    """The records and counters of a spool while nobody else can change them. What raises has changed nothing."""

    def __init__(self, directory: Path, connection: sqlite3.Connection, queues: Mapping[str, int]) -> None:
        self._path = str(directory)
        self._connection = connection
        self._queues = queues
        self.counters: Counters = read_counters(directory, connection)
        self._before = self.counters.pack()
        self.found: dict[str, int] = {}
        """Queues that were not known yet."""
        self._rows: list[tuple[int, int, bytes]] = []
        """New records, which are written together: key of the first, how many, and the bundle."""
        self.written: list[tuple[int, int, bytes]] = []
        """New records that were written."""
        self.removes: bool = False
        """Records that nobody has got are gone, or set aside."""

    def finish(self) -> bool:
        """Write the counters; return whether there is anything to commit."""
        self._write()
        after = self.counters.pack()
        if after == self._before:
            return False
        self._connection.execute("UPDATE counters SET row = ? WHERE id = 1", (after,))
        return True

    def append(self, quota: Quota, method: str, stream: str, bodies: Sequence[bytes], at: float) -> list[int]:
        """Add records; return their numbers. Raises SpoolFull."""
        counters = self.counters
        octets = octets_of(method, stream, bodies)
        base = self.queue_of(method) << SEQ_BITS
        excess = quota.excess(counters, len(bodies), octets)
        if excess != (0, 0):
            if quota.when_full != "drop-oldest":
                raise SpoolFull(
                    f"{self._path} is full: {counters.ready} records wait and {counters.quarantined} are in "
                    f"quarantine, {counters.octets} octets together; start a server that takes them, purge, or raise "
                    f"the quota ({quota.records_max} records, {quota.octets_max} octets)",
                    path=self._path,
                )
            self._drop_oldest(*excess)
        first, producer = counters.next_seq, counters.producer
        beside = octets_of(method, stream, (b"",))
        for begin, end in portions([beside + len(body) for body in bodies]):
            packed = pack_all(producer, first + begin, method, stream, at, bodies[begin:end])
            self._rows.append(((base | first) + begin, end - begin, packed))
        counters.next_seq += len(bodies)
        counters.ready += len(bodies)
        counters.put += len(bodies)
        counters.octets += octets
        return list(range(first, counters.next_seq))

    def _write(self) -> None:
        """Write the new records, so that statements see them."""
        rows, self._rows = self._rows, []
        self.written += rows
        for start in range(0, len(rows), _ROWS):
            some = rows[start : start + _ROWS]
            self._connection.execute(_INSERT[len(some)], list(chain.from_iterable(some)))

    def queue_of(self, method: str) -> int:
        """Return the number of a method's queue, a new one if it has none. Raises SpoolError: there are too many."""
        known = self._queues.get(method) or self.found.get(method)
        if known is not None:
            return known
        execute = self._connection.execute
        row = execute("SELECT id FROM queues WHERE method = ?", (method,)).fetchone()
        if row is None:
            (queue,) = execute("SELECT coalesce(max(id), 0) + 1 FROM queues").fetchone()
            if queue >= QUEUES_MAX:
                raise SpoolError(
                    f"{self._path}: records for {QUEUES_MAX} methods were put, more are not possible; put what "
                    f"tells them apart into the body",
                    path=self._path,
                )
            execute("INSERT INTO queues VALUES (?, ?)", (queue, method))
        else:
            (queue,) = row
        self.found[method] = queue
        return int(queue)

    def delivered(self, keys: Iterable[tuple[int, int]]) -> int:
        """Remove records that are delivered, first and last of each run; return how many of them were there."""
        gone = self._remove("ready", keys)
        self.counters.ready -= gone
        self.counters.delivered += gone
        return gone

    def quarantine(self, reasons: Mapping[int, str]) -> int:
        """Set records aside, each with its reason; return how many of them were there."""
        self._write()
        self.removes = self.removes or bool(reasons)
        execute = self._connection.execute
        moved = 0
        for first, last in Ranges.of(reasons):
            self._cut(first, last)
            for (key,) in execute("SELECT key FROM ready WHERE key BETWEEN ? AND ?", (first, last)).fetchall():
                for at, piece in enumerate(self._pieces(key), key):
                    execute("INSERT OR REPLACE INTO quarantine VALUES (?, ?, ?)", (at, piece, reasons[at]))
                    moved += 1
            execute("DELETE FROM ready WHERE key BETWEEN ? AND ?", (first, last))
        self.counters.ready -= moved
        self.counters.quarantined += moved
        return moved

    def replay(self, keys: Iterable[int] | None) -> int:
        """Have records in quarantine delivered again, all if none are named; return how many of them were there."""
        self._write()
        execute = self._connection.execute
        moved = 0
        for first, last in [EVERY_KEY] if keys is None else Ranges.of(keys):
            moved += execute(
                "INSERT OR REPLACE INTO ready SELECT key, 1, row FROM quarantine WHERE key BETWEEN ? AND ?",
                (first, last),
            ).rowcount
            execute("DELETE FROM quarantine WHERE key BETWEEN ? AND ?", (first, last))
        self.counters.quarantined -= moved
        self.counters.ready += moved
        return moved

    def purge(self, state: State, keys: Iterable[int] | None) -> int:
        """Remove records that nobody wants, all in this state if none are named; return how many there were."""
        return self._purge(state, [EVERY_KEY] if keys is None else Ranges.of(keys))

    def _purge(self, state: State, runs: Iterable[tuple[int, int]]) -> int:
        self.removes = True
        gone = self._remove(state, runs)
        if state == "ready":
            self.counters.ready -= gone
        else:
            self.counters.quarantined -= gone
        self.counters.dropped += gone
        return gone

    def _remove(self, state: State, runs: Iterable[tuple[int, int]]) -> int:
        self._write()
        execute, table = self._connection.execute, TABLES[state]
        gone = 0
        for first, last in runs:
            if state == "ready":
                self._cut(first, last)
            # The lengths stand in the heads of the rows: what fills pages of its own is not read for it.
            count, octets = execute(
                f"SELECT total({_RECORDS[state]}), total(length(row)) FROM {table} WHERE key BETWEEN ? AND ?",
                (first, last),
            ).fetchone()
            if count:
                execute(f"DELETE FROM {table} WHERE key BETWEEN ? AND ?", (first, last))
                gone += int(count)
                self.counters.octets -= int(octets)
        return gone

    def _cut(self, first: int, last: int) -> None:
        """Have no bundle reach into these keys from before, nor out of them."""
        execute = self._connection.execute
        for key in (first, last + 1):
            for (begins,) in execute(REACHING, (key,)).fetchall():
                bundle = self._pieces(begins)
                before, after = bundle[: key - begins], bundle[key - begins :]
                execute("UPDATE ready SET records = ?, row = ? WHERE key = ?", (len(before), b"".join(before), begins))
                execute("INSERT INTO ready VALUES (?, ?, ?)", (key, len(after), b"".join(after)))

    def _pieces(self, key: int) -> list[bytes]:
        """Return the records of a bundle one by one."""
        records, row = self._connection.execute("SELECT records, row FROM ready WHERE key = ?", (key,)).fetchone()
        if not isinstance(row, bytes) or not isinstance(records, int) or not 0 < records <= RECORDS_MAX:
            raise SpoolCorrupt(f"{self._path}/{FILE}: record {key & SEQ_MASK} is no record")
        try:
            return pieces(row, key & SEQ_MASK, records)
        except ValueError as error:
            raise SpoolCorrupt(f"{self._path}/{FILE}: {error}") from None

    def _drop_oldest(self, records: int, octets: int) -> None:
        """Remove at least so many records and octets, the oldest first, of whichever queue, waiting or set aside."""
        self._write()
        execute = self._connection.execute
        left = max(records, 1)
        while records > 0 or octets > 0:
            oldest = sorted(
                (key & SEQ_MASK, key, count, length, state)
                for state, table in TABLES.items()
                for (queue,) in execute("SELECT id FROM queues").fetchall()
                for key, count, length in execute(
                    f"SELECT key, {_RECORDS[state]}, coalesce(length(row), 0) FROM {table} WHERE key BETWEEN ? AND ? "
                    "ORDER BY key LIMIT ?",
                    (*keys_of(queue), left),
                )
            )
            gone: dict[State, list[tuple[int, int]]] = {"ready": [], "quarantined": []}
            for _, key, count, length, state in oldest:
                if records <= 0 and octets <= 0:
                    break
                if records < count and octets < length and count > 1:
                    count, length = self._enough(key, records, octets)
                gone[state].append((key, key + count - 1))
                records -= count
                octets -= length
            for state, runs in gone.items():
                self._purge(state, runs)
            left = 100

    def _enough(self, key: int, records: int, octets: int) -> tuple[int, int]:
        """Return how few of the first records of a bundle are at least so many, and their octets."""
        ends = list(accumulate(map(len, self._pieces(key))))
        enough = max(records, bisect_left(ends, octets) + 1)
        return enough, ends[enough - 1]
