"""The file of a spool while it is open: who may write, and what is done when it is damaged."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import time
from pathlib import Path

from mesh.errors import SpoolCorrupt, SpoolError
from mesh.spool import schema
from mesh.spool.locks import FileLock
from mesh.spool.salvage import Tail, finish, graft, keep_wal, read_tail, salvage
from mesh.spool.wal import INDEX_OCTETS, Loss, loss

__all__ = ["SpoolFile"]

_RESERVE_OCTETS = 8 << 20
"""More than the WAL has before it is written into the file, which needs as much room again."""
_FEW_OCTETS, _MANY_OCTETS, _SHRINK_PAUSE_S = 4 << 20, 64 << 20, 10.0
_log = logging.getLogger("mesh.spool")
_NOT_WHOLE = (
    "%s: the power was cut while it was written, then nothing that was acknowledged is in it, or it is damaged; "
    "what is whole in it was kept, and so is the WAL, as %s"
)


class SpoolFile:
    """Two connections to the file, one to write and one to read, and the locks that processes share.

    The first process that opens a spool looks at all of the file: SQLite checks no checksums of its pages, and would
    go on in a damaged one. What is damaged is replaced by what can be saved. Others that have it open notice that at
    their next transaction, by the file's number.

    Args:
        directory: Made if it is not there, with a file.

    Raises:
        SpoolError: It cannot be opened; the sentence says why and what to do.
    """

    writer: sqlite3.Connection
    """For whoever holds `lock`."""
    reader: sqlite3.Connection
    """For one thread at a time."""
    number: int
    """That of the file on its disk; 0 while none is open."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._path = directory / schema.FILE
        self._name = str(self._path)
        self._reserve = directory / "reserve"
        self._octets = 0
        self._shrink_at = 0.0
        self.failure: SpoolError | None = None
        """Why nothing may be acknowledged although it is open."""
        try:
            if not directory.is_dir():
                directory.mkdir(mode=0o700)
                schema.sync_directory(directory.parent)
            self.lock: FileLock = FileLock(directory, "write.lock")
            """Held while the file is written, and while it is replaced."""
            self._presence = FileLock(directory, "open.lock")
        except OSError as error:
            raise SpoolError(
                f"{directory} cannot be used as a spool ({error.strerror}); name a directory that can be written",
                path=str(directory),
            ) from None
        try:
            with self.lock:
                first = self._presence.take_if_free()
                try:
                    self._open(first)
                except SpoolError:
                    if not self._reserve.exists() or shutil.disk_usage(directory).free > _RESERVE_OCTETS:
                        raise
                    self.give_reserve()  # the disk may be too full even for the index of the WAL
                    self._open(first)
                self._keep_reserve()
                self._presence.share()
        except BaseException:
            self.lock.close()
            self._presence.close()
            raise

    def is_replaced(self) -> bool:
        """Return whether another file is in its place now."""
        try:
            found = os.stat(self._name)
        except OSError:
            return True
        self._octets = found.st_size
        return found.st_ino != self.number

    def shrink(self, octets: int) -> None:
        """Give the disk back what a backlog has taken, once few octets of records are left. The lock is held.

        Pages that are free are used again; but a file that is nearly empty is quickly written anew.
        """
        now = time.monotonic()
        if octets > _FEW_OCTETS or self._octets < _MANY_OCTETS or now < self._shrink_at:
            return
        self._shrink_at = now + _SHRINK_PAUSE_S  # a reader may keep the old pages a little longer
        with contextlib.suppress(sqlite3.Error):
            self.writer.execute("VACUUM")
            self.writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()

    def give_reserve(self) -> None:
        """Let the disk have the room that was kept, so that what is delivered can still be removed."""
        self._reserve.unlink(missing_ok=True)

    def reopen(self) -> None:
        """Open the file that is there now. The lock is held. Raises SpoolError."""
        self._disconnect()
        self._connect()

    def repair(self, why: str) -> None:
        """Put another file with all that can be saved in the place of this damaged one. The lock is held.

        Args:
            why: What is damaged, in words.

        Raises:
            SpoolError: That was not possible; nothing has changed.
        """
        self._disconnect()
        salvage(self._directory, why)
        self._connect()

    def check(self) -> str:
        """Look at all pages, through a connection of its own; return what is damaged in words, "" if nothing."""
        try:
            with contextlib.closing(schema.connect(self._directory, leaves=True)) as connection:
                problems = [text for (text,) in connection.execute("PRAGMA quick_check(3)").fetchall()]
                with schema.snapshot(connection):
                    schema.check_counters(self._directory, connection)
        except (SpoolCorrupt, sqlite3.DatabaseError) as error:
            problem = schema.explain(self._directory, error)
            if not isinstance(problem, SpoolCorrupt):
                raise problem from None
            return str(problem)
        return "" if problems == ["ok"] else f"{self._path} is damaged ({'; '.join(problems)})"

    def close(self) -> None:
        """Let go of it."""
        self._disconnect()
        self._presence.close()
        self.lock.close()

    def _open(self, first: bool) -> None:
        """Open it, and look whether it is in order if nobody else has it open."""
        if not first:
            self._connect()
            return
        directory, path = self._directory, self._path
        try:
            finish(directory)
            lost = self._lost()
            tail = None
            if lost is not None and lost.certain:
                why = lost.why
            else:
                if lost is not None:
                    tail = read_tail(directory, lost.frame)
                    if not tail.whole:
                        _log.warning(_NOT_WHOLE, lost.why, keep_wal(directory))
                elif not path.exists():
                    schema.create_in(directory)
                why = self.check()
            if why:
                salvage(directory, why)
            self._connect()
            if tail is not None:
                self._graft(tail)
        except sqlite3.Error as error:
            raise schema.explain(directory, error) from None
        except OSError as error:
            raise SpoolError(
                f"{path} cannot be opened ({error.strerror}): mend its permissions or its disk", path=str(directory)
            ) from None
        self._empty_wal()

    def _lost(self) -> Loss | None:
        """Return what SQLite leaves out and may have been committed.

        Nobody else has the files open, so that nobody loses a lock when one of them is closed here.
        """
        log = _content(f"{self._path}-wal")
        if not self._path.exists():
            return Loss(f"{self._path} is missing beside its WAL", True, 0) if log else None
        before = _content(f"{self._path}-shm", INDEX_OCTETS)
        try:
            with contextlib.closing(schema.connect(self._directory, leaves=True)):
                lost = loss(log, before, _content(f"{self._path}-shm", INDEX_OCTETS))
        except (SpoolCorrupt, sqlite3.DatabaseError) as error:
            problem = schema.explain(self._directory, error)
            if not isinstance(problem, SpoolCorrupt):
                raise problem from None
            return Loss(str(problem), True, 0)
        return None if lost is None else lost._replace(why=f"{self._path}: {lost.why}")

    def _graft(self, tail: Tail) -> None:
        try:
            added = graft(self._directory, self.writer, tail.records)
        except sqlite3.Error as error:
            self._disconnect()
            raise schema.explain(self._directory, error) from None
        _log.info("%s: %d records of a transaction that was cut short were kept", self._path, added)

    def _empty_wal(self) -> None:
        """Write all that the WAL has into the file, as far as nobody reads it, and empty it. The lock is held.

        A process that ended because an fsync failed leaves frames that look written and are not: the kernel has let
        go of them. They must not stand before those that will be acknowledged.
        """
        try:
            self.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            self.failure = schema.explain(self._directory, error)

    def _keep_reserve(self) -> None:
        """Take room on the disk that is given back when it is full."""
        if self.failure is not None or _size(self._reserve) == _RESERVE_OCTETS:
            return
        try:
            with self._reserve.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, _RESERVE_OCTETS)
        except OSError as error:
            self.give_reserve()
            self.failure = SpoolError(
                f"{self._directory}: {error.strerror}: less than {_RESERVE_OCTETS >> 20} MiB are free there; make room "
                "on the disk, then open the spool again",
                path=str(self._directory),
            )

    def _connect(self) -> None:
        try:
            self.writer = schema.connect(self._directory, writes=True)
            try:
                self.reader = schema.connect(self._directory)
            except BaseException:
                self.writer.close()
                raise
            self.number = self._path.stat().st_ino
        except sqlite3.Error as error:
            raise schema.explain(self._directory, error) from None

    def _disconnect(self) -> None:
        self.number = 0
        for connection in (getattr(self, "reader", None), getattr(self, "writer", None)):
            if connection is not None:
                connection.close()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _content(name: str, octets: int = -1) -> bytes:
    """Return what is in a file, or its first octets; nothing if it is not there."""
    try:
        with open(name, "rb") as file:
            return file.read(octets)
    except FileNotFoundError:
        return b""
