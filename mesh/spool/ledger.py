"""The SQLite file of an inbox: what was received, in the same transaction as the effect."""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec

from mesh.errors import ConfigError, RemoteError, SpoolError, Status
from mesh.spool.ranges import Ranges

__all__ = ["Counts", "Ledger", "explain", "is_of_the_host"]

R = TypeVar("R")

_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS mesh_inbox (
    version INTEGER NOT NULL, mark TEXT NOT NULL, records INTEGER NOT NULL, duplicates INTEGER NOT NULL,
    refusals INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS mesh_inbox_received (
    producer BLOB NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, PRIMARY KEY (producer, last)
) WITHOUT ROWID;
"""
_BUSY_S = 5.0
_WAL_PAGES = 4000
"""When the WAL is written back: it holds 16 MiB then. Each time costs two more fsyncs."""

_HOST = {
    sqlite3.SQLITE_BUSY: "another program holds it: end that, or its transaction",
    sqlite3.SQLITE_LOCKED: "another program holds it: end that, or its transaction",
    sqlite3.SQLITE_FULL: "the disk is full: make room on it",
    sqlite3.SQLITE_IOERR: "the disk does not work: look at the system's log",
    sqlite3.SQLITE_READONLY: "it cannot be written: mend its permissions or the mount",
    sqlite3.SQLITE_PERM: "it cannot be written: mend its permissions",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: mend the path or the permissions of its directory",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_PROTOCOL: "its locks do not work: put it on a disk of this host",
    sqlite3.SQLITE_NOLFS: "the file system takes no file as large as this",
    sqlite3.SQLITE_CORRUPT: "it is damaged: rescue what can be read (sqlite3 FILE .recover), and begin with a new one",
    sqlite3.SQLITE_NOTADB: "it is no SQLite file: give another path",
}
"""What the file or the machine may suffer from, by SQLite's primary result code, with the remedy."""


def _primary(error: BaseException) -> int:
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_of_the_host(error: BaseException) -> bool:
    """Tell whether an error is no fault of the record: it will be stored when the machine is well again."""
    if isinstance(error, sqlite3.Error):
        return _primary(error) in _HOST
    if isinstance(error, RemoteError):
        return error.code in (Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED)
    return isinstance(error, OSError | MemoryError)


def explain(path: Path, error: BaseException) -> str:
    """Return a sentence about an error of the host, with a remedy."""
    if isinstance(error, sqlite3.Error):
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        return f"{path}: {_HOST.get(_primary(error), 'look at it with sqlite3')} ({name}: {error})"
    if isinstance(error, OSError):
        return f"{error.filename or path}: {error.strerror or error}; mend that, and the records come again"
    if isinstance(error, RemoteError):
        return error.message
    return f"{path}: {type(error).__name__}: {error}"


class Counts(msgspec.Struct, frozen=True):
    """What an inbox has done since its file was made."""

    records: int
    """Records stored."""
    duplicates: int
    """Records that came once more, and were acknowledged without an effect."""
    refusals: int
    """How often a record was refused; one that comes again and is refused again counts again."""
    producers: int
    """Spools that records came from."""


class Ledger:
    """Which records were received, kept as ranges of their numbers.

    One connection changes, within transactions that its owner begins and ends; another one looks.

    Args:
        path: Made if it is not there.
        schema: What the owner needs beside, as `CREATE TABLE IF NOT EXISTS …`.

    Raises:
        SpoolError: The file cannot be used.
        ConfigError: The schema is no SQL, or does not fit the file.
    """

    def __init__(self, path: Path, schema: str) -> None:
        self.path = path
        self._may_end = True
        """Whether a transaction may be begun or ended now: not by a handler."""
        self._looking = threading.Lock()
        try:
            self.connection: sqlite3.Connection = self._connect()
            try:
                self._prepare(schema)
                self._reader = self._connect()
                self._reader.execute("PRAGMA query_only=ON")
            except BaseException:
                self.connection.close()
                raise
        except sqlite3.Error as error:
            raise SpoolError(explain(path, error), path=str(path)) from None

    def close(self) -> None:
        """Let go of the file."""
        with self._looking:
            self._reader.close()
        self.connection.close()

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(
            self.path.absolute(), timeout=_BUSY_S, isolation_level=None, check_same_thread=False, cached_statements=256
        )

    def _prepare(self, schema: str) -> None:
        execute = self.connection.execute
        execute("PRAGMA journal_mode=WAL")
        # FULL: a transaction is on disk before its records are acknowledged.
        execute("PRAGMA synchronous=FULL")
        execute(f"PRAGMA wal_autocheckpoint={_WAL_PAGES}")
        execute("BEGIN IMMEDIATE")  # raises if the file cannot be written or is held
        try:
            for statement in filter(str.strip, _SCHEMA.split(";")):
                execute(statement)
            if execute("SELECT count(*) FROM mesh_inbox").fetchone() == (0,):
                execute("INSERT INTO mesh_inbox VALUES (?, ?, 0, 0, 0)", (_VERSION, secrets.token_hex(4)))
            row = execute("SELECT version, mark FROM mesh_inbox").fetchone()
            if row[0] != _VERSION:
                raise SpoolError(
                    f"{self.path} is the inbox of another version of this program (form {row[0]}; this one has "
                    f"{_VERSION}); use that version or a new file",
                    path=str(self.path),
                )
            self.mark: str = row[1]
            """Eight digits that were drawn when the file was made."""
            execute("COMMIT")
        except BaseException:
            self.connection.rollback()
            raise
        self._run(schema)
        self.connection.set_authorizer(self._authorize)

    def _run(self, schema: str) -> None:
        try:
            self.connection.executescript(schema)
        except sqlite3.Error as error:
            if is_of_the_host(error):
                raise
            raise ConfigError(f"{self.path}: the schema cannot be used: {error}; mend it, or take a new file") from None

    def _authorize(self, action: int, *_: object) -> int:
        # A handler that commits would part its effect from the note that the record was received.
        if action == sqlite3.SQLITE_TRANSACTION and not self._may_end:
            return sqlite3.SQLITE_DENY
        return sqlite3.SQLITE_OK

    # The marks keep these statements apart from those of a handler, which are prepared, and looked at, by themselves.

    def begin(self) -> None:
        """Begin a transaction; others that write wait for its end."""
        self._may_end = True
        self.connection.execute("BEGIN IMMEDIATE -- inbox")
        self._may_end = False

    def commit(self) -> None:
        """Have it on disk."""
        self._may_end = True
        self.connection.execute("COMMIT -- inbox")

    def rollback(self) -> None:
        """Undo it; SQLite may have done so by itself, after an error of the disk."""
        self._may_end = True
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK -- inbox")

    def received(self, producer: bytes, first: int, last: int) -> Ranges:
        """Return what was received of a producer from `first` to `last`, and the ranges that border on that."""
        rows = self.connection.execute(
            "SELECT first, last FROM mesh_inbox_received WHERE producer = ? AND last >= ? ORDER BY last",
            (producer, first - 1),
        )
        found = Ranges()
        for begins, ends in rows:
            if begins > last + 1:
                break
            found.add(begins, ends)
        rows.close()  # a statement that is not finished keeps the WAL from being written back
        return found

    def note(self, producer: bytes, before: Ranges, after: Ranges, floor: int) -> None:
        """Write what was received instead of `before`; below `floor` nothing will ever come again."""
        execute = self.connection.execute
        gone, new = set(before) - set(after), sorted(set(after) - set(before))
        for _, last in gone:
            execute("DELETE FROM mesh_inbox_received WHERE producer = ? AND last = ?", (producer, last))
        for first, last in new:
            execute("INSERT INTO mesh_inbox_received VALUES (?, ?, ?)", (producer, first, last))
        if len(after) > len(before):
            self._close_gaps(producer, floor)

    def _close_gaps(self, producer: bytes, floor: int) -> None:
        """Take all below the floor for received: an inbox that gets only some of the numbers has no row for each."""
        execute = self.connection.execute
        count, first, last = execute(
            "SELECT count(*), min(first), max(last) FROM mesh_inbox_received WHERE producer = ? AND last < ?",
            (producer, floor),
        ).fetchone()
        if count > 1:
            execute("DELETE FROM mesh_inbox_received WHERE producer = ? AND last < ?", (producer, floor))
            execute("INSERT INTO mesh_inbox_received VALUES (?, ?, ?)", (producer, first, last))

    def count(self, records: int, duplicates: int, refusals: int) -> None:
        """Add to the counts."""
        self.connection.execute(
            "UPDATE mesh_inbox SET records = records + ?, duplicates = duplicates + ?, refusals = refusals + ?",
            (records, duplicates, refusals),
        )

    def counts(self) -> Counts:
        """Return the counts as they are on disk; from any thread."""

        def look(reader: sqlite3.Connection) -> Counts:
            records, duplicates, refusals = reader.execute(
                "SELECT records, duplicates, refusals FROM mesh_inbox"
            ).fetchone()
            (producers,) = reader.execute("SELECT count(DISTINCT producer) FROM mesh_inbox_received").fetchone()
            return Counts(records, duplicates, refusals, producers)

        return self.look(look)

    def look(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Return what is found by a connection that only reads. Raises SpoolError."""
        with self._looking:
            try:
                return work(self._reader)
            except sqlite3.Error as error:
                raise SpoolError(explain(self.path, error), path=str(self.path)) from None
