"""Saves what can be saved out of a damaged file: every record whose checksum is right, wherever it lies.

The pages of the file and of its WAL are read as they are, without SQLite, whose way through them may be what is
damaged. A record that was delivered or purged may still lie in a page that is free; it is delivered once more, and the
inbox knows it. Records keep their names; new ones get another producer's, for nobody knows which numbers were given.

The damaged file is kept beside the new one. Whatever instant the process or the machine dies at, the next one to open
the spool finds the old file, or a new one that is complete.
"""

from __future__ import annotations

import contextlib
import logging
import mmap
import os
import shutil
import sqlite3
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mesh.errors import SpoolError
from mesh.spool import schema, wal
from mesh.spool.counters import Counters
from mesh.spool.record import HEAD_OCTETS, MAGIC, SpoolRecord

__all__ = ["Tail", "finish", "graft", "keep_wal", "read_tail", "salvage"]

_log = logging.getLogger("mesh.spool")

_LEAF = 0x0D
_LEAF_TYPES = frozenset({_LEAF, *(_LEAF ^ 1 << bit for bit in range(8))})
"""What the first octet of a page with records may be when one bit of it may have changed."""
_PAGE = schema.PAGE_OCTETS
_LOCAL_MAX = _PAGE - 35
_LOCAL_MIN = (_PAGE - 12) * 32 // 255 - 23
"""How much of a row lies in its own page if it does not all fit there (sqlite.org/fileformat2.html, section 1.6)."""
_OVERFLOW = _PAGE - 4
_OCTETS_MAX = 1 << 30
_BATCH = 1000
_WHY_MAX = 3
"""Octets of the number that says how long a reason is."""
_DAMAGED_MAX = 10_000


class _Found(NamedTuple):
    """A run of octets that looks like a record."""

    row: bytes
    why: str | None
    """The reason why it is in quarantine; None if it waits."""
    record: SpoolRecord | None
    """The record, if its checksum is right."""


def salvage(directory: Path, why: str) -> None:
    """Put a new file in the place of a damaged one, with every record that is whole; the old one is kept.

    Nobody may change the file meanwhile, and this process must have no connection to it. Raises SpoolError.
    """
    path = directory / schema.FILE
    fresh = path.with_name(path.name + ".new")
    for leftover in directory.glob(fresh.name + "*"):
        leftover.unlink()
    try:
        saved, damaged = _fill(fresh, _scan(path))
    except sqlite3.Error as error:
        raise SpoolError(
            f"{why}; the records could not be carried over ({error}): make as much room on the disk as {path} takes, "
            "then open the spool again",
            path=str(directory),
        ) from None
    fresh.rename(directory / schema.SALVAGED)
    schema.sync_directory(directory)
    kept = finish(directory)
    _log.warning(
        "%s; %d records were saved, %d are damaged and in quarantine, the old file is kept as %s",
        why,
        saved,
        damaged,
        kept,
    )


def finish(directory: Path) -> str:
    """Put a salvaged file in its place, if there is one; return the name under which the old one is kept."""
    salvaged, path = directory / schema.SALVAGED, directory / schema.FILE
    if not salvaged.exists():
        return ""
    kept = directory / time.strftime("damaged-%Y%m%dT%H%M%SZ", time.gmtime(salvaged.stat().st_mtime))
    for suffix in ("", "-wal"):
        old = path.with_name(path.name + suffix)
        try:
            os.link(old, kept.with_name(f"{kept.name}.db{suffix}"))
        except (FileNotFoundError, FileExistsError):
            pass
    # The old WAL must be gone before the new file has the name that it belongs to.
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    schema.sync_directory(directory)
    salvaged.rename(path)
    schema.sync_directory(directory)
    return f"{kept.name}.db"


class Tail(NamedTuple):
    """What is in the last transaction of a WAL that is not whole; it may have been acknowledged."""

    records: Sequence[SpoolRecord]
    whole: bool
    """Whether no record in it is damaged."""


