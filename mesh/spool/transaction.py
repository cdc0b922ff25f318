"""What can be changed in a spool, all within one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

from mesh.errors import SpoolError, SpoolFull
from mesh.spool.counters import Counters
from mesh.spool.quota import Quota
from mesh.spool.ranges import Ranges
from mesh.spool.record import HEAD_OCTETS, pack_all
from mesh.spool.schema import SEQ_BITS, read_counters

__all__ = ["QUEUES_MAX", "TABLES", "State", "Transaction", "keys_of", "octets_of"]

QUEUES_MAX = 1 << 62 - SEQ_BITS
_SEQ_MASK = (1 << SEQ_BITS) - 1
_EVERY = [(0, (1 << 63) - 1)]
State = Literal["ready", "quarantined"]
_ROWS = 100
"""Rows of one statement: half as many, or one by one, cost three times as much processor time a row (measured)."""
_INSERT = [f"INSERT INTO ready VALUES {', '.join(['(?, ?)'] * count)}" for count in range(_ROWS + 1)]
TABLES: Mapping[State, str] = {"ready": "ready", "quarantined": "quarantine"}


def keys_of(queue: int) -> tuple[int, int]:
    """Return the least and the greatest key of a queue."""
    return queue << SEQ_BITS, queue << SEQ_BITS | _SEQ_MASK


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
        self._rows: list[tuple[int, bytes]] = []
        """New records, which are written together."""
        self.written: list[tuple[int, bytes]] = []
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
        self._rows += zip(
            range(base | first, (base | first) + len(bodies)),
            pack_all(producer, first, method, stream, at, bodies),
            strict=True,
        )
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
        for key, why in reasons.items():
            moved += execute(
                "INSERT OR REPLACE INTO quarantine SELECT key, row, ? FROM ready WHERE key = ?", (why, key)
            ).rowcount
            execute("DELETE FROM ready WHERE key = ?", (key,))
        self.counters.ready -= moved
        self.counters.quarantined += moved
        return moved

    def replay(self, keys: Iterable[int] | None) -> int:
        """Have records in quarantine delivered again, all if none are named; return how many of them were there."""
        self._write()
        execute = self._connection.execute
        moved = 0
        for first, last in _EVERY if keys is None else Ranges.of(keys):
            moved += execute(
                "INSERT OR REPLACE INTO ready SELECT key, row FROM quarantine WHERE key BETWEEN ? AND ?", (first, last)
            ).rowcount
            execute("DELETE FROM quarantine WHERE key BETWEEN ? AND ?", (first, last))
        self.counters.quarantined -= moved
        self.counters.ready += moved
        return moved

    def purge(self, state: State, keys: Iterable[int] | None) -> int:
        """Remove records that nobody wants, all in this state if none are named; return how many there were."""
        self.removes = True
        gone = self._remove(TABLES[state], _EVERY if keys is None else Ranges.of(keys))
        if state == "ready":
            self.counters.ready -= gone
        else:
            self.counters.quarantined -= gone
        self.counters.dropped += gone
        return gone

    def _remove(self, table: str, ranges: Iterable[tuple[int, int]]) -> int:
        self._write()
        execute = self._connection.execute
        gone = 0
        for first, last in ranges:
            # The lengths stand in the heads of the rows: a body that fills pages of its own is not read for it.
            count, octets = execute(
                f"SELECT count(*), total(length(row)) FROM {table} WHERE key BETWEEN ? AND ?", (first, last)
            ).fetchone()
            if count:
                execute(f"DELETE FROM {table} WHERE key BETWEEN ? AND ?", (first, last))
                gone += count
                self.counters.octets -= int(octets)
        return gone

    def _drop_oldest(self, records: int, octets: int) -> None:
        """Remove at least so many records and octets, the oldest first, of whichever queue, waiting or set aside."""
        self._write()
        execute = self._connection.execute
        left = max(records, 1)
        while records > 0 or octets > 0:
            oldest = sorted(
                (key & _SEQ_MASK, key, length, state)
                for state, table in TABLES.items()
                for (queue,) in execute("SELECT id FROM queues").fetchall()
                for key, length in execute(
                    f"SELECT key, length(row) FROM {table} WHERE key BETWEEN ? AND ? ORDER BY key LIMIT ?",
                    (*keys_of(queue), left),
                )
            )
            gone: dict[State, list[int]] = {"ready": [], "quarantined": []}
            for _, key, length, state in oldest:
                if records <= 0 and octets <= 0:
                    break
                gone[state].append(key)
                records -= 1
                octets -= length
            for state, keys in gone.items():
                self.purge(state, keys)
            left = 100
