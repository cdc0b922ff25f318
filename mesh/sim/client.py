"""A simulated client: the shipped `ClientCore` in a shell that does what `mesh.io.engine` does, on a virtual network.

Records for one connection gather in its outbox while the pipe is full, and leave together as one message, really
encoded. Calls that are still in the outbox when the link is lost are reported as never written.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from mesh.config import ClientConfig
from mesh.core.actions import ClientAction, Connect, Disconnect, Finish, Notice, Send
from mesh.core.calls import PendingCall, Watch
from mesh.core.client import ClientCore
from mesh.core.events import ClientEvent, LinkDown, LinkUp, Received, Tick
from mesh.core.wire import Call, Ping, Pong, Record, decode, encode
from mesh.sim.clock import VirtualClock
from mesh.sim.history import History, Written
from mesh.sim.network import Link, VirtualNetwork
from mesh.sim.process import TIMER, Process

__all__ = ["SimClient"]

_FOREVER = float("inf")


class _Outbox:
    __slots__ = ("frames", "link", "pings", "records", "rtt_s")

    def __init__(self, link: Link) -> None:
        self.link = link
        self.records: list[Record] = []
        self.frames: tuple[list[bytes], int] | None = None
        """The next message, encoded and refused, and how many records it carries."""
        self.pings: dict[int, float] = {}
        self.rtt_s = _FOREVER
        """Shortest round trip there was; the server's clock is known as exactly as that."""


class SimClient:
    """One client process."""

    def __init__(
        self,
        name: str,
        clock: VirtualClock,
        network: VirtualNetwork,
        config: ClientConfig,
        rng: random.Random,
        history: History,
        on_finish: Callable[[PendingCall], None],
    ) -> None:
        self.name = name
        self.process: Process = Process(name, clock)
        self.core: ClientCore = ClientCore(config, rng)
        self._clock = clock
        self._network = network
        self._limits = config.limits
        self._history = history
        self._on_finish = on_finish
        self._outboxes: dict[int, _Outbox] = {}
        self._dirty: dict[int, _Outbox] = {}
        self._wake_at = _FOREVER

    def turn(self, event: ClientEvent) -> None:
        """Tell the core what happened, perform what it answers, send what gathered, and wait for its deadline."""
        self._perform(self.core.handle(event, self._clock.now))
        self._flush()
        due = self.core.deadline()
        if due is not None and due < self._wake_at:
            self._wake_at = due
            self.process.at(due, self._wake, due)

    def unsent(self) -> int:
        """Return how many records wait in outboxes."""
        return sum(len(outbox.records) for outbox in self._outboxes.values())

    # -- what the network says

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
        outbox = self._outboxes[conn_id]
        if outbox.pings:
            for record in decode(frames, self._limits).records:
                if type(record) is Pong and record.nonce in outbox.pings:
                    outbox.rtt_s = min(outbox.rtt_s, self._clock.now - outbox.pings.pop(record.nonce))
        self.turn(Received(conn_id, frames))

    def room(self) -> None:
        """A pipe that was full has room again."""
        self.process.deliver(TIMER, self._flush)

    # -- what the core wants

    def _perform(self, actions: list[ClientAction]) -> None:
        for action in actions:
            if type(action) is Send:
                self._gather(action.conn_id, action.record)
            elif type(action) is Connect:
                link = self._network.dial(self, action.conn_id, action.address)
                self._outboxes[action.conn_id] = _Outbox(link)
            elif type(action) is Disconnect:
                self._dirty.pop(action.conn_id, None)
                self._outboxes.pop(action.conn_id).link.close()
            elif type(action) is Finish:
                if not isinstance(action.call, Watch):
                    self._on_finish(action.call)
            elif type(action) is Notice:
                self._history.say(f"{self.name} notes: {action.text}")
            else:
                raise AssertionError(f"the simulator has no servers that need {action}")

    def _gather(self, conn_id: int, record: Record) -> None:
        outbox = self._outboxes[conn_id]
        outbox.records.append(record)
        self._dirty[conn_id] = outbox
        if type(record) is Call:
            body = record.body if type(record.body) is bytes else b""
            call = body.partition(b" ")[0].decode()
            self._history.written[call, record.attempt] = Written(self._clock.now, call, outbox.rtt_s)
        elif type(record) is Ping:
            outbox.pings[record.nonce] = self._clock.now

    def _flush(self) -> None:
        for conn_id, outbox in list(self._dirty.items()):
            if not outbox.link.open:
                outbox.link.close()
                self.link_lost(conn_id, "unreachable")
                continue
            while outbox.records:
                frames, count = outbox.frames or encode(outbox.records, self._limits)
                if not outbox.link.up.send(frames):
                    outbox.frames = (frames, count)
                    break
                outbox.frames = None
                del outbox.records[:count]
            else:
                self._dirty.pop(conn_id, None)

    def _wake(self, due: float) -> None:
        if due != self._wake_at:
            return  # an earlier deadline has come up since
        self._wake_at = _FOREVER
        self.turn(Tick())
