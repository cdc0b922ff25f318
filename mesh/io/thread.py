"""The sync driver of a client: the thread that waits for a call drives it.

One lock guards the engine. The first thread that waits becomes the leader: it waits on the sockets, with the lock
released, and takes in what comes, for itself and for the followers, who sleep. When its own call is over it hands the
lead to one of them. A keeper thread does the same while nobody waits, so that pings go on; it does not wake for
messages while there is a leader. So a call costs no thread switch.

Whoever finds the lock taken leaves his call at the desk and sleeps; whoever releases it takes up what was left there.
So calls of many threads leave in one message, and nobody queues for the lock.

A crowd of callers is served by the keeper: all leave their calls at the desk, and whoever finds it asleep wakes it.
Each of them sleeps and wakes once for a call, which is the least, and none disturbs another at the sockets. With 16
threads that takes 39 us of processor a call, against 137 where one of them leads (CPython 3.11, two cores).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from mesh.core.calls import PendingCall, Watch
from mesh.core.events import CallAbandoned, CallsRequested, ClientEvent, Stopping, WatchRequested
from mesh.errors import ClosedError
from mesh.io.bell import Bells
from mesh.io.context import check_process, process_mark
from mesh.io.desk import Desk
from mesh.io.engine import ClientEngine
from mesh.io.poller import Poller, Wake

if TYPE_CHECKING:
    from mesh.config import ClientConfig
    from mesh.core.actions import Notice
    from mesh.core.client import ClientCore

__all__ = ["ThreadDriver"]

T = TypeVar("T")
_Item: TypeAlias = "PendingCall | Watch"
"""What a thread waits for; its waiter is the bell that the thread sleeps on, unless it leads."""

_TURNS_MAX = 8
"""Turns in a row after which whoever drives makes room for other threads, who wait for the lock during a flood."""
_BREATH_S = 0.0002
"""For so long: a lock that is released and taken again at once is hardly ever handed over."""
_LULL_S = 0.02
"""Time without a call after which the keeper takes over: pausing and resuming it for each one would cost more."""
_CROWD_MIN = 3
"""So many followers when a leader's call is over are a crowd: with two it costs as much as it saves."""
_THIN_TURNS = 16
"""After so many of the keeper's turns in a row, each with less than two calls made, it is none any more."""