def read_tail(directory: Path, first: int) -> Tail:
    """Return the records of a WAL's frames from this one on."""
    records: dict[tuple[bytes, int], SpoolRecord] = {}
    whole = True
    with _mapped(directory / schema.FILE) as file, _mapped(directory / f"{schema.FILE}-wal") as log:
        for found in _Pages(file, log).records(first):
            if found.record is None:
                whole = False
            else:
                records[found.record.producer, found.record.seq] = found.record
    return Tail(list(records.values()), whole)


def keep_wal(directory: Path) -> str:
    """Keep a copy of the WAL beside it; return its name."""
    kept = directory / time.strftime("damaged-%Y%m%dT%H%M%SZ.db-wal", time.gmtime())
    shutil.copyfile(directory / f"{schema.FILE}-wal", kept)
    return kept.name


def graft(directory: Path, connection: sqlite3.Connection, records: Sequence[SpoolRecord]) -> int:
    """Add those of these records that are not there; return how many.

    They keep their names; new ones get another producer's, for others may have been delivered already under the names
    that would come next.
    """
    execute = connection.execute
    execute("BEGIN IMMEDIATE")
    try:
        counters = schema.read_counters(directory, connection)
        queues = {method: queue for queue, method in execute("SELECT id, method FROM queues")}
        added = 0
        for record in records:
            queue = queues.get(record.method)
            if queue is None:
                queue = queues[record.method] = max(queues.values(), default=0) + 1
                execute("INSERT INTO queues VALUES (?, ?)", (queue, record.method))
            key, row = queue << schema.SEQ_BITS | record.seq, record.pack()
            counters.next_seq = max(counters.next_seq, record.seq + 1)
            if execute("SELECT 1 FROM quarantine WHERE key = ?", (key,)).fetchone() is None:
                new = execute("INSERT OR IGNORE INTO ready VALUES (?, ?)", (key, row)).rowcount
                counters.ready += new
                counters.octets += new * len(row)
                added += new
        counters.producer = os.urandom(16)
        execute("UPDATE counters SET row = ? WHERE id = 1", (counters.pack(),))
        execute("COMMIT")
    finally:
        if connection.in_transaction:
            execute("ROLLBACK")
    return added


def _fill(fresh: Path, found: Iterator[_Found]) -> tuple[int, int]:
    """Make a file of what was found; return how many records are whole and how many are not."""
    counters = Counters(os.urandom(16))
    schema.create(fresh, counters.producer)
    connection = sqlite3.connect(fresh, isolation_level=None)
    try:
        execute = connection.execute
        execute("PRAGMA synchronous=FULL")
        queues: dict[str, int] = {}
        damaged: list[tuple[bytes, str]] = []
        highest = 0
        execute("BEGIN")
        for number, (row, why, record) in enumerate(found, 1):
            if record is None:
                if len(damaged) < _DAMAGED_MAX:
                    damaged.append((row, "damaged: its checksum is wrong"))
                continue
            queue = queues.get(record.method)
            if queue is None:
                queue = queues[record.method] = len(queues) + 1
                execute("INSERT INTO queues VALUES (?, ?)", (queue, record.method))
            key = queue << schema.SEQ_BITS | record.seq
            highest = max(highest, record.seq)
            if why is None:
                execute("INSERT OR IGNORE INTO ready VALUES (?, ?)", (key, row))
            else:
                execute("INSERT OR IGNORE INTO quarantine VALUES (?, ?, ?)", (key, row, why))
            if number % _BATCH == 0:
                execute("COMMIT")
                execute("BEGIN")
        execute("DELETE FROM ready WHERE key IN (SELECT key FROM quarantine)")
        counters.next_seq = highest + 1
        broken = _keep_damaged(connection, damaged, counters, queues)
        counters.ready, octets = execute("SELECT count(*), total(length(row)) FROM ready").fetchone()
        counters.quarantined, more = execute("SELECT count(*), total(length(row)) FROM quarantine").fetchone()
        counters.octets = int(octets + more)
        execute("UPDATE counters SET row = ? WHERE id = 1", (counters.pack(),))
        execute("COMMIT")
        return counters.ready + counters.quarantined - broken, broken
    finally:
        connection.close()


