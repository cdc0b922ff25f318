"""The far end of spools: takes their records, each once however often it comes.

    inbox = Inbox("warehouse", "readings.db", schema="CREATE TABLE IF NOT EXISTS readings (at REAL, body BLOB)")

    @inbox.method
    def ingest(record: SpoolRecord, db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO readings VALUES (?, ?)", (record.at, record.body))

    Server(inbox.service).run()

What a handler writes with `db` and the note that the record was received are one transaction, so that either both are
on disk or neither. A record is acknowledged when they are, and recognised for ever.
"""

from __future__ import annotations

import inspect
import os
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar, overload

from mesh.errors import ClosedError, ConfigError, RemoteError, Status
from mesh.failure import describe_error
from mesh.request import Request
from mesh.service import Service
from mesh.spool.batch import pack_receipt, unpack_batch
from mesh.spool.commit import GroupCommit, Job
from mesh.spool.ledger import Counts, Ledger, explain, is_of_the_host
from mesh.spool.ranges import Ranges
from mesh.spool.record import SpoolRecord

__all__ = ["Inbox"]

R = TypeVar("R")
_Handler = TypeVar("_Handler", bound=Callable[..., None])
_Batch = Callable[[list[SpoolRecord], sqlite3.Connection], None]

_THREADS = 8
"""Calls that wait for one commit together: it is one fsync for all of them, however many records each brings."""


