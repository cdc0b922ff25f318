"""A simulated client: the shipped `ClientCore` in a shell that does what `mesh.io.engine` does, on a virtual network.

Records for one connection gather in its outbox while the pipe is full, and leave together as one message, really
encoded. Calls that are still in the outbox when the link is lost are reported as never written.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable

from mesh.config import ClientConfig
from mesh.core.actions import ClientAction, Connect, Disconnect, Finish, Notice, Search, Send
from mesh.core.calls import PendingCall, Watch
from mesh.core.client import ClientCore
from mesh.core.events import ClientEvent, LinkDown, LinkReached, LinkUp, Received, Tick
from mesh.core.wire import Call, Cancel, Record, encode
from mesh.sim.history import History, Written
from mesh.sim.link import Link
from mesh.sim.network import VirtualNetwork
from mesh.sim.process import TIMER, Process

__all__ = ["SimClient"]

_FOREVER = float("inf")
_ROUNDING_S = 1e-9
_AT_A_TIME_MAX = 2
"""Attempts of one call that nobody has cancelled: one, and a hedge."""
_OTHER_RECORDS_MAX = 64
"""Records in an outbox beside calls and what cancels them: PINGs, until a dead connection is dialled anew."""


class _Outbox:
    __slots__ = ("frames", "link", "records", "window_before")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.records: list[Record] = []
        self.window_before = 0
        """Calls that the server was to have at most before its latest message, which may have narrowed that."""
        self.frames: tuple[list[bytes], int] | None = None
        """The next message, encoded and refused, and how many records it carries."""


class SimClient:
    """One client, through all the lives of its process."""

    core: ClientCore

    def __init__(
        self,
        process: Process,
        network: VirtualNetwork,
        config: ClientConfig,
        rng: random.Random,
        history: History,
        on_finish: Callable[[PendingCall], None],
    ) -> None:
        self.name: str = process.name
        self.process = process
        self._network = network
        self._clock = network.clock
        self._config = config
        self._limits = config.limits
        self._rng = rng
        self._history = history
        self._on_finish = on_finish
        self._begin()

    def _begin(self) -> None:
        self.core = ClientCore(self._config, self._rng)
        self.began_at: float = self.process.now
        """When this life of it began, on its clock."""
        self._outboxes: dict[int, _Outbox] = {}
        self._dirty: dict[int, _Outbox] = {}
        self._holders: dict[int, list[int]] = {}
        """By call: connections that were given it, and no CANCEL since."""
        self._given: dict[int, str] = {}
        """Calls of the list of actions that is performed, and how they are named in the history."""
        self._now = 0.0
        self._wake_at = _FOREVER

    def start(self) -> None:
        """Begin another life."""
        self.process.start()
        self._begin()

    def kill(self) -> None:
        """End it without a word: the kernel closes its connections."""
        self.count()
        self.process.kill()
        for outbox in self._outboxes.values():
            outbox.link.close()

    def count(self) -> None:
        """Add what this life has counted to the history."""
        self._history.counted.update(dataclasses.asdict(self.core.counters()))

    def turn(self, event: ClientEvent) -> None:
        """Tell the core what happened, perform what it answers, send what gathered, and wait for its deadline."""
        core = self.core
        now = self._clock.now - self.process.behind_s
        if now < self._now:
            now = self._now  # what sleep takes from a clock leaves rounding errors
        self._now = now
        actions = core.handle(event, now)
        if actions:
            self._perform(actions)
        if self._dirty:
            self._flush()
        due = core.deadline()
        if due is not None and due < self._wake_at:
            self._set_alarm(due)

    def unsent(self) -> int:
        """Return how many records wait in outboxes."""
        return sum(len(outbox.records) for outbox in self._outboxes.values())

    def reaches(self, conn_id: int) -> bool:
        """Return whether a server still holds the other end of a connection."""
        outbox = self._outboxes.get(conn_id)
        return outbox is not None and outbox.link.server is not None

    # -- what the network says

    def link_reached(self, conn_id: int) -> None:
        """The server's kernel has taken the connection."""
        self.turn(LinkReached(conn_id))

    def link_up(self, conn_id: int) -> None:
        """The handshake is done."""
        self.turn(LinkUp(conn_id))

    def link_lost(self, conn_id: int, why: str) -> None:
        """The link is lost, or could not be made."""
        outbox = self._outboxes.pop(conn_id, None)
        if outbox is None:
            return  # lost, or dropped, in the same turn
        self._dirty.pop(conn_id, None)
        unsent = tuple(record.call_id for record in outbox.records if type(record) is Call)
        self.turn(LinkDown(conn_id, why, unsent))

    def receive(self, conn_id: int, frames: list[bytes]) -> None:
        """A message has come."""
        conn = self.core._links.conns.get(conn_id)
        if conn is not None:
            self._outboxes[conn_id].window_before = conn.server.window
        self.turn(Received(conn_id, frames))

    def room(self) -> None:
        """A pipe that was full has room again."""
        self.process.deliver(TIMER, self._flush)

    # -- what the core wants

    def _perform(self, actions: list[ClientAction]) -> None:
        for action in actions:
            kind = type(action)
            if kind is Send:
                for record in action.records:  # type: ignore[union-attr]
                    self._gather(action.conn_id, record)  # type: ignore[union-attr]
            elif kind is Connect:
                link = self._network.dial(self, action.conn_id, action.address)  # type: ignore[union-attr]
                self._outboxes[action.conn_id] = _Outbox(link)  # type: ignore[union-attr]
            elif kind is Disconnect:
                self._dirty.pop(action.conn_id, None)  # type: ignore[union-attr]
                self._outboxes.pop(action.conn_id).link.close()  # type: ignore[union-attr]
            elif kind is Finish:
                for call in action.calls:  # type: ignore[union-attr]
                    if not isinstance(call, Watch):
                        self._holders.pop(call.call_id, None)
                        self._on_finish(call)
            elif kind is Search:
                pass  # in a simulated network whoever comes is told at once
            elif kind is Notice:
                self._history.say(f"{self.name} notes: {action.text}")  # type: ignore[union-attr]
            else:
                raise AssertionError(f"the simulator has no servers that need {action}")
        # Only now: the list is in order for each connection, and a CANCEL for another one may come later in it.
        for call_id, call in self._given.items():
            holders = self._holders.get(call_id, ())
            if len(holders) > _AT_A_TIME_MAX:
                self._history.broken.append(f"{call} is at {len(holders)} servers at a time")
        self._given.clear()

    def _gather(self, conn_id: int, record: Record) -> None:
        outbox = self._outboxes[conn_id]
        outbox.records.append(record)
        self._dirty[conn_id] = outbox
        if type(record) is Call:
            self._wrote(conn_id, outbox, record)
        elif type(record) is Cancel:
            holders = self._holders.get(record.call_id, [])
            if conn_id in holders:
                holders.remove(conn_id)

    def _wrote(self, conn_id: int, outbox: _Outbox, record: Call) -> None:
        """Note an attempt, and what is wrong with it: more at a time, or at one server, than there may be."""
        history, process, conns = self._history, self.process, self.core._links.conns
        conn = conns.get(conn_id)
        body = record.body if isinstance(record.body, bytes) else b""
        call = body.partition(b" ")[0].decode()
        history.written[call, record.attempt] = Written(
            process.now + process.behind_s,
            call,
            outbox.link.host,
            history.asked[call].deadline + process.behind_s,
            2.0 * conn.clock_error_s if conn is not None and record.boot else 0.0,
        )
        if conn is None:
            return  # lost in the same turn
        holders = self._holders.setdefault(record.call_id, [])
        if holders:
            holders[:] = [held for held in holders if held in conns and record.call_id in conns[held].inflight]
        if conn_id not in holders:
            holders.append(conn_id)
        self._given[record.call_id] = call
        window = conn.server.window
        if len(conn.inflight) > max(window, outbox.window_before):
            held = len(conn.inflight)
            history.broken.append(f"{self.name} has {held} calls at {conn.server.name}; its window is {window}")
        if len(outbox.records) > 2 * self._config.window_max + _OTHER_RECORDS_MAX:
            history.broken.append(f"{self.name} has {len(outbox.records)} records to send to {conn.server.name}")

    def _flush(self) -> None:
        for conn_id, outbox in list(self._dirty.items()):
            link, records = outbox.link, outbox.records
            if not link.open:
                link.close()
                self.link_lost(conn_id, "unreachable")
                continue
            while records:
                frames, count = outbox.frames or encode(records, self._limits)
                if not link.up.send(frames):
                    outbox.frames = (frames, count)
                    break
                outbox.frames = None
                del records[:count]
            else:
                self._dirty.pop(conn_id, None)

    def _set_alarm(self, due: float) -> None:
        process = self.process
        self._wake_at = due
        self._clock.at(due + process.behind_s, self._wake, due, process.life)

    def _wake(self, due: float, life: int) -> None:
        process = self.process
        if due != self._wake_at or life != process.life:
            return  # an earlier deadline has come up since
        if process.stopped:
            process.deliver(TIMER, self._wake, due, life)
            return
        self._wake_at = _FOREVER
        due_now = self.core.deadline()
        if due_now is None:
            return
        if due_now <= self._clock.now - process.behind_s + _ROUNDING_S:
            self._now = max(self._now, due_now)
            self.turn(Tick())
        else:  # what it was for is done, or the clock has stood still
            self._set_alarm(due_now)
