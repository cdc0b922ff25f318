"""The drivers of a server: one waits in a thread of its own, one in a running asyncio loop."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, TypeVar

from mesh.io.crew import Crew
from mesh.io.poller import Poller, Wake
from mesh.io.serving import Gate, Runner, ServerEngine

if TYPE_CHECKING:
    from mesh.config import Limits
    from mesh.core.actions import Notice
    from mesh.core.events import ReplyGiven
    from mesh.core.server import ServerCore
    from mesh.core.work import Work
    from mesh.io.link import ServerLink

__all__ = ["LoopHost", "ThreadHost"]

T = TypeVar("T")

_CANCEL_S = 0.5
"""Time for a coroutine to end when it is cancelled after the drain; one that will not is left to itself."""
_SOON_S = 0.02
"""How soon to look again at a server that drains, or at clients that do not read: their pipes may drain unheard."""
_LOOK_S = 1.0
"""Time for the thread that serves to come to a look at what it has counted."""
_GOODBYE_S = 1.0
"""Time to cancel what still runs, say goodbye and release everything after the drain."""


class ThreadHost:
    """Serves from a thread of its own; coroutine handlers run in a loop in a second one, made when the first comes."""

    def __init__(
        self,
        core: ServerCore,
        link: ServerLink,
        runner: Runner,
        limits: Limits,
        threads: Mapping[str, int],
        on_notice: Callable[[Notice], None],
        gate: Gate | None = None,
    ) -> None:
        self._runner = runner
        self._engine = ServerEngine(
            core, link, runner, limits, threads, self._spawn, self._cancel, self._post, on_notice, gate
        )
        self._given: deque[ReplyGiven] = deque()
        self._rung = False
        """Somebody has given a result since the last look, and has woken the thread for it."""
        self._tasks: deque[Callable[[], None]] = deque()
        self._wake = Wake()
        self._poller = Poller()
        self._poller.add(self._wake.descriptor)
        self._poller.add(self._engine.descriptor)
        self._drain_until: float | None = None
        self._draining = False
        self._coroutines: _LoopThread | None = None
        self.finished: threading.Event = threading.Event()
        """Set when the server has stopped and released its socket."""
        self._thread = threading.Thread(target=self._serve, name=f"mesh-server-{core.name}", daemon=True)
        self._thread.start()

    def soon(self, task: Callable[[], None]) -> None:
        """Have the thread that serves do something small between two turns: that it is done is a sign of its life."""
        self._tasks.append(task)
        self._wake.set()

    def look(self, read: Callable[[], T]) -> T | None:
        """Return what `read` returns in the thread that serves; None if that does not come to it in time."""
        if threading.current_thread() is self._thread:
            return read()
        found: queue.SimpleQueue[T] = queue.SimpleQueue()
        self.soon(lambda: found.put(read()))
        until = time.monotonic() + _LOOK_S
        while not self.finished.is_set() and (left_s := until - time.monotonic()) > 0:
            with contextlib.suppress(queue.Empty):
                return found.get(timeout=min(left_s, _SOON_S))
        return None

    def drain(self, drain_s: float) -> None:
        """Begin to stop: refuse new calls, end when none runs or `drain_s` has passed. Also from a signal handler."""
        self._drain_until = time.monotonic() + drain_s
        self._wake.set()

    def join(self) -> None:
        """Return when the thread has ended, or when an inline handler that runs on has had its time to drain."""
        assert self._drain_until is not None, "drain comes before join"
        self._thread.join(max(0.0, self._drain_until - time.monotonic()) + _GOODBYE_S)

    def _serve(self) -> None:
        engine, given, poller, wake = self._engine, self._given, self._poller, self._wake
        try:
            while True:
                again = engine.pump()
                if given:
                    self._rung = False
                    again = True
                    engine.give(_taken(given))
                while self._tasks:
                    self._tasks.popleft()()
                    engine.let_in()
                    again = True
                if self._drain_until is not None and self._is_drained(again):
                    return
                if again:
                    continue
                for descriptor in poller.wait(_SOON_S if self._draining or engine.is_blocked else None):
                    if descriptor == wake.descriptor:
                        wake.clear()
        finally:
            engine.close()
            if self._coroutines is not None:
                self._coroutines.close()
            poller.close()
            wake.close()
            self.finished.set()

    def _is_drained(self, busy: bool) -> bool:
        if not self._draining:
            self._draining = True
            self._engine.drain()
        assert self._drain_until is not None
        return (not busy and self._engine.core.idle()) or time.monotonic() >= self._drain_until

    def _post(self, reply: ReplyGiven) -> None:
        self._given.append(reply)
        if not self._rung:
            self._rung = True
            self._wake.set()

    def _spawn(self, works: Sequence[Work]) -> None:
        if self._coroutines is None:
            self._coroutines = _LoopThread(self._runner, self._post)
        self._coroutines.run(works)

    def _cancel(self, work: Work) -> None:
        if self._coroutines is not None:
            self._coroutines.cancel(work)


class _LoopThread:
    """An asyncio loop in a thread, for the handlers that are coroutines."""

    def __init__(self, runner: Runner, done: Callable[[ReplyGiven], None]) -> None:
        self._waiting: deque[Work] = deque()
        self._rung = False
        """The loop has been told to look at what waits: once for all that comes until it does."""
        self._loop = asyncio.new_event_loop()
        self._crew = Crew(self._loop, runner.run_async, done)
        self._thread = threading.Thread(target=self._run, name="mesh-coroutines", daemon=True)
        self._thread.start()

    def run(self, works: Sequence[Work]) -> None:
        """Have calls run; called from the thread that serves."""
        self._waiting.extend(works)
        if not self._rung:
            self._rung = True
            self._loop.call_soon_threadsafe(self._begin)

    def cancel(self, work: Work) -> None:
        """Cancel the task of a call; called from there too."""
        self._loop.call_soon_threadsafe(self._crew.cancel, work)

    def _begin(self) -> None:
        self._rung = False
        self._crew.run(_taken(self._waiting))

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_CANCEL_S)

    def _run(self) -> None:
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(self._cancel_rest())
        finally:
            self._loop.close()

    async def _cancel_rest(self) -> None:
        self._crew.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


class LoopHost:
    """Serves in the running asyncio loop, and runs coroutine handlers in tasks of that."""

    def __init__(
        self,
        core: ServerCore,
        link: ServerLink,
        runner: Runner,
        limits: Limits,
        threads: Mapping[str, int],
        on_notice: Callable[[Notice], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._crew = Crew(self._loop, runner.run_async, self._give)
        self._given: deque[ReplyGiven] = deque()
        self._scheduled = False
        """A turn is to come: one for all results that are given until it does."""
        self._closed = False
        self._again: asyncio.TimerHandle | None = None
        """Looks at clients that do not read."""
        self._drained: asyncio.Event | None = None
        """Set when no call runs any more; made by `drain`."""
        crew = self._crew
        self._engine = ServerEngine(core, link, runner, limits, threads, crew.run, crew.cancel, self._post, on_notice)
        self._loop.add_reader(self._engine.descriptor, self._turn)
        self._soon()

    def look(self, read: Callable[[], T]) -> T | None:
        """Return what `read` returns, in the loop that serves; None when that has stopped to."""
        return None if self._closed else read()

    async def drain(self, drain_s: float) -> None:
        """Refuse new calls, wait until none runs or `drain_s` has passed, then release everything."""
        if self._closed:
            return
        self._drained = asyncio.Event()
        self._engine.drain()
        self._soon()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(drain_s):
                await self._drained.wait()
        self._turn()  # the last answers
        self._closed = True
        if self._again is not None:
            self._again.cancel()
        self._loop.remove_reader(self._engine.descriptor)
        self._engine.close()
        if left := self._crew.close():
            await asyncio.wait(left, timeout=_CANCEL_S)

    def _turn(self) -> None:
        self._scheduled = False
        if self._given and not self._closed:
            self._engine.give(_taken(self._given))
        if not self._closed and self._engine.pump():
            self._soon()
        elif self._engine.is_blocked and not self._closed and self._again is None:
            self._again = self._loop.call_later(_SOON_S, self._look_again)
        if self._drained is not None and self._engine.core.idle():
            self._drained.set()

    def _look_again(self) -> None:
        self._again = None
        self._turn()

    def _soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)

    def _give(self, reply: ReplyGiven) -> None:
        self._given.append(reply)
        self._soon()

    def _post(self, reply: ReplyGiven) -> None:
        """Take a result from another thread."""
        self._given.append(reply)
        if not self._scheduled:
            self._scheduled = True
            with contextlib.suppress(RuntimeError):  # the loop is closed; nobody waits for this answer
                self._loop.call_soon_threadsafe(self._turn)


def _taken(queue: deque[T]) -> list[T]:
    """Take out what is there; others may add to it meanwhile."""
    return [queue.popleft() for _ in range(len(queue))]
