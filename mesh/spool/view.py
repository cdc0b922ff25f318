"""What the file of a spool has, as a connection sees it that only reads."""

from __future__ import annotations

import sqlite3
from bisect import bisect_right
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import msgspec

from mesh.errors import SpoolCorrupt
from mesh.spool import schema
from mesh.spool.bundle import RECORDS_MAX, are_whole, ends_of, pieces
from mesh.spool.counters import Counters
from mesh.spool.letters import Letter
from mesh.spool.record import SpoolRecord, octets_at, stream_of
from mesh.spool.schema import SEQ_MASK, TABLES, State, keys_of

__all__ = ["SpoolEntry", "View"]

_LOOK_OCTETS = 1 << 20
"""How much to look at before others have their turn."""
_COLUMNS = {"ready": "key, records, row, ''", "quarantined": "key, 1, row, why"}


class SpoolEntry(msgspec.Struct, frozen=True, gc=False):
    """A record as it lies in the spool."""

    seq: int
    """Its number."""
    method: str
    """The method that takes it."""
    state: State
    """Whether it waits or was set aside."""
    why: str
    """Why it was set aside."""
    record: SpoolRecord | None
    """The record; None if it is damaged."""


class _Row(NamedTuple):
    """A bundle as it lies in a table."""

    key: int
    """Of its first record."""
    records: int
    packed: bytes
    why: str


