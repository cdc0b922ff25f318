"""The records of one spool, in an SQLite file that several processes may share.

Changes go through one connection and are committed in groups (`mesh.spool.commit`); each commit is one fsync of the
WAL. Looking goes through another one, which sees what is committed and waits for nobody. Everything blocks for as long
as the disk takes, but for `change_async`.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from mesh.errors import ClosedError, ForkedError, SpoolCorrupt, SpoolError
from mesh.spool import schema
from mesh.spool.commit import GroupCommit, Job
from mesh.spool.counters import Counters
from mesh.spool.file import SpoolFile
from mesh.spool.letters import Letter
from mesh.spool.quota import Quota
from mesh.spool.recent import Recent
from mesh.spool.record import SpoolRecord, SpoolStats, stream_of, unpack_all
from mesh.spool.schema import State
from mesh.spool.transaction import Transaction, octets_of
from mesh.spool.view import SpoolEntry, View

__all__ = ["SpoolReport", "Store"]

R = TypeVar("R")
_FLOOR_SHARE = 0.01
"""Of the time, to be spent with counting at the most."""


class SpoolReport(msgspec.Struct, frozen=True):
    """What was found when everything was looked at."""

    records: int
    """Records that were looked at, waiting and in quarantine."""
    repaired: str
    """What was damaged in the file, so that another one was put in its place; empty if nothing was."""
    damaged: dict[int, str]
    """Records that are not what was put, by number, each with what is wrong. They are in quarantine."""


class Store:
    """The records of one directory; any number of threads may use it.

    Args:
        directory: Made if it is not there.
        quota: How much it takes.
        clock: Tells the time in seconds since 1970.
        monotonic: Tells seconds that never go back.

    Raises:
        SpoolError: It cannot be opened; the sentence says why and what to do.
    """

    def __init__(
        self,
        directory: Path,
        quota: Quota | None = None,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.directory = directory
        self.quota: Quota = quota or Quota()
        self.clock = clock
        self._monotonic = monotonic
        self._process = os.getpid()
        self._closed = False
        self._listeners: list[Callable[[], None]] = []
        self._queues: dict[str, int] = {}
        self._recent = Recent()
        self.delivers = False
        """Whether `letters` is asked for what is put."""
        self._floor, self._floor_due_at = 0, 0.0
        self._reading = threading.Lock()
        self._commits: GroupCommit[Transaction] = GroupCommit(self._transact)
        self._file = SpoolFile(directory)
        self.failure = self._file.failure
        """Why nothing is acknowledged any more until the spool is opened again."""
        self._damage: tuple[int, str] | None = None
        """The number of the file that was found damaged, and what is damaged."""
        self._seen = self._data_version()
        self._looked = self._look()

    # Opening and closing

    def close(self) -> None:
        """Let go of the file; a second time does nothing. What waits in another thread raises ClosedError."""
        self.check_process()
        if self._closed:
            return
        self._closed = True
        self._tell()
        self._commits.close()
        with self._reading:
            self._file.close()

    def check_process(self) -> None:
        """Raise ForkedError if this is a child of the process that opened it."""
        if os.getpid() != self._process:
            raise ForkedError("this spool was opened before the process forked; open it again in the child")

    def check_open(self) -> None:
        """Raise ClosedError or ForkedError if it cannot be used, without a look at the disk."""
        self.check_process()
        if self._closed:
            raise ClosedError(f"the spool {self.directory} is closed")

    # Changing

    def change(self, work: Callable[[Transaction], R], weight: int = 1) -> R:
        """Do this in a transaction, with what others do at the same time; return when it is on disk.

        Raises:
            SpoolError: It was not done, or whether it is on disk is unknown.
        """
        self.check_open()
        return self._commits.do(work, weight)

    async def change_async(self, work: Callable[[Transaction], R], weight: int = 1) -> R:
        """Do the same without holding up the loop."""
        self.check_open()
        return await self._commits.do_async(work, weight)

    def putting(self, method: str, bodies: Sequence[bytes], stream: str) -> Callable[[Transaction], list[int]]:
        """Return the work that puts these records and returns their numbers; all of them or none."""

        def work(transaction: Transaction) -> list[int]:
            if self.failure is not None:
                raise _again(self.failure)
            return transaction.append(self.quota, method, stream, bodies, self.clock())

        return work

    def octets_of(self, method: str, stream: str, bodies: Sequence[bytes]) -> int:
        """Return how many octets these records take."""
        return octets_of(method, stream, bodies)

    def settle(
        self, method: str, delivered: Iterable[tuple[int, int]], quarantined: Mapping[int, str] | None = None
    ) -> int:
        """Remove records of a method that are delivered, and set aside those that cannot be.

        Works on after a failure to put: what is done twice is recognised at the far end. Returns how many were there.

        Args:
            method: Full name.
            delivered: First and last number of each run.
            quarantined: Reason by number.
        """
        return self.change(_settling(method, delivered, quarantined or {}))

    async def settle_async(
        self, method: str, delivered: Iterable[tuple[int, int]], quarantined: Mapping[int, str]
    ) -> int:
        """Do the same without holding up the loop."""
        return await self.change_async(_settling(method, delivered, quarantined))

    def _transact(self, jobs: Sequence[Job[Transaction, Any]]) -> None:
        failure: SpoolError | None = None
        try:
            with self._file.lock:
                self._prepare()
                try:
                    self._do(jobs)
                except (SpoolCorrupt, sqlite3.DatabaseError) as error:
                    problem = schema.explain(self.directory, error)
                    if not isinstance(problem, SpoolCorrupt):
                        raise
                    self._replace(lambda: self._file.repair(str(problem)))
                    self._do(jobs)
        except sqlite3.Error as error:
            failure = schema.explain(self.directory, error)
            if self.failure is None:
                self.failure = failure
                self._file.give_reserve()
        except SpoolError as error:
            failure = error
        except BaseException:
            failure = SpoolError(
                f"{self.directory}: interrupted; it may have been done or not", path=str(self.directory)
            )
            raise
        finally:
            if failure is not None:
                for job in jobs:
                    job.error = _again(failure)

    def _prepare(self) -> None:
        """Have the right file open: another process may have replaced it, or we are to."""
        damage, self._damage = self._damage, None
        if self._file.is_replaced():
            self._replace(self._file.reopen)
        elif damage is not None and damage[0] == self._file.number:
            self._replace(lambda: self._file.repair(damage[1]))

    def _replace(self, replace: Callable[[], None]) -> None:
        with self._reading:
            self._queues = {}
            self._recent.clear()
            self._floor, self._floor_due_at = 0, 0.0
            replace()

    def _do(self, jobs: Sequence[Job[Transaction, Any]]) -> None:
        writer = self._file.writer
        execute = writer.execute
        try:
            execute("BEGIN IMMEDIATE")
            transaction = Transaction(self.directory, writer, self._queues)
            for job in jobs:
                job.error = None
                try:
                    job.result = job.work(transaction)
                except SpoolCorrupt:
                    raise
                except SpoolError as error:
                    job.error = error
            if transaction.finish():
                execute("COMMIT")
                self._queues |= transaction.found
                if transaction.removes:
                    self._recent.clear()
                elif self.delivers:
                    self._recent.add(transaction.written)
                self._tell()
                self._file.shrink(transaction.counters.octets)
        finally:
            if writer.in_transaction:
                execute("ROLLBACK")

    # Looking

    def _read(self, look: Callable[[View], R]) -> R:
        try:
            if not self._file.is_replaced():
                return self._read_once(look)
        except SpoolCorrupt:
            pass
        self.change(lambda transaction: None)  # whoever has the turn to write opens the right file, or makes it
        return self._read_once(look)

    def _read_once(self, look: Callable[[View], R]) -> R:
        with self._reading:
            self.check_open()
            try:
                return look(View(self.directory, self._file.reader))
            except (SpoolCorrupt, sqlite3.Error) as error:
                problem = schema.explain(self.directory, error)
                if isinstance(problem, SpoolCorrupt):
                    self._damage = (self._file.number, str(problem))
                raise problem from None

    def methods(self) -> list[str]:
        """Return the methods for which records wait."""
        return self._read(View.methods)

    def fetch(self, method: str, after_seq: int = 0, limit: int = 1000, octets_max: int = 1 << 20) -> list[SpoolRecord]:
        """Return the next records of a method in the order in which they were put, one at least if one waits.

        Those whose checksum is wrong are set aside here.

        Args:
            method: Full name.
            after_seq: Only records with a greater number.
            limit: How many at the most.
            octets_max: Octets of all together, at the most; one record is returned even if it is larger.
        """
        letters = self._next(method, after_seq, limit, octets_max)
        return [record for letter in letters for record in unpack_all(letter.packed)]

    def letters(self, method: str, after_seq: int = 0, limit: int = 1000, octets_max: int = 1 << 20) -> list[Letter]:
        """Return the same records as they are sent; those that this object has just put are not read from the disk."""
        queue = self._queues.get(method)
        if queue is not None and self.delivers:
            key = (queue << schema.SEQ_BITS | after_seq) + 1
            if recent := self._recent.take(key, limit, octets_max):
                return [Letter(key & schema.SEQ_MASK, stream_of(row), row, records) for key, records, row in recent]
        return self._next(method, after_seq, limit, octets_max)

    def _next(self, method: str, after_seq: int, limit: int, octets_max: int) -> list[Letter]:
        damaged: dict[int, str] = {}

        def look(view: View) -> list[Letter]:
            damaged.clear()  # from a file that turned out to be damaged
            return view.letters(method, after_seq, limit, octets_max, damaged)

        found = self._read(look)
        if damaged:
            self.change(lambda transaction: transaction.quarantine(damaged))
        return found

    def newest(self) -> int:
        """Return the number of the record that was put last, 0 if none was."""
        return self._read(View.counters).next_seq - 1

    def floor(self) -> int:
        """Return a number below which no record waits or is set aside, so that no smaller one is ever sent again.

        All records are counted for it: had some vanished from sight in a damaged file, the inbox would take them for
        known when they are found again. That takes time where many wait, so that it may be older then.
        """
        began_at = self._monotonic()
        if began_at >= self._floor_due_at:
            self._floor = self._read(View.floor)
            now = self._monotonic()
            self._floor_due_at = now + (now - began_at) / _FLOOR_SHARE
        return self._floor

    def entries(self, limit: int, state: State = "ready", after_seq: int = 0) -> list[SpoolEntry]:
        """Return records as they lie there, in the order in which they were put."""
        return self._read(lambda view: view.entries(limit, state, after_seq))

    def keys(self, seqs: Iterable[int]) -> list[int]:
        """Return the keys that records with these numbers may have."""
        queues = self._read(View.queues)
        return [queue << schema.SEQ_BITS | seq for seq in seqs for queue, _ in queues]

    def stats(self, in_flight: int = 0) -> SpoolStats:
        """Return how it stands; the rates are those since the last time."""
        before, self._looked = self._looked, self._look()
        counters, oldest, now = self._looked
        seconds = max(now - before[2], 1e-9)
        return SpoolStats(
            ready=counters.ready,
            in_flight=in_flight,
            quarantined=counters.quarantined,
            octets=counters.octets,
            put=counters.put,
            delivered=counters.delivered,
            dropped=counters.dropped,
            oldest_age_s=None if oldest is None else max(0.0, self.clock() - oldest),
            put_per_s=max(0, counters.put - before[0].put) / seconds,
            delivered_per_s=max(0, counters.delivered - before[0].delivered) / seconds,
        )

    def _look(self) -> tuple[Counters, float | None, float]:
        return self._read(lambda view: (view.counters(), view.oldest_at(), self._monotonic()))

    def ready(self) -> int:
        """Return how many records wait."""
        return self._read(View.counters).ready

    def verify(self, progress: Callable[[int], None] | None = None) -> SpoolReport:
        """Look at every page and every record, save what can be saved of what is damaged, and return what was found.

        Args:
            progress: Told how many records were looked at, again and again.
        """
        repaired = self._file.check()
        if repaired:
            self._damage = (self._file.number, repaired)
            self.change(lambda transaction: None)
        checked = 0
        damaged: dict[int, str] = {}
        for state in schema.TABLES:
            after = -1
            records = -1
            while records:
                look = partial(View.checked, state=state, after=after, damaged=damaged)
                records, after = self._read(look)
                checked += records
                if progress is not None:
                    progress(checked)
        self.change(lambda transaction: transaction.quarantine(damaged))
        return SpoolReport(checked, repaired, {key & schema.SEQ_MASK: why for key, why in damaged.items()})

    # Waiting

    def listen(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Have this called after each change that is made through this object; return what ends that.

        It is called by the thread that made the change, often, and must return at once.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _tell(self) -> None:
        for listener in list(self._listeners):
            listener()

    def changed(self) -> bool:
        """Return whether anything was changed since this was asked last, by whichever process."""
        before, self._seen = self._seen, self._data_version()
        return self._seen != before

    def _data_version(self) -> int:
        return self._read(View.version)


def _settling(
    method: str, delivered: Iterable[tuple[int, int]], quarantined: Mapping[int, str]
) -> Callable[[Transaction], int]:
    def work(transaction: Transaction) -> int:
        base = transaction.queue_of(method) << schema.SEQ_BITS
        done = transaction.delivered([(base | first, base | last) for first, last in delivered])
        return done + transaction.quarantine({base | seq: why for seq, why in quarantined.items()})

    return work


def _again(error: SpoolError) -> SpoolError:
    """Return the same error for another to raise: each time one is raised its traceback grows."""
    return type(error)(str(error), path=error.path)