class ThreadDriver:
    """Drives one client core; any number of threads may call at the same time.

    Args:
        core: Decides.
        config: Limits and times of the sockets.
        on_search: Called when discovery is to ask who is there, from any of the threads. It must not block.
        on_notice: Called with what may interest somebody, from any of the threads.
    """

    def __init__(
        self,
        core: ClientCore,
        config: ClientConfig,
        on_search: Callable[[], None],
        on_notice: Callable[[Notice], None],
    ) -> None:
        self._mark = process_mark()
        self._desk: Desk[_Item] = Desk(self._take_up, self._mend)
        self._leaders = Poller()
        self._keepers = Poller()
        self._leader_wake = Wake()
        self._keeper_wake = Wake()
        self._leaders.add(self._leader_wake.descriptor)
        self._keepers.add(self._keeper_wake.descriptor)
        self._router_descriptor = -1
        self._leader: _Item | None = None
        """What the leading thread waits for."""
        self._leader_sleeps_until = 0.0
        """When the waiting leader will look again; 0 while it does not wait."""
        self._keeper_sleeps_until = 0.0
        self._keeper_paused = False
        """The keeper does not wake for messages: somebody called a moment ago and may again."""
        self._calls = 0
        self._calls_seen = 0
        """How many of them the keeper knew of when it looked last."""
        self._followers: dict[_Item, None] = {}
        """What the others wait for, in order."""
        self._bells = Bells()
        self._crowded = False
        """So many call that the keeper has the sockets for itself."""
        self._thin_turns = 0
        self._keeper_sleeps = False
        """A crowd has to wake the keeper."""
        self._usual = {self._keeper_wake.descriptor}
        """What the keeper wakes for without anything that concerns a connection."""
        self._closed = False
        self._engine = ClientEngine(core, config, self._on_descriptor, self._on_finish, on_search, on_notice)
        self._keeper = threading.Thread(target=self._keep, name="mesh-keeper", daemon=True)
        self._keeper.start()

    # -- what callers do

    def call(self, call: PendingCall) -> None:
        """Make a call and return when it has ended; the outcome is in it."""
        self._drive(call)

    def watch(self, watch: Watch) -> None:
        """Return when enough servers are alive, or it is too late."""
        self._drive(watch)

    def post(self, event: ClientEvent) -> None:
        """Tell the core something, from any thread; does nothing after `close`."""
        self._desk.do(self._tell, event)

    def look(self, read: Callable[[ClientCore, float], T]) -> T:
        """Return what `read` makes of the core, with nobody else touching it."""
        check_process(self._mark)
        return self._desk.do(lambda: read(self._engine.core, time.monotonic()))

    def close(self) -> None:
        """Fail what is open, say so to those who wait, and release everything; a second time does nothing."""
        if not self._desk.do(self._stop):
            return
        self._keeper_wake.set()
        self._leader_wake.set()
        self._keeper.join()
        while self._desk.do(lambda: self._leader is not None):  # the last leader has left the sockets
            self._leader_wake.set()
            time.sleep(0.001)
        self._engine.close()
        self._bells.close()
        self._leaders.close()
        self._keepers.close()
        self._leader_wake.close()
        self._keeper_wake.close()

    def _tell(self, event: ClientEvent) -> None:
        if not self._closed:
            self._engine.feed(event)
            self._settle()

    def _stop(self) -> bool:
        if self._closed:
            return False
        self._engine.feed(Stopping())
        self._engine.flush()
        self._closed = True
        self._crowded = False
        return True

    # -- leading and following

    def _drive(self, item: _Item) -> None:
        check_process(self._mark)  # before the lock, which a thread may have held that the child does not have
        desk = self._desk
        if desk.is_mine():
            raise RuntimeError("this thread is in the midst of a call; a signal handler cannot make another one there")
        try:
            leads = None if self._crowded else desk.do_if_free(self._begin, item)
            if leads is None:
                item.waiter = self._bells.take()
                desk.leave_work(item)
                self._see_to_work()
            bell = item.waiter
            if bell is not None:
                bell.wait()
                leads = self._leader is item
            if leads:
                self._lead(item)
        except BaseException:  # an interrupt: take the call back, and the lead if it was just handed over
            desk.let_go()
            desk.do(self._give_up, item)
            raise
        if bell is not None:
            item.waiter = None
            self._bells.give_back(bell)

    def _begin(self, item: _Item) -> bool:
        """Make a call; return whether its thread leads. If it does not, it has a bell, or nothing to wait for."""
        if self._closed:
            raise ClosedError("the client is closed")
        self._engine.feed(CallsRequested([item]) if isinstance(item, PendingCall) else WatchRequested(item))
        if self._leader is None and not self._crowded and not item.done:
            self._leader = item
            return True
        self._settle()
        if not item.done:
            item.waiter = self._bells.take()
            self._followers[item] = None
        return False

    def _see_to_work(self) -> None:
        """Have somebody take up what was left at the desk."""
        if not self._crowded:
            self._desk.look_again()
        elif self._keeper_sleeps:
            self._keeper_sleeps = False
            self._keeper_wake.set()

    def _give_up(self, item: _Item) -> None:
        self._desk.take_back(item)
        self._followers.pop(item, None)
        if isinstance(item, PendingCall) and item.call_id and not item.done and not self._closed:
            self._engine.feed(CallAbandoned(item))
            self._engine.flush()
        if self._leader is item:
            self._resign()
        self._keeper_wake.set()  # this thread may have been about to do so on behalf of others

    def _mend(self) -> None:
        if self._closed:
            return
        self._engine.mend()
        # What was taken up without being made; to watch twice is no harm.
        self._request([item for item in self._followers if not (isinstance(item, PendingCall) and item.call_id)])

    def _take_up(self, left: Iterable[_Item]) -> None:
        """Make the calls that others have left at the desk. The lock is held."""
        new: list[_Item] = []
        for item in left:
            if item.done or item is self._leader or item in self._followers:
                continue  # it comes once more after an interrupt
            if self._closed:
                item.error = ClosedError("the client is closed")
                item.done = True
                item.waiter.ring()
            else:
                self._followers[item] = None
                new.append(item)
        if self._closed:
            return
        self._calls += len(new)
        self._request(new)
        self._settle()
        if self._leader is None and not self._crowded:
            self._hand_over()

    def _request(self, items: list[_Item]) -> None:
        calls = [item for item in items if isinstance(item, PendingCall)]
        if calls:
            self._engine.feed(CallsRequested(calls))
        for item in items:
            if isinstance(item, Watch):
                self._engine.feed(WatchRequested(item))

    def _lead(self, item: _Item) -> None:
        """Take in what comes until `item` is done."""
        ready: list[int] | None = None
        until: float | None = 0.0
        while True:
            until = self._desk.do(self._drive_on, item, ready, until or 0.0)
            if self._leader is not item:
                return
            if until is None:
                time.sleep(_BREATH_S)  # others may have the lock
                ready = []
            else:
                ready = self._leaders.wait(max(0.0, until - time.monotonic()))

    def _drive_on(self, item: _Item, ready: list[int] | None, until: float) -> float | None:
        """Take in what came for the leader, after it has waited for it.

        Args:
            item: What it waits for.
            ready: Descriptors that are readable; None: it has not waited yet.
            until: How long it would have waited.

        Returns:
            How long to wait; None for a moment, because there is more. What the leader has waited for is done if it
            does not lead any more.
        """
        engine = self._engine
        self._leader_sleeps_until = 0.0
        monitors = False
        if ready is None:
            self._pause_keeper()
        else:
            monitors = ready != [self._router_descriptor]
            took = engine.take() or engine.is_blocked
            if not took and not monitors and not item.done:
                # A server that takes our message wakes us too: its pipe has room again. Nothing to send, so wait on.
                self._leader_sleeps_until = until
                return until
            if self._leader_wake.descriptor in ready:
                self._leader_wake.clear()
        turns = 0
        while not item.done and turns < _TURNS_MAX and engine.pump(monitors=monitors):
            turns += 1
        if item.done:
            self._resign()
            return until
        if turns == _TURNS_MAX:
            return None
        due = engine.deadline()
        self._leader_sleeps_until = time.monotonic() + 60.0 if due is None else due
        return self._leader_sleeps_until

    def _pause_keeper(self) -> None:
        self._calls += 1
        if not self._keeper_paused:
            self._keeper_paused = True
            self._keepers.pause(self._router_descriptor)
            self._keeper_wake.set()

    def _resign(self) -> None:
        """Hand the lead over; if many follow, leave the sockets to the keeper."""
        if len(self._followers) < _CROWD_MIN:
            self._hand_over()
            return
        self._leader = None
        self._crowded = True
        self._thin_turns = 0
        self._keeper_paused = False
        self._keepers.resume(self._router_descriptor)
        self._keeper_wake.set()

    def _hand_over(self) -> None:
        """Hand the lead to a follower, or leave the sockets to the keeper, who looks at them before long."""
        for follower in self._followers:
            del self._followers[follower]
            self._leader = follower
            follower.waiter.ring()
            return
        self._leader = None

    def _settle(self) -> None:
        """After feeding: send, take in what came meanwhile, and wake whoever sleeps too long now."""
        engine = self._engine
        for _ in range(_TURNS_MAX):
            if not engine.pump(monitors=False):
                break
        else:  # the rest is for those who make room for others meanwhile
            (self._keeper_wake if self._leader is None else self._leader_wake).set()
            return
        if self._leader is None:
            self._wake_keeper()
        elif self._leader_sleeps_until:
            due = engine.deadline()
            if due is not None and due < self._leader_sleeps_until:
                self._leader_wake.set()

    def _wake_keeper(self) -> None:
        due = self._engine.deadline()
        if due is not None and due < self._keeper_sleeps_until:
            self._keeper_wake.set()

    # -- what the engine says

    def _on_descriptor(self, descriptor: int, watch: bool) -> None:
        if not watch:
            self._leaders.remove(descriptor)
            self._keepers.remove(descriptor)
            return
        self._leaders.add(descriptor)
        self._keepers.add(descriptor)
        if self._router_descriptor < 0:
            self._router_descriptor = descriptor
            self._usual.add(descriptor)

    def _on_finish(self, ended: list[_Item]) -> None:
        followers = self._followers
        for item in ended:
            if item is self._leader:
                if self._leader_sleeps_until:
                    self._leader_wake.set()
            elif item in followers:
                del followers[item]
                item.waiter.ring()

    # -- the keeper

    def _keep(self) -> None:
        ready: list[int] = []
        while (wait_s := self._desk.do(self._look_after, ready)) is not None:
            if not wait_s:
                time.sleep(_BREATH_S)
                ready = []
                continue
            self._keeper_sleeps = True  # before the look at the desk: who comes after it wakes the keeper
            ready = [] if self._crowded and self._desk.count_left() else self._keepers.wait(wait_s)
            self._keeper_sleeps = False
            if self._keeper_wake.descriptor in ready:
                self._keeper_wake.clear()

    def _look_after(self, ready: list[int]) -> float | None:
        """Do what a leader would do, if there is none.

        Args:
            ready: Descriptors that are readable; none: nobody knows.

        Returns:
            For how long to wait, 0 for a moment; None if the client is closed.
        """
        engine = self._engine
        if self._closed:
            return None
        called, self._calls_seen = self._calls - self._calls_seen, self._calls
        if self._crowded:
            self._thin_turns = 0 if called > 1 else self._thin_turns + 1
            if self._thin_turns == _THIN_TURNS:
                self._crowded = False
                self._hand_over()
        more = False
        if self._leader is None:
            if self._keeper_paused and not called:
                self._keeper_paused = False
                self._keepers.resume(self._router_descriptor)
            monitors = not self._usual.issuperset(ready or (-1,))
            more = all(engine.pump(monitors=monitors) for _ in range(_TURNS_MAX))
        now = time.monotonic()
        due = engine.deadline()
        until = now + 60.0 if due is None else max(due, now + 0.002)
        if self._keeper_paused:
            until = now + _LULL_S
        elif self._crowded:
            until = min(until, now + _LULL_S)
        self._keeper_sleeps_until = until
        return 0.0 if more else until - now