class View:
    """Looks for one caller at a time.

    Every method raises SpoolCorrupt where the file is damaged, and sqlite3.Error.

    Args:
        directory: Of the spool.
        connection: To its file.
    """

    def __init__(self, directory: Path, connection: sqlite3.Connection) -> None:
        self._directory = directory
        self._connection = connection

    def counters(self) -> Counters:
        """Return what the spool knows of itself."""
        return schema.read_counters(self._directory, self._connection)

    def version(self) -> int:
        """Return a number that is another one whenever somebody else has changed the file."""
        return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def queues(self) -> list[tuple[int, str]]:
        """Return number and method of each queue."""
        return self._connection.execute("SELECT id, method FROM queues ORDER BY id").fetchall()

    def methods(self) -> list[str]:
        """Return the methods for which records wait."""
        some = "SELECT 1 FROM ready WHERE key BETWEEN ? AND ? LIMIT 1"
        return [method for queue, method in self.queues() if self._connection.execute(some, keys_of(queue)).fetchone()]

    def letters(
        self, method: str, after_seq: int, limit: int, octets_max: int, damaged: dict[int, str]
    ) -> list[Letter]:
        """Return the next records of a method, those that were put together as one letter as far as that is possible.

        Args:
            method: Full name.
            after_seq: Only records with a greater number.
            limit: How many at the most.
            octets_max: Octets of all together, at the most; one record is returned even if it is larger.
            damaged: Gets the key of each record on the way that is damaged, and what is wrong with it.
        """
        found: list[Letter] = []
        row = self._connection.execute("SELECT id FROM queues WHERE method = ?", (method,)).fetchone()
        if row is None:
            return found
        begin, end = keys_of(row[0])
        with closing(self._rows("ready", begin | after_seq + 1, end)) as rows:
            for letter in (letter for row in rows for letter in self._sound(row, damaged)):
                if letter.row <= after_seq:
                    if letter.last <= after_seq:
                        continue
                    letter = letter.part(after_seq + 1, letter.last)
                fits = letter.records <= limit and len(letter.packed) <= octets_max
                if not fits and not found:
                    found.append(_portion(letter, limit, octets_max))
                if not fits:
                    break
                found.append(letter)
                limit -= letter.records
                octets_max -= len(letter.packed)
        return found

    def entries(self, limit: int, state: State, after_seq: int) -> list[SpoolEntry]:
        """Return records as they lie there, in the order in which they were put."""
        found: list[SpoolEntry] = []
        for queue, method in self.queues():
            some: list[SpoolEntry] = []
            begin, end = keys_of(queue)
            with closing(self._rows(state, begin | after_seq + 1, end)) as rows:
                for row in rows:
                    for seq, piece in self._pieces(row):
                        if seq > after_seq:
                            some.append(SpoolEntry(seq, method, state, row.why, _record(piece)))
                    if len(some) >= limit:
                        break
            found += some
        return sorted(found, key=lambda entry: entry.seq)[:limit]

    def checked(self, state: State, after: int, damaged: dict[int, str]) -> tuple[int, int]:
        """Look at the next records behind a key; return how many, 0 if there are no more, and the key of the last one.

        Args:
            state: Which ones.
            after: The key.
            damaged: Gets the key of each that is damaged, and what is wrong with it.
        """
        octets = records = 0
        with closing(self._rows(state, after + 1, schema.EVERY_KEY[1])) as rows:
            for row in rows:
                self._sound(row, damaged)
                records += row.records
                octets += len(row.packed)
                after = row.key + row.records - 1
                if octets >= _LOOK_OCTETS:
                    break
        return records, after

    def oldest_at(self) -> float | None:
        """Return when the oldest record that waits was put."""
        oldest: list[float] = []
        for queue, _ in self.queues():
            with closing(self._rows("ready", *keys_of(queue))) as rows:
                for row in rows:
                    record = _record(row.packed[: octets_at(row.packed)])
                    if record is not None:
                        oldest.append(record.at)
                    break
        return min(oldest, default=None)

    def floor(self) -> int:
        """Return a number below which no record waits or is set aside. All records are counted for it."""
        with schema.snapshot(self._connection):
            schema.check_counters(self._directory, self._connection)
            least = [self.counters().next_seq]
            for table in TABLES.values():
                for queue, _ in self.queues():
                    row = self._connection.execute(
                        f"SELECT key FROM {table} WHERE key BETWEEN ? AND ? ORDER BY key LIMIT 1", keys_of(queue)
                    ).fetchone()
                    if row is not None:
                        least.append(row[0] & SEQ_MASK)
        return min(least)

    def _sound(self, row: _Row, damaged: dict[int, str]) -> list[Letter]:
        """Return the records of a row that are whole; `damaged` gets the keys of the others, and what is wrong."""
        seq = row.key & SEQ_MASK
        if are_whole(row.packed, seq, row.records):
            return [Letter(seq, stream_of(row.packed), row.packed, row.records)]
        found: list[Letter] = []
        for number, piece in self._pieces(row):
            try:
                SpoolRecord.unpack(piece)
            except ValueError as error:
                damaged[row.key + number - seq] = f"damaged: {error}"
            else:
                found.append(Letter(number, stream_of(piece), piece))
        return found

    def _rows(self, state: State, key: int, last: int) -> Generator[_Row, None, None]:
        """Yield the rows with records from this key to the last; one that is not finished keeps the WAL as it is."""
        execute = self._connection.execute
        if state == "ready":
            (key,) = execute(schema.REACHING, (key,)).fetchone() or (key,)
        query = f"SELECT {_COLUMNS[state]} FROM {TABLES[state]} WHERE key BETWEEN ? AND ? ORDER BY key"
        with closing(execute(query, (key, last))) as rows:
            for key, records, packed, why in rows:
                if not isinstance(packed, bytes) or not isinstance(records, int) or not 0 < records <= RECORDS_MAX:
                    raise SpoolCorrupt(f"{self._directory / schema.FILE}: record {key & SEQ_MASK} is no record")
                yield _Row(key, records, packed, why)

    def _pieces(self, row: _Row) -> Iterator[tuple[int, bytes]]:
        seq = row.key & SEQ_MASK
        try:
            return zip(range(seq, seq + row.records), pieces(row.packed, seq, row.records), strict=True)
        except ValueError as error:
            raise SpoolCorrupt(f"{self._directory / schema.FILE}: {error}") from None


def _record(packed: bytes) -> SpoolRecord | None:
    try:
        return SpoolRecord.unpack(packed)
    except ValueError:
        return None


def _portion(letter: Letter, limit: int, octets_max: int) -> Letter:
    """Return as many of its records as may be, one at least."""
    fitting = bisect_right(ends_of(letter.packed), octets_max)
    return letter.part(letter.row, letter.row + max(1, min(limit, fitting)) - 1)