class Inbox:
    """A service whose methods take records of spools, with an SQLite file that says which it has.

    Any number of inboxes, in any number of processes of this host, may share one file.

    Args:
        service: Name of the service.
        path: The file, made if it is not there. The tables of this class begin with `mesh_inbox`.
        schema: SQL that is run at the start for tables of the handlers, as `CREATE TABLE IF NOT EXISTS …`.
        version: Of the service.
        description: Of the service, for people.

    Raises:
        SpoolError: The file cannot be used; the sentence says why and what to do.
        ConfigError: A name cannot be used, or the schema.
    """

    def __init__(
        self,
        service: str,
        path: str | os.PathLike[str],
        *,
        schema: str = "",
        version: str = "0.0.0",
        description: str = "",
    ) -> None:
        self._service = Service(service, version=version, description=description, threads=_THREADS)
        self._ledger = Ledger(Path(path), schema)
        self._commits: GroupCommit[Ledger] = GroupCommit(self._transact)
        self._closed = False

    @property
    def service(self) -> Service:
        """What a server offers; it may have ordinary methods too."""
        return self._service

    @property
    def path(self) -> Path:
        """The file."""
        return self._ledger.path

    @property
    def mark(self) -> str:
        """Eight hexadecimal digits that the file keeps: a name for the server that stays when it is started again."""
        return self._ledger.mark

    @overload
    def method(self, handler: _Handler, /) -> _Handler: ...
    @overload
    def method(self, /, *, name: str | None = None, batch: bool = False) -> Callable[[_Handler], _Handler]: ...
    def method(
        self, handler: Callable[..., None] | None = None, /, *, name: str | None = None, batch: bool = False
    ) -> Any:
        """Declare a function that stores a record as a method, and return it unchanged.

        The function gets the record and the connection, within a transaction that it neither begins nor ends. What it
        raises refuses the record, which comes again a few times and is then set aside by its spool, with the reason;
        the others are stored. But OSError, MemoryError, SQLite's errors of the disk or the file, and a RemoteError with
        UNAVAILABLE or RESOURCE_EXHAUSTED say that this is not the time: nothing is stored or refused then, and
        everything comes again.

        Args:
            name: Within the service; default: the function's own.
            batch: The function gets a list of records instead of one. When it raises for several, what it did is
                undone, and it gets each alone.

        Raises:
            ConfigError: The name is taken or malformed.
        """

        def declare(function: _Handler) -> _Handler:
            if not callable(function):
                raise ConfigError(f"inbox {self._service.name}: {function!r} is no function; a name goes into name=")
            short = name if name is not None else str(getattr(function, "__name__", ""))
            store: _Batch = function if batch else _each(function)

            def receive(request: Request) -> bytes:
                return self._receive(request, store)

            # A receipt is worth nothing to another inbox, which does not know what was stored here.
            self._service.method(
                name=short, raw=True, idempotent=False, threaded=True, description=inspect.getdoc(function) or ""
            )(receive)
            return function

        return declare if handler is None else declare(handler)

    def counts(self) -> Counts:
        """Return what it has done since its file was made; from any thread. Raises SpoolError."""
        return self._ledger.counts()

    def look(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Return what this finds by a connection that only reads; from any thread. Raises SpoolError."""
        return self._ledger.look(work)

    def change(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Do this in a transaction, together with batches that come; from any thread.

        Raises RemoteError: it was not done.
        """
        return self._commits.do(lambda ledger: work(ledger.connection))

    def close(self) -> None:
        """Let go of the file; a second time does nothing. No server offers the service any more."""
        if not self._closed:
            self._closed = True
            self._commits.close()
            self._ledger.close()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _receive(self, request: Request, store: _Batch) -> bytes:
        try:
            records, floors = unpack_batch(request.body, request.method)
        except ValueError as error:
            raise RemoteError(str(error), code=Status.INVALID_ARGUMENT) from None
        try:
            return self._commits.do(lambda ledger: _Delivery(ledger, store, floors).take(records))
        except ClosedError:
            raise RemoteError(f"{self.path} is closed here; the records come again", code=Status.UNAVAILABLE) from None

    def _transact(self, jobs: Sequence[Job[Ledger, Any]]) -> None:
        """Store the batches of several calls in one transaction."""
        ledger = self._ledger
        try:
            ledger.begin()
            for job in jobs:
                job.result = job.work(ledger)
            ledger.commit()
        except Exception as error:
            # Whatever a record is to blame for was caught before. Nothing is stored; all of it comes again.
            text = explain(ledger.path, error)
            for job in jobs:
                job.error = RemoteError(text, code=Status.UNAVAILABLE, type=type(error).__name__)
        finally:
            ledger.rollback()


class _Delivery:
    """One batch within a transaction."""

    def __init__(self, ledger: Ledger, store: _Batch, floors: dict[bytes, int]) -> None:
        self._ledger = ledger
        self._store = store
        self._floors = floors
        self._refused: dict[int, str] = {}

    def take(self, records: Sequence[SpoolRecord]) -> bytes:
        """Store what is new, and return the receipt."""
        ledger = self._ledger
        before: dict[bytes, Ranges] = {}
        for producer in {record.producer: None for record in records}:
            seqs = [record.seq for record in records if record.producer == producer]
            before[producer] = ledger.received(producer, min(seqs), max(seqs))
        after = {producer: Ranges(known) for producer, known in before.items()}
        fresh = self._fresh(records, after)
        left = self._store_all(records, fresh)
        if left:
            after = {producer: Ranges(known) for producer, known in before.items()}
            for position in fresh:
                if position not in left:
                    after[records[position].producer].add(records[position].seq, records[position].seq)
        for producer, known in after.items():
            ledger.note(producer, before[producer], known, self._floors.get(producer, 0))
        stored = len(fresh) - len(left)
        if stored == len(records):
            durable = [(0, stored - 1)]
        else:
            durable = list(
                Ranges.of(position for position, record in enumerate(records) if record.seq in after[record.producer])
            )
        duplicates = sum(last - first + 1 for first, last in durable) - stored
        ledger.count(stored, duplicates, len(self._refused))
        return pack_receipt(durable, duplicates, self._refused)

    @staticmethod
    def _fresh(records: Sequence[SpoolRecord], known: dict[bytes, Ranges]) -> Sequence[int]:
        """Return the positions of records that are not known yet, and note those as known."""
        first, last = records[0].seq, records[-1].seq
        # Nearly every batch: the next numbers of one producer, none of them known; a tenth of the time otherwise.
        if len(known) == 1 and [record.seq for record in records] == list(range(first, last + 1)):
            (ranges,) = known.values()
            if all(ends < first or begins > last for begins, ends in ranges):
                ranges.add(first, last)
                return range(len(records))
        fresh: list[int] = []
        for position, record in enumerate(records):
            ranges = known[record.producer]
            if record.seq not in ranges:
                ranges.add(record.seq, record.seq)
                fresh.append(position)
        return fresh

    def _store_all(self, records: Sequence[SpoolRecord], fresh: Sequence[int]) -> set[int]:
        """Store the fresh ones; return the positions of those that are not, being refused or behind such a one."""
        if not fresh or (len(fresh) > 1 and self._try([records[position] for position in fresh]) is None):
            return set()
        left: set[int] = set()
        held_up: set[str] = set()
        for position in fresh:
            record = records[position]
            reason = "" if record.stream in held_up else self._try([record])
            if reason is None:
                continue
            left.add(position)
            if reason:
                self._refused[position] = reason
            if record.stream:
                held_up.add(record.stream)
        return left

    def _try(self, records: list[SpoolRecord]) -> str | None:
        """Have the handler store records; return why it did not, None if it did. Raises what is no fault of theirs."""
        db = self._ledger.connection
        db.execute("SAVEPOINT mesh_inbox")
        try:
            self._store(records, db)
        except Exception as error:
            if is_of_the_host(error):
                raise
            db.execute("ROLLBACK TO mesh_inbox")
            db.execute("RELEASE mesh_inbox")
            failure = describe_error(error, expose_traceback=False)
            return f"{failure.type}: {failure.message}"
        db.execute("RELEASE mesh_inbox")
        return None


def _each(function: Callable[..., None]) -> _Batch:
    def store(records: list[SpoolRecord], db: sqlite3.Connection) -> None:
        for record in records:
            function(record, db)

    return store
