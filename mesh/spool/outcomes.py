"""What became of deferred calls, in an SQLite file: outcomes until they are old, and which calls have begun."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from mesh.core.wire import pack_body
from mesh.errors import SpoolError
from mesh.spool.commit import GroupCommit, Job
from mesh.spool.ledger import explain
from mesh.typed import decode_result

__all__ = ["CallState", "DeferredOutcome", "Outcomes"]

R = TypeVar("R")

CallState = Literal["waiting", "running", "answered", "failed"]
"""Waiting for a server or for its turn; with a server; ended with its answer; ended without one."""

_FILE = "outcomes.db"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS outcomes (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, ended_at REAL NOT NULL, octets INTEGER NOT NULL,
    row BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS begun (id TEXT PRIMARY KEY) WITHOUT ROWID;
"""
_VERSION = 1
_BUSY_S = 5.0


class DeferredOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a deferred call stands, or how it ended."""

    id: str
    """Its name, which nobody can guess."""
    method: str
    """Full name, `service.method`."""
    state: CallState
    """How far it is."""
    put_at: float
    """When it was accepted, in seconds since 1970."""
    ended_at: float = 0.0
    """When it ended, on the same clock; 0 while it has not."""
    tries: int = 0
    """How often it was given to the mesh, since this process began; each try may be several attempts."""
    problem: str = ""
    """Why it failed, or why the last try came to nothing."""
    code: str = ""
    """Name of the status of one that failed, such as NOT_FOUND."""
    type: str = ""
    """Name of the exception that its handler raised."""
    peer_id: str = ""
    """The server that answered."""
    frames: list[bytes] = []
    """The answer."""
    raw: bool = True
    """Whether that is frames as they are; else `value` is what it says."""

    @property
    def value(self) -> Any:
        """The result of a typed method. Raises RemoteProtocolError: it cannot be read."""
        return decode_result(pack_body(self.frames))  # type: ignore[arg-type]


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(DeferredOutcome).decode


class Outcomes:
    """The outcomes of one directory; what is written is on disk when it returns.

    Args:
        directory: Is there.
        keep_s: Outcomes are forgotten so many seconds after their calls have ended,
        octets_max: or sooner, the oldest first, where all together would have more octets.

    Raises:
        SpoolError: The file cannot be used.
    """

    def __init__(self, directory: Path, keep_s: float, octets_max: int) -> None:
        self._path = directory / _FILE
        self._keep_s = keep_s
        self._octets_max = octets_max
        self._looking = threading.Lock()
        try:
            self._writer = self._connect()
            try:
                self._prepare()
                self._reader = self._connect()
                self._reader.execute("PRAGMA query_only=ON")
            except BaseException:
                self._writer.close()
                raise
        except sqlite3.Error as error:
            raise self._problem(error) from None
        self._commits: GroupCommit[sqlite3.Connection] = GroupCommit(self._transact)

    def close(self) -> None:
        """Let go of the file, when all that was asked before is done."""
        self._commits.close()
        with self._looking:
            self._reader.close()
        self._writer.close()

    def begun(self) -> list[str]:
        """Return the calls that were marked as begun and have no outcome."""
        return [name for (name,) in self._look(lambda reader: reader.execute("SELECT id FROM begun").fetchall())]

    async def begin(self, name: str) -> None:
        """Mark a call as begun: if this process dies now, it may have run."""
        await self._change(lambda writer: writer.execute("INSERT OR IGNORE INTO begun VALUES (?)", (name,)))

    async def take_back(self, name: str) -> None:
        """Take the mark away: it is known that it has not run."""
        await self._change(lambda writer: writer.execute("DELETE FROM begun WHERE id = ?", (name,)))

    async def end(self, outcome: DeferredOutcome) -> None:
        """Keep what became of a call; a second time changes nothing."""
        row = _pack(outcome)

        def work(writer: sqlite3.Connection) -> None:
            values = (outcome.id, outcome.ended_at, len(row), row)
            writer.execute("INSERT OR IGNORE INTO outcomes(id, ended_at, octets, row) VALUES (?, ?, ?, ?)", values)
            writer.execute("DELETE FROM begun WHERE id = ?", (outcome.id,))
            self._forget(writer, outcome.ended_at)

        await self._change(work)

    def find(self, name: str) -> DeferredOutcome | None:
        """Return what became of a call; None: nothing is known of it. Raises SpoolError."""
        rows = self._look(lambda reader: reader.execute("SELECT row FROM outcomes WHERE id = ?", (name,)).fetchall())
        try:
            return _unpack(rows[0][0]) if rows else None
        except (msgspec.MsgspecError, TypeError):
            raise SpoolError(f"{self._path}: the outcome of call {name} is damaged", path=str(self._path)) from None

    def has(self, name: str) -> bool:
        """Return whether the call has ended."""
        return bool(
            self._look(lambda reader: reader.execute("SELECT 1 FROM outcomes WHERE id = ?", (name,)).fetchall())
        )

    def _forget(self, writer: sqlite3.Connection, now: float) -> None:
        writer.execute("DELETE FROM outcomes WHERE ended_at < ?", (now - self._keep_s,))
        (octets,) = writer.execute("SELECT total(octets) FROM outcomes").fetchone()
        while octets > self._octets_max:
            number, freed = writer.execute("SELECT number, octets FROM outcomes ORDER BY number LIMIT 1").fetchone()
            writer.execute("DELETE FROM outcomes WHERE number = ?", (number,))
            octets -= freed

    def _connect(self) -> sqlite3.Connection:
        return sqlite3.connect(self._path.absolute(), timeout=_BUSY_S, isolation_level=None, check_same_thread=False)

    def _prepare(self) -> None:
        writer = self._writer
        writer.execute("PRAGMA journal_mode=WAL")
        writer.execute("PRAGMA synchronous=FULL")
        (version,) = writer.execute("PRAGMA user_version").fetchone()
        if version not in (0, _VERSION):
            raise SpoolError(
                f"{self._path} was made by another version of this program (form {version}; this one reads "
                f"{_VERSION}); use that version, or another directory",
                path=str(self._path),
            )
        writer.executescript(_SCHEMA)
        writer.execute(f"PRAGMA user_version={_VERSION}")

    async def _change(self, work: Callable[[sqlite3.Connection], object]) -> None:
        await self._commits.do_async(work)

    def _transact(self, jobs: Sequence[Job[sqlite3.Connection, Any]]) -> None:
        writer = self._writer
        try:
            writer.execute("BEGIN IMMEDIATE")
            for job in jobs:
                job.result = job.work(writer)
            writer.execute("COMMIT")
        except BaseException as error:
            if writer.in_transaction:
                writer.execute("ROLLBACK")
            for job in jobs:
                job.error = self._problem(error)
            if not isinstance(error, sqlite3.Error):
                raise

    def _look(self, look: Callable[[sqlite3.Connection], R]) -> R:
        with self._looking:
            try:
                return look(self._reader)
            except sqlite3.Error as error:
                raise self._problem(error) from None

    def _problem(self, error: BaseException) -> SpoolError:
        return SpoolError(explain(self._path, error), path=str(self._path))
