"""What a task waits for until its call has ended, in place of an `asyncio.Future`.

A future asks the loop to wake its task by a callback of its own, which the loop makes, queues and takes out again: 180
bytecodes in CPython 3.11, as many as it takes to send a call. One message answers many calls, so whoever has taken it
in wakes their tasks himself, one after the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from contextvars import Context
from typing import TypeAlias

import msgspec

__all__ = ["Waiter"]

_Wake: TypeAlias = Callable[["Waiter"], object]


class Waiter(msgspec.Struct, eq=False):
    """Future-like, as `asyncio.isfuture` describes it, for one task that awaits it once."""

    loop: asyncio.AbstractEventLoop
    done: bool = False
    cancelled: bool = False
    why: object = None
    """What came with the cancellation."""
    wake: _Wake | None = None
    """Lets the task go on; None as long as nobody waits."""
    context: Context = msgspec.UNSET  # type: ignore[assignment]
    """Of the task; set together with `wake`."""
    _asyncio_future_blocking: bool = False

    def __await__(self) -> Generator[Waiter, None, None]:
        """Return when it is done; at once if it is already."""
        if not self.done:
            self._asyncio_future_blocking = True  # says that it was awaited, and not just yielded
            yield self

    def __repr__(self) -> str:
        """Return what the representation of its task says."""
        return f"<Waiter {'cancelled' if self.cancelled else 'done' if self.done else 'pending'}>"

    def end(self) -> None:
        """Be done, and let the task go on before this returns. No other task may be running."""
        if not self.done:
            self.done = True
            if self.wake is not None:
                self.context.run(self.wake, self)

    # -- what a task asks of what it waits for

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the loop of its task."""
        return self.loop

    def add_done_callback(self, wake: _Wake, *, context: Context) -> None:
        """Take note of how the task goes on."""
        self.wake = wake
        self.context = context

    def cancel(self, msg: object = None) -> bool:
        """Have the task go on with CancelledError; return False if it is about to go on anyway."""
        if self.done:
            return False
        self.done = self.cancelled = True
        self.why = msg
        if self.wake is not None:
            self.loop.call_soon(self.wake, self, context=self.context)
        return True

    def result(self) -> None:
        """Raise CancelledError if it was cancelled."""
        if self.cancelled:
            raise asyncio.CancelledError(*(() if self.why is None else (self.why,)))