def _keep_damaged(
    connection: sqlite3.Connection,
    damaged: Sequence[tuple[bytes, str]],
    counters: Counters,
    queues: dict[str, int],
) -> int:
    """Put what is no whole record, and was not found whole elsewhere, into quarantine; return how many these are."""
    kept = 0
    known = "SELECT 1 FROM ready WHERE key = ?1 UNION ALL SELECT 1 FROM quarantine WHERE key = ?1"
    for row, why in damaged:
        (seq,) = struct.unpack_from("!Q", row, 28)
        if any(connection.execute(known, (queue << schema.SEQ_BITS | seq,)).fetchone() for queue in queues.values()):
            continue
        if not queues:
            queues["damaged"] = 1
            connection.execute("INSERT INTO queues VALUES (1, 'damaged')")
        key = next(iter(queues.values())) << schema.SEQ_BITS | counters.next_seq
        connection.execute("INSERT INTO quarantine VALUES (?, ?, ?)", (key, row, why))
        counters.next_seq += 1
        kept += 1
    return kept


def _scan(path: Path) -> Iterator[_Found]:
    """Yield what looks like a record in a file and its WAL, the oldest images of a page first."""
    with _mapped(path) as file, _mapped(path.with_name(path.name + "-wal")) as log:
        yield from _Pages(file, log).records()


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[memoryview]:
    """Give a file as octets; none if it is empty or not there."""
    try:
        with path.open("rb") as file:
            octets = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if os.fstat(file.fileno()).st_size else None
    except FileNotFoundError:
        octets = None
    with contextlib.ExitStack() as stack:
        if octets is not None:
            stack.enter_context(contextlib.closing(octets))
        yield stack.enter_context(memoryview(octets or b""))


class _Cell(NamedTuple):
    """Where the row of a record lies that begins in some page."""

    head: int
    """Octets between the beginning of its cell's payload and the record (section 2.1 of the form)."""
    row: int
    why: int | None
    """Octets of the reason behind it; None if it is in no quarantine."""

    @property
    def local(self) -> int:
        """Octets of the payload in this page; the rest is in pages of its own."""
        payload = self.head + self.row + (self.why or 0)
        if payload <= _LOCAL_MAX:
            return payload
        local = _LOCAL_MIN + (payload - _LOCAL_MIN) % _OVERFLOW
        return local if local <= _LOCAL_MAX else _LOCAL_MIN


