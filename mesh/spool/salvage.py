"""Saves what can be saved out of a damaged file: every record whose checksum is right, wherever it lies.

Records keep their names; new ones get another producer's, for nobody knows which numbers were given.

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
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from mesh.errors import SpoolError
from mesh.spool import schema
from mesh.spool.counters import Counters
from mesh.spool.pages import Found, Pages
from mesh.spool.record import SpoolRecord

__all__ = ["Tail", "finish", "graft", "keep_wal", "read_tail", "salvage"]

_log = logging.getLogger("mesh.spool")

_BATCH = 1000
_DAMAGED_MAX = 10_000
_KNOWN = """
SELECT EXISTS (SELECT 1 FROM quarantine WHERE key = ?1)
    OR coalesce((SELECT key + records > ?1 FROM ready WHERE key <= ?1 ORDER BY key DESC LIMIT 1), FALSE)"""
"""Whether there is a record with this key, alone or in a bundle."""


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
        for found in Pages(file, log).records(first):
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
            (known,) = execute(_KNOWN, (key,)).fetchone()
            if not known:
                execute("INSERT INTO ready VALUES (?, 1, ?)", (key, row))
                counters.ready += 1
                counters.octets += len(row)
                added += 1
        counters.producer = os.urandom(16)
        execute("UPDATE counters SET row = ? WHERE id = 1", (counters.pack(),))
        execute("COMMIT")
    finally:
        if connection.in_transaction:
            execute("ROLLBACK")
    return added


def _fill(fresh: Path, found: Iterator[Found]) -> tuple[int, int]:
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
                execute("INSERT OR IGNORE INTO ready VALUES (?, 1, ?)", (key, row))
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
    for row, why in damaged:
        seq = int.from_bytes(row[28:36], "big") & schema.SEQ_MASK  # a bit of it may have changed
        keys = ((queue << schema.SEQ_BITS | seq,) for queue in queues.values())
        if any(connection.execute(_KNOWN, key).fetchone()[0] for key in keys):
            continue
        if not queues:
            queues["damaged"] = 1
            connection.execute("INSERT INTO queues VALUES (1, 'damaged')")
        key = next(iter(queues.values())) << schema.SEQ_BITS | counters.next_seq
        connection.execute("INSERT INTO quarantine VALUES (?, ?, ?)", (key, row, why))
        counters.next_seq += 1
        kept += 1
    return kept


def _scan(path: Path) -> Iterator[Found]:
    """Yield what looks like a record in a file and its WAL, the oldest images of a page first."""
    with _mapped(path) as file, _mapped(path.with_name(path.name + "-wal")) as log:
        yield from Pages(file, log).records()


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
