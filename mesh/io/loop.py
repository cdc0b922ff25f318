"""The asyncio driver of a client: the ZeroMQ descriptor in the loop, drained by hand.

The descriptor is edge-triggered and any call on the socket takes the edge, so after each send the socket is looked at
again, once per turn of the loop; each drain is bounded and schedules the rest.

Calls that are made while the loop turns gather and are given to the core together, and those that a message has
answered go on together: what a turn costs is divided among them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from mesh.core.calls import PendingCall, Watch
from mesh.core.events import CallAbandoned, CallsRequested, ClientEvent, Stopping, WatchRequested
from mesh.errors import ClosedError
from mesh.io.engine import ClientEngine
from mesh.io.waiter import Waiter

if TYPE_CHECKING:
    from mesh.config import ClientConfig
    from mesh.core.actions import Notice
    from mesh.core.client import ClientCore

__all__ = ["LoopDriver"]

T = TypeVar("T")


class LoopDriver:
    """Drives one client core inside the running loop; used from that loop only, except for `post`.

    Args:
        core: Decides.
        config: Limits and times of the sockets.
        on_search: Called when discovery is to ask who is there. It must not block.
        on_notice: Called with what may interest somebody.
    """

    def __init__(
        self,
        core: ClientCore,
        config: ClientConfig,
        on_search: Callable[[], None],
        on_notice: Callable[[Notice], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._armed_for = 0.0
        self._scheduled = False
        self._closed = False
        self._router_descriptor = -1
        self._asked: list[PendingCall] = []
        """Calls that the core has not been told of."""
        self._ended: list[PendingCall | Watch] = []
        """What has ended and whose tasks are to go on."""
        self._engine = ClientEngine(core, config, self._on_descriptor, self._on_finish, on_search, on_notice)

    def call(self, call: PendingCall) -> Waiter:
        """Make a call; it has ended when the waiter is done, and the outcome is in it."""
        if self._closed:
            raise ClosedError("the client is closed")
        call.waiter = waiter = Waiter(self._loop)
        self._asked.append(call)
        if not self._scheduled:
            self._scheduled = True
            if not self._engine.core.open_calls:  # nothing to gather it with: its server begins while the loop turns
                self._ask()
                self._engine.flush()
            self._loop.call_soon(self._on_turn)
        return waiter

    def watch(self, watch: Watch) -> Waiter:
        """Wait until enough servers are alive, or it is too late; then the waiter is done."""
        if self._closed:
            raise ClosedError("the client is closed")
        watch.waiter = waiter = Waiter(self._loop)
        self._take(WatchRequested(watch))
        return waiter

    def abandon(self, call: PendingCall) -> None:
        """Nobody waits for this call any more."""
        if not call.done:
            self._take(CallAbandoned(call))

    def post(self, event: ClientEvent) -> None:
        """Tell the core something, from any thread; does nothing after `close`."""
        if not self._closed:
            try:
                self._loop.call_soon_threadsafe(self._take, event)
            except RuntimeError:  # the loop was closed under us
                self._closed = True

    def look(self, read: Callable[[ClientCore, float], T]) -> T:
        """Return what `read` makes of the core."""
        self._ask()
        return read(self._engine.core, time.monotonic())

    def close(self) -> None:
        """Fail what is open and release everything; a second time does nothing."""
        if self._closed:
            return
        self._ask()
        self._closed = True
        self._engine.feed(Stopping())
        self._engine.flush()
        if self._timer is not None:
            self._timer.cancel()
        self._engine.close()
        self._loop.call_soon(self._go_on)

    def _take(self, event: ClientEvent) -> None:
        if not self._closed:
            self._ask()
            self._engine.feed(event)
            self._soon()

    def _ask(self) -> None:
        """Give the core the calls that have gathered."""
        if self._asked:
            asked, self._asked = self._asked, []
            self._engine.feed(CallsRequested(asked))

    def _go_on(self) -> None:
        """Let the tasks go on whose calls have ended; no task is running."""
        ended, self._ended = self._ended, []
        going = iter(ended)
        try:
            for item in going:
                waiter = item.waiter
                item.waiter = None  # it holds the task, which may return what holds the call
                waiter.end()
        except BaseException:  # an interrupt, or the exit of the program, in one of them: the others go on later
            self._ended[:0] = going
            self._loop.call_soon(self._go_on)
            raise

    def _soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._on_turn)

    def _on_turn(self) -> None:
        self._scheduled = False
        self._engine.check_process()
        self._turn()

    def _turn(self) -> None:
        if self._closed:
            return
        self._ask()
        if self._engine.pump(monitors=False):
            self._soon()
        self._end_turn()

    def _on_monitor(self) -> None:
        if self._closed:
            return
        self._ask()
        if self._engine.pump():
            self._soon()
        self._end_turn()

    def _on_timer(self) -> None:
        self._timer = None
        self._turn()

    def _end_turn(self) -> None:
        self._arm()
        if self._ended:
            self._go_on()

    def _arm(self) -> None:
        due = self._engine.deadline()
        if due is None or (self._timer is not None and self._armed_for <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._armed_for = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _on_descriptor(self, descriptor: int, watch: bool) -> None:
        if watch and self._router_descriptor < 0:
            self._router_descriptor = descriptor
            self._loop.add_reader(descriptor, self._turn)
        elif watch:
            self._loop.add_reader(descriptor, self._on_monitor)
        else:
            self._loop.remove_reader(descriptor)

    def _on_finish(self, ended: list[PendingCall | Watch]) -> None:
        self._ended += ended
