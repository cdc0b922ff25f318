"""Long-lived tasks of an asyncio loop, which run coroutine handlers one after the other.

To make a task, schedule it and take it down takes longer than most handlers do. So a worker takes what waits and drives
it by hand: a handler that ends in its first step has cost the loop nothing. When one has to wait, the worker waits with
it, as if that handler were all there is to its task, and others go on with what is left.
"""

from __future__ import annotations

import asyncio
import contextvars
import time
import types
from collections import deque
from collections.abc import Callable, Coroutine, Generator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

if TYPE_CHECKING:
    from mesh.core.events import ReplyGiven
    from mesh.core.work import Work

__all__ = ["Crew"]

T = TypeVar("T")
_Handler: TypeAlias = Coroutine[Any, Any, T]

_TURN_S = 0.002
"""Handlers run for so long before the loop sees to something else: PINGs, CANCELs, other tasks of the program."""
_TURN_CALLS = 32
"""And so many of them to their end: their answers leave while the next ones run."""
_IDLE_MAX = 128
"""Workers that are kept for the next call, at about 2 KiB each."""


class Crew:
    """The workers of one server; used in the thread of their loop.

    What a handler sets in its context is gone with its call. A worker whose task was cancelled ends after that call, so
    that no cancellation reaches another one.

    Args:
        loop: Runs them.
        run: Makes the coroutine of a call, which returns its result.
        done: Called with each result.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        run: Callable[[Work], _Handler[ReplyGiven]],
        done: Callable[[ReplyGiven], None],
    ) -> None:
        self._loop = loop
        self._run = run
        self._done = done
        self._context = contextvars.copy_context()
        self._waiting: deque[Work] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._on_duty: set[asyncio.Task[None]] = set()
        """Those that take what waits, or are about to: one at the least while anything waits."""
        self._idle: dict[asyncio.Task[None], asyncio.Future[None]] = {}
        """Those that have nothing to do, and what each waits for."""
        self._at: dict[Work, asyncio.Task[None]] = {}
        """Who runs each call that has to wait."""
        self._made = 0
        self._calls_left = 0
        self._until = 0.0
        """The turn ends then, or after so many calls; it is that of all workers together."""
        self._closed = False

    def run(self, works: Sequence[Work]) -> None:
        """Have handlers run, in order; does nothing after `close`."""
        if self._closed:
            return
        self._waiting.extend(works)
        if not self._on_duty:
            self._begin_turn()
            self._rouse()

    def cancel(self, work: Work) -> None:
        """Cancel the task that runs a call, if it has not ended by now: the task goes on to others."""
        if work in self._at:
            self._at[work].cancel()

    def close(self) -> set[asyncio.Task[None]]:
        """Drop what waits, cancel what runs, and return the tasks that are about to end."""
        self._closed = True
        self._waiting.clear()
        for task in self._tasks:
            task.cancel()
        return self._tasks.copy()

    def _begin_turn(self) -> None:
        self._calls_left = _TURN_CALLS
        self._until = time.monotonic() + _TURN_S

    def _rouse(self) -> None:
        """Put one more worker on duty."""
        while self._idle:
            task, bell = self._idle.popitem()
            if not bell.done():  # else it was cancelled, and is about to end
                bell.set_result(None)
                self._on_duty.add(task)
                return
        self._made += 1
        name = f"mesh-coroutines-{self._made}"
        # Not by the loop, whose program may have told it to begin a task before it is known here (eager_task_factory).
        task = asyncio.Task(self._work(), loop=self._loop, name=name, context=self._context.copy())
        task.add_done_callback(self._ended)
        self._tasks.add(task)
        self._on_duty.add(task)

    def _relieve(self, task: asyncio.Task[None]) -> None:
        """Put two others on duty instead of one: a thousand handlers that wait would begin one by one otherwise."""
        self._on_duty.remove(task)
        for _ in range(min(2, len(self._waiting) - len(self._on_duty))):
            self._rouse()

    def _ended(self, task: asyncio.Task[None]) -> None:
        """Take notice that a worker has ended, in whatever way, and perhaps before it had begun."""
        self._tasks.remove(task)
        self._idle.pop(task, None)
        if task in self._on_duty:
            self._relieve(task)

    async def _work(self) -> None:
        """Be a worker."""
        task = asyncio.current_task()
        assert task is not None
        while True:
            await self._serve(task)
            if task.cancelling():
                return
            self._on_duty.discard(task)
            if len(self._idle) >= _IDLE_MAX:
                return
            self._idle[task] = bell = self._loop.create_future()
            await bell

    async def _serve(self, task: asyncio.Task[None]) -> None:
        """Be on duty until nothing waits, or a handler does; run that to its end and more while the turn lasts."""
        waiting, context, monotonic, on_duty = self._waiting, self._context, time.monotonic, True
        while waiting:
            if self._calls_left <= 0 or monotonic() >= self._until:
                if not on_duty or len(self._on_duty) > 1:
                    return
                await _pause()
                self._begin_turn()
                continue  # all may have been dropped meanwhile
            work = waiting.popleft()
            handler, own = self._run(work), context.copy()
            try:
                waits_for = own.run(handler.send, None)
            except StopIteration as ended:
                self._done(ended.value)
            else:
                if on_duty:
                    on_duty = False
                    self._relieve(task)
                self._at[work] = task
                rest = _rest(handler, own, waits_for)
                del waits_for  # what a handler has waited for is not kept until it ends
                try:
                    self._done(await rest)
                finally:
                    del self._at[work]
            if task.cancelling():
                return
            self._calls_left -= 1


@types.coroutine
def _pause() -> Generator[None, None, None]:
    """Let the loop see to everything else once."""
    yield


@types.coroutine
def _rest(handler: _Handler[T], context: contextvars.Context, waits_for: Any) -> Generator[Any, Any, T]:
    """Run a handler that waits to its end, in its context, and return its result.

    What it waits for goes up to the loop as it is, and what comes of that down to it: to both it is the task.
    """
    try:
        while True:
            try:
                sent = yield waits_for
            except GeneratorExit:
                context.run(handler.close)
                raise
            except BaseException as error:
                waits_for = context.run(handler.throw, error)
            else:
                waits_for = context.run(handler.send, sent)
    except StopIteration as ended:
        result: T = ended.value
        return result
