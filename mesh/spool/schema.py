"""The file: how it is made, opened and recognised, and what SQLite's complaints mean.

Two tables hold records: those that wait in bundles (see `mesh.spool.bundle`), one row for all that were put together,
with their number before them so that they can be counted without being read; and those in quarantine one by one. The
key is the queue's number times 2^48 plus that of the first record, so that the records of one method lie side by side
in the order in which they were put, without an index beside them.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Literal

from mesh.errors import SpoolCorrupt, SpoolError
from mesh.spool.counters import Counters

__all__ = [
    "EVERY_KEY",
    "FILE",
    "PAGE_OCTETS",
    "REACHING",
    "SALVAGED",
    "SEQ_BITS",
    "SEQ_MASK",
    "TABLES",
    "State",
    "check_counters",
    "connect",
    "create",
    "create_in",
    "explain",
    "keys_of",
    "read_counters",
    "snapshot",
    "sync_directory",
    "tagged",
]

FILE = "spool.db"
"""The file's name in its directory."""
SALVAGED = "salvaged.db"
"""The name of a new file that is complete, and is to be put in the place of a damaged one."""
VERSION = 2
SEQ_BITS = 48
SEQ_MASK = (1 << SEQ_BITS) - 1
EVERY_KEY = (0, 1 << 62)
"""The least and the greatest key that any record may have."""
State = Literal["ready", "quarantined"]
TABLES: Mapping[State, str] = {"ready": "ready", "quarantined": "quarantine"}
_APPLICATION_ID = 0x73705231
_SCHEMA = (
    "CREATE TABLE counters(id INTEGER PRIMARY KEY, row BLOB NOT NULL)",
    "CREATE TABLE queues(id INTEGER PRIMARY KEY, method TEXT NOT NULL)",
    "CREATE TABLE ready(key INTEGER PRIMARY KEY, records INTEGER NOT NULL, row BLOB NOT NULL)",
    "CREATE TABLE quarantine(key INTEGER PRIMARY KEY, row BLOB NOT NULL, why TEXT NOT NULL)",
)
REACHING = """
SELECT key FROM (SELECT key, records FROM ready WHERE key < ?1 ORDER BY key DESC LIMIT 1) WHERE key + records > ?1"""
"""Finds the bundle that begins before a key and has a record with this key."""
PAGE_OCTETS = 4096
_CACHE_KIB = 8192
_WAL_OCTETS = 8 << 20
"""What a large transaction has made of the WAL is cut back to this."""
_BUSY_S = 30.0
"""Only other programs than ours make us wait for SQLite's own lock, such as its shell."""


def tagged(version: int) -> int:
    """Return a version so that a changed bit shows: its complement stands before it."""
    return (~version & 0x7FFF) << 16 | version


def keys_of(queue: int) -> tuple[int, int]:
    """Return the least and the greatest key of a queue."""
    return queue << SEQ_BITS, queue << SEQ_BITS | SEQ_MASK


def create(path: Path, producer: bytes) -> None:
    """Make a file without records; it is on disk, but for its name in the directory."""
    os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA page_size={PAGE_OCTETS}")
        connection.execute("PRAGMA synchronous=EXTRA")
        connection.execute(f"PRAGMA application_id={_APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version={tagged(VERSION)}")
        connection.execute("BEGIN")
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute("INSERT INTO counters VALUES (1, ?)", (Counters(producer).pack(),))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL")
    finally:
        connection.close()


def create_in(directory: Path) -> None:
    """Make the file of a spool: afterwards there is a complete one, or none."""
    path = directory / FILE
    fresh = path.with_name(f"{FILE}.new")
    for leftover in directory.glob(f"{fresh.name}*"):
        leftover.unlink()
    create(fresh, os.urandom(16))
    fresh.rename(path)
    sync_directory(directory)


