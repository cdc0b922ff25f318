"""Group commit: who finds no transaction running makes one, for itself and for all who came meanwhile.

A lone caller does not wait for company, and needs no other thread. While a transaction runs (nearly all of it is the
fsync) others gather behind it; when it ends the first of them makes the next one for all. So nobody waits longer than
for two transactions, and none is larger than `WEIGHT_MAX`, or its only job.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Generic, TypeVar

from mesh.errors import ClosedError

__all__ = ["WEIGHT_MAX", "GroupCommit", "Job"]

R = TypeVar("R")
X = TypeVar("X")

WEIGHT_MAX = 1000
"""Records of one transaction, unless its only job has more."""


class Job(Generic[X, R]):
    """Something to do within a transaction, of type X, and what came of it."""

    __slots__ = ("done", "error", "leads", "result", "wake", "weight", "work")

    def __init__(self, work: Callable[[X], R], weight: int, wake: Callable[[], None]) -> None:
        self.work: Callable[[X], R] = work
        self.weight: int = weight
        self.wake: Callable[[], None] = wake
        """Called when it is done, or when it is its turn to make the next transaction."""
        self.leads: bool = False
        self.done: bool = False
        self.error: BaseException | None = None
        self.result: R

    def outcome(self) -> R:
        """Return the result, or raise the error. It is done."""
        if self.error is not None:
            raise self.error
        return self.result


class _Bell:
    """Wakes coroutines of one loop from other threads: with one call for all that are to wake meanwhile."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._sleepers: deque[asyncio.Future[None]] = deque()
        self._mutex = threading.Lock()
        self._rung = False

    def ring(self, sleeper: asyncio.Future[None]) -> None:
        """Have this one go on."""
        self._sleepers.append(sleeper)
        with self._mutex:
            rung, self._rung = self._rung, True
        if not rung:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
                self.loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        with self._mutex:
            self._rung = False
        while self._sleepers:
            sleeper = self._sleepers.popleft()
            if not sleeper.done():
                sleeper.set_result(None)


class GroupCommit(Generic[X]):
    """The queue of those who want to change something.

    Args:
        transact: Makes one transaction of these jobs, and gives each its result or its error; raises nothing but what
            interrupts the thread.
    """

    def __init__(self, transact: Callable[[Sequence[Job[X, Any]]], None]) -> None:
        self._transact = transact
        self._mutex = threading.Lock()
        self._queue: deque[Job[X, Any]] = deque()
        self._busy = False
        """Somebody makes a transaction, or is about to: the first in the queue, then."""
        self._helper: ThreadPoolExecutor | None = None
        self._bell: _Bell | None = None
        """That of the loop whose coroutine came last."""
        self._closed = False

    def do(self, work: Callable[[X], R], weight: int = 1) -> R:
        """Do this within a transaction; return its result when it is on disk."""
        gate = threading.Lock()
        gate.acquire()
        job: Job[X, R] = Job(work, weight, gate.release)
        if not self._enter(job):
            try:
                gate.acquire()
            except BaseException:
                self._withdraw(job)
                raise
        if not job.done:
            self._lead()
        return job.outcome()

    async def do_async(self, work: Callable[[X], R], weight: int = 1) -> R:
        """Do the same from a coroutine; the loop goes on meanwhile. One that is cancelled may or may not be done."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        bell = self._bell
        if bell is None or bell.loop is not loop:
            bell = self._bell = _Bell(loop)

        def wake() -> None:
            if job.done:
                bell.ring(future)
            else:
                self._lead_elsewhere()

        job: Job[X, R] = Job(work, weight, wake)
        if self._enter(job):
            self._lead_elsewhere()
        await future
        return job.outcome()

    def close(self) -> None:
        """Take no more jobs, and return when those that came before are done."""
        last = threading.Lock()
        last.acquire()
        job: Job[X, None] = Job(lambda transaction: None, WEIGHT_MAX, last.release)
        if not self._enter(job, closing=True):
            last.acquire()
        if not job.done:
            self._lead()
        if self._helper is not None:
            self._helper.shutdown()

    def _enter(self, job: Job[X, Any], *, closing: bool = False) -> bool:
        """Queue up; return whether it is this one's turn at once."""
        with self._mutex:
            if self._closed:
                raise ClosedError("the spool is closed")
            self._closed = closing
            self._queue.append(job)
            first, self._busy = not self._busy, True
        return first

    def _lead_elsewhere(self) -> None:
        with self._mutex:
            if self._helper is None:
                self._helper = ThreadPoolExecutor(1, "mesh-spool")
            self._helper.submit(self._lead)

    def _lead(self) -> None:
        """Make a transaction of what waits, the own job first, and tell the next that it is its turn."""
        queue = self._queue
        with self._mutex:
            group = [queue.popleft()]
            weight = group[0].weight
            while queue and (weight := weight + queue[0].weight) <= WEIGHT_MAX:
                group.append(queue.popleft())
        try:
            self._transact(group)
        finally:
            self._pass_on()
            for job in group:
                job.done = True
                job.wake()

    def _pass_on(self) -> None:
        with self._mutex:
            self._busy = bool(self._queue)
            following = self._queue[0] if self._busy else None
            if following is not None:
                following.leads = True
        if following is not None:
            following.wake()

    def _withdraw(self, job: Job[X, Any]) -> None:
        """Leave the queue, for the thread that waits was interrupted."""
        with self._mutex:
            if job not in self._queue:
                return  # it is being done
            self._queue.remove(job)
        if job.leads:
            self._pass_on()