class _Pages:
    """The images of all pages: those of the file, then those of the WAL in the order in which they were written."""

    def __init__(self, file: memoryview, log: memoryview) -> None:
        self._file = file
        self._log = log
        self._frames = list(wal.frames(log, _PAGE))
        self._images: dict[int, list[int]] = {}
        """The frames of each page."""
        for number, frame in enumerate(self._frames):
            self._images.setdefault(frame.page, []).append(number)

    def records(self, first: int | None = None) -> Iterator[_Found]:
        """Yield what looks like a record, if a number is given only in frames from this one on."""
        for start in range(0, len(self._file) if first is None else 0, _PAGE):
            current = start // _PAGE + 1 not in self._images
            yield from self._in_page(bytes(self._file[start : start + _PAGE]), len(self._frames), current)
        for number, frame in enumerate(self._frames[first:], first or 0):
            image = bytes(self._log[frame.at : frame.at + _PAGE])
            yield from self._in_page(image, number, self._images[frame.page][-1] == number)

    def _in_page(self, image: bytes, frame: int, current: bool) -> Iterator[_Found]:
        if not image or image[0] not in _LEAF_TYPES:
            return
        at = image.find(MAGIC)
        while at >= 0:
            octets = int.from_bytes(image[at + 8 : at + 12], "big")
            if HEAD_OCTETS <= octets <= _OCTETS_MAX:
                cell = _cell(image, at, octets)
                found = self._found(image, at, cell, frame)
                if found.record is not None:
                    yield found
                    at += cell.local - cell.head - 1
                elif current and at - cell.head in _payloads(image):
                    yield found
            at = image.find(MAGIC, at + 1)

    def _found(self, image: bytes, at: int, cell: _Cell, frame: int) -> _Found:
        """Return the record at this place, put together from all its pages."""
        here = image[at : at - cell.head + cell.local]
        missing = cell.row + (cell.why or 0) - len(here)
        found = _Found(b"", None, None)
        for until in (len(self._frames), self._transaction_end(frame), -1) if missing else (-1,):
            octets = here
            if missing:
                first = int.from_bytes(image[at - cell.head + cell.local :][:4], "big")
                octets += self._overflow(first, missing, until)
            row = octets[: cell.row]
            why = None if cell.why is None else octets[cell.row :].decode(errors="replace")
            found = _Found(row, why, _whole(row))
            if found.record is not None:
                break
        return found

    def _overflow(self, page: int, octets: int, until: int) -> bytes:
        """Return octets that begin in an overflow page, as it was after the frame `until` at the latest."""
        parts: list[bytes] = []
        while octets > 0 and page > 0:
            image = self._image(page, until)
            page = int.from_bytes(image[:4], "big")
            parts.append(image[4 : 4 + octets])
            octets -= _OVERFLOW
        return b"".join(parts)

    def _image(self, page: int, until: int) -> bytes:
        for number in reversed(self._images.get(page, ())):
            if number <= until:
                at = self._frames[number].at
                return bytes(self._log[at : at + _PAGE])
        return bytes(self._file[(page - 1) * _PAGE : page * _PAGE])

    def _transaction_end(self, frame: int) -> int:
        while frame < len(self._frames) and not self._frames[frame].commits:
            frame += 1
        return frame


def _whole(row: bytes) -> SpoolRecord | None:
    try:
        return SpoolRecord.unpack(row)
    except ValueError:
        return None


def _cell(image: bytes, at: int, row: int) -> _Cell:
    """Return what the octets before a record say of it; if they make no sense, that of one that waits."""
    blob = _varint(2 * row + 12)
    for why_octets in range(_WHY_MAX + 1):
        head = 2 + len(blob) + why_octets
        before = image[max(0, at - head) : at]
        if before[: -why_octets or None] == bytes([head, 0]) + blob:
            if why_octets == 0:
                return _Cell(head, row, None)
            kind, end = _read_varint(before, len(before) - why_octets)
            if end == len(before) and kind >= 13 and kind % 2:
                return _Cell(head, row, (kind - 13) // 2)
    return _Cell(2 + len(blob), row, None)


def _payloads(image: bytes) -> set[int]:
    """Return where the payloads begin of which the page knows."""
    begins = set()
    (cells,) = struct.unpack_from(">H", image, 3)
    for number in range(min(cells, (_PAGE - 8) // 2)):
        (at,) = struct.unpack_from(">H", image, 8 + 2 * number)
        _, at = _read_varint(image, at)
        _, at = _read_varint(image, at)
        begins.add(at)
    return begins


def _varint(number: int) -> bytes:
    """Return a number of at most 56 bits as SQLite writes it."""
    parts = [number & 0x7F]
    while number := number >> 7:
        parts.append(number & 0x7F | 0x80)
    return bytes(reversed(parts))


def _read_varint(octets: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins here, and where it ends."""
    number = 0
    for octet in octets[at : at + 8]:
        at += 1
        number = number << 7 | octet & 0x7F
        if octet < 0x80:
            break
    return number, at