def connect(directory: Path, *, writes: bool = False, leaves: bool = False) -> sqlite3.Connection:
    """Open the file.

    Args:
        directory: Where it is.
        writes: Whether to write records; only what was committed to the disk counts then.
        leaves: Whether to leave the WAL as it is at the end, even if nobody else has the file open.

    Raises:
        SpoolError: It is of another version, or another program's.
        SpoolCorrupt: It is damaged.
        sqlite3.Error: It cannot be opened.
    """
    path = directory / FILE
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={'ro' if leaves else 'rw'}",
        uri=True,
        timeout=_BUSY_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        if writes:
            # FULL: the WAL is on disk before COMMIT returns.
            connection.execute("PRAGMA synchronous=FULL")
            # What was delivered need not be wiped, and the page would have to be written for it.
            connection.execute("PRAGMA secure_delete=OFF")
            connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
            connection.execute(f"PRAGMA journal_size_limit={_WAL_OCTETS}")
            connection.execute("PRAGMA temp_store=MEMORY")
        else:
            connection.execute("PRAGMA query_only=ON")
        _check_form(directory, connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_form(directory: Path, connection: sqlite3.Connection) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    schema = {sql for (sql,) in connection.execute("SELECT sql FROM sqlite_schema")}
    if version == tagged(VERSION):
        if application == _APPLICATION_ID and schema == set(_SCHEMA):
            return
        raise SpoolCorrupt(f"{directory / FILE}: its tables are not those that were made", path=str(directory))
    if not schema:
        raise SpoolCorrupt(f"{directory / FILE} is empty", path=str(directory))
    if application != _APPLICATION_ID and schema != set(_SCHEMA):
        raise SpoolError(
            f"{directory / FILE} is no spool but another program's file; give another directory", path=str(directory)
        )
    if version != tagged(version & 0x7FFF):
        raise SpoolCorrupt(f"{directory / FILE}: its version cannot be read", path=str(directory))
    word, remedy = (
        ("newer", "install that version or a later one")
        if version & 0x7FFF > VERSION
        else ("older", "empty the spool with the version that made it")
    )
    raise SpoolError(
        f"{directory / FILE} was made by {'an' if word == 'older' else 'a'} {word} version of this program "
        f"(form {version & 0x7FFF}; this one reads {VERSION}); {remedy}",
        path=str(directory),
    )


def read_counters(directory: Path, connection: sqlite3.Connection) -> Counters:
    """Return what the spool knows of itself. Raises SpoolCorrupt."""
    row = connection.execute("SELECT row FROM counters WHERE id = 1").fetchone()
    try:
        return Counters.unpack(row[0] if row is not None and isinstance(row[0], bytes) else b"")
    except ValueError:
        raise SpoolCorrupt(f"{directory / FILE}: its counters are damaged", path=str(directory)) from None


@contextlib.contextmanager
def snapshot(connection: sqlite3.Connection) -> Iterator[None]:
    """Have all that is read meanwhile be as it was at one instant."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def check_counters(directory: Path, connection: sqlite3.Connection) -> None:
    """Raise SpoolCorrupt unless there are as many records as were counted: then some have vanished from sight.

    To be called within a snapshot.
    """
    counters = read_counters(directory, connection)
    for table, count, counted in (
        ("ready", "coalesce(sum(records), 0)", counters.ready),
        ("quarantine", "count(*)", counters.quarantined),
    ):
        (found,) = connection.execute(f"SELECT {count} FROM {table}").fetchone()
        if found != counted:
            raise SpoolCorrupt(
                f"{directory / FILE}: {counted} records should be in the table {table}, and {found} are",
                path=str(directory),
            )


_DAMAGE = {
    sqlite3.SQLITE_CORRUPT,
    sqlite3.SQLITE_NOTADB,
    sqlite3.SQLITE_MISMATCH,
    # A table or a column is not there, so that a statement of ours makes no sense.
    sqlite3.SQLITE_ERROR,
    # A number that was to be given next is there already.
    sqlite3.SQLITE_CONSTRAINT,
}
_REMEDIES = {
    sqlite3.SQLITE_FULL: "the disk is full: make room on it, then open the spool again",
    sqlite3.SQLITE_IOERR: "the disk does not work: look at the system's log, then open the spool again",
    sqlite3.SQLITE_READONLY: "it cannot be written: mend its permissions or the mount, then open the spool again",
    sqlite3.SQLITE_PERM: "it cannot be written: mend its permissions, then open the spool again",
    sqlite3.SQLITE_CANTOPEN: "it cannot be opened: mend its permissions, then open the spool again",
    sqlite3.SQLITE_BUSY: f"another program has held it for {_BUSY_S:g} s: end that, then open the spool again",
}


def explain(directory: Path, error: sqlite3.Error | SpoolError) -> SpoolError:
    """Return what a complaint of SQLite means for the spool, with a remedy; one of ours is returned as it is."""
    if isinstance(error, SpoolError):
        return error
    code = getattr(error, "sqlite_errorcode", None)
    primary = code & 0xFF if code is not None else None
    if primary in _DAMAGE or (code is None and isinstance(error, sqlite3.OperationalError)):
        return SpoolCorrupt(f"{directory / FILE} is damaged ({error})", path=str(directory))
    # There is no room for the index of the WAL.
    full = code == sqlite3.SQLITE_IOERR_SHMSIZE
    remedy = _REMEDIES.get(sqlite3.SQLITE_FULL if full else primary or 0, "open the spool again")
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return SpoolError(f"{directory / FILE}: {remedy} ({name}: {error})", path=str(directory))


def sync_directory(path: Path) -> None:
    """Have the names in a directory on disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
