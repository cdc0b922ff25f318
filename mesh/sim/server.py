"""A simulated server: the shipped `ServerCore` in a shell that does what `mesh.io.serving` does.

Its handlers take their time. Inline ones hold the loop: while one runs, nothing is received and no PING is answered.
"""

from __future__ import annotations

import random
from collections import deque
from dataclasses import dataclass, field

from discovery.model import Address, Peer
from mesh.config import ServerConfig
from mesh.core.actions import Answer, AnswerFrames, Handle, Notice, ServerAction
from mesh.core.events import ReplyGiven, RequestReceived, Stopping
from mesh.core.methods import INLINE, MethodInfo
from mesh.core.server import ServerCore, ServerIdentity
from mesh.core.wire import Detail, Record, ServerState, encode, pack_body
from mesh.core.work import Work
from mesh.errors import Status
from mesh.sim.clock import VirtualClock
from mesh.sim.faults import Spread
from mesh.sim.history import History, Run
from mesh.sim.hub import Hub
from mesh.sim.network import Link, VirtualNetwork
from mesh.sim.process import TIMER, Process

__all__ = ["ECHO", "FAIL", "ONCE", "SERVICE", "Handlers", "SimServer"]

SERVICE = "sim"
ECHO = "sim.echo"
"""Answers with its arguments; may be repeated."""
ONCE = "sim.once"
"""The same, but must not run twice."""
FAIL = "sim.fail"
"""Raises."""

_TURN_S = 0.002
_POLL_S = 0.02
_POOL = "pool"


@dataclass(frozen=True)
class Handlers:
    """How long handlers take, and where they run."""

    takes: Spread = field(default_factory=lambda: Spread(0.0002, 0.0003))
    threads: int = 0
    """Size of the pool that they run in; 0: inline, in the loop."""


class SimServer:
    """One server, through all the lives of its process."""

    def __init__(
        self,
        name: str,
        address: Address,
        clock: VirtualClock,
        network: VirtualNetwork,
        hub: Hub,
        config: ServerConfig,
        handlers: Handlers,
        rng: random.Random,
        history: History,
    ) -> None:
        self.name = name
        self.address = address
        self.process: Process = Process(name, clock)
        self.process.alive = False
        self.core: ServerCore
        self.peer: Peer
        """What it advertises; another id after each start."""
        self.slowness: float = 1.0
        """Its handlers take so many times as long."""
        self._clock = clock
        self._network = network
        self._hub = hub
        self._config = config
        self._handlers = handlers
        self._rng = rng
        self._history = history
        self._lives = 0
        self._boot = 0
        self._clock_offset_s = 0.0

    def start(self) -> None:
        """Begin a life: bind, and advertise."""
        rng, lane = self._rng, _POOL if self._handlers.threads else INLINE
        self._lives += 1
        self._boot = rng.getrandbits(62) + 1
        self._clock_offset_s = rng.uniform(0.0, 1_000_000.0)  # nobody's monotonic clock says what another's does
        self._inbox: deque[tuple[Link, list[bytes]]] = deque()
        self._inline: deque[Work] = deque()
        self._given: deque[ReplyGiven] = deque()
        self._outboxes: dict[bytes, list[Record]] = {}
        self._links: dict[bytes, Link] = {}
        self._busy = False
        self._draining_until: float | None = None
        self.peer = Peer(f"{self.name}-{self._lives}", self.name, (SERVICE,), (self.address,), {}, ("memory",))
        self.core = ServerCore(
            ServerIdentity(peer_id=self.peer.peer_id, name=self.name, realm="default", version="1", boot=self._boot),
            {ECHO: MethodInfo(lane), ONCE: MethodInfo(lane, idempotent=False), FAIL: MethodInfo(lane)},
            {_POOL: self._handlers.threads},
            self._config,
            services=(SERVICE,),
            started_at=self._now(),
        )
        self.process.start()
        self._network.listen(self.address, self)
        self._hub.announce(self.peer)

    def kill(self) -> None:
        """End it without a word; its advertisement stays."""
        self.process.kill()
        self._network.unlisten(self.address, abruptly=True)

    def drain(self) -> None:
        """Stop in good order: say goodbye, refuse new calls, end when none runs or `drain_s` has passed."""
        self.process.deliver(TIMER, self._drain)

    @property
    def draining(self) -> bool:
        """Whether it is about to end."""
        return self._draining_until is not None

    # -- what the network says

    def receive(self, link: Link, frames: list[bytes]) -> None:
        """A message has come; it waits while an inline handler runs."""
        self._inbox.append((link, frames))
        self._look()

    def lost(self, link: Link) -> None:
        """The client's end of the link is closed."""
        self._links.pop(link.routing_id, None)

    # -- the loop

    def _look(self) -> None:
        while not self._busy and (self._inbox or self._given or self._inline):
            if self._inbox:
                link, frames = self._inbox.popleft()
                self._links[link.routing_id] = link
                self._perform(self.core.handle(RequestReceived(link.routing_id, frames), self._now()))
            while self._given:
                self._perform(self.core.handle(self._given.popleft(), self._now()))
            if self._inline:
                self._run_inline(self._clock.now + _TURN_S)
            else:
                self._flush()

    def _run_inline(self, until: float) -> None:
        work = self._inline.popleft()
        self._busy = True
        self.process.after(self._takes_s(), self._ran_inline, work, until)

    def _ran_inline(self, work: Work, until: float) -> None:
        self._perform(self.core.handle(self._result(work), self._now()))
        if self._inline and self._clock.now < until:
            self._run_inline(until)
            return
        self._busy = False
        self._flush()
        self._look()

    def _ran_in_pool(self, work: Work) -> None:
        self._given.append(self._result(work))
        self._look()

    def _perform(self, actions: list[ServerAction]) -> None:
        for action in actions:
            if type(action) is Answer:
                self._outboxes.setdefault(action.client, []).append(action.record)
            elif type(action) is Handle:
                self._begin(action.work)
            elif type(action) is AnswerFrames:
                self._send(action.client, action.frames)
            elif type(action) is Notice:
                self._history.say(f"{self.name} notes: {action.text}")

    def _begin(self, work: Work) -> None:
        call = work.frames[0].partition(b" ")[0].decode()
        self._history.runs.append(Run(self._clock.now, call, self.name, self._boot, work.attempt))
        self._history.say(f"{self.name} runs {call}")
        if work.lane.name == INLINE:
            self._inline.append(work)
        else:
            self.process.after(self._takes_s(), self._ran_in_pool, work)

    def _takes_s(self) -> float:
        return self._handlers.takes.draw(self._rng) * self.slowness

    @staticmethod
    def _result(work: Work) -> ReplyGiven:
        if work.method == FAIL:
            return ReplyGiven(work, status=Status.UNKNOWN, detail=Detail(type="ValueError", message="as it was asked"))
        return ReplyGiven(work, pack_body(work.frames))

    def _flush(self) -> None:
        outboxes, self._outboxes = self._outboxes, {}
        for client, records in outboxes.items():
            while records:
                frames, count = encode(records, self._config.limits)
                self._send(client, frames)
                del records[:count]

    def _send(self, client: bytes, frames: list[bytes]) -> None:
        link = self._links.get(client)
        if link is None or not link.down.send(frames):
            self.core.forget_client(client)

    # -- stopping

    def _drain(self) -> None:
        if self.draining:
            return
        self._draining_until = self._clock.now + self._config.drain_s
        self._hub.withdraw(self.peer.peer_id)
        self._perform(self.core.handle(Stopping(), self._now()))
        self._flush()
        self._look_whether_drained()

    def _look_whether_drained(self) -> None:
        assert self._draining_until is not None
        if not self._busy and (self.core.idle() or self._clock.now >= self._draining_until):
            self._perform(self.core.end(self._now()))
            self._flush()
            assert self.core.state == ServerState.NOT_SERVING
            self._history.say(f"{self.name} has ended")
            self.process.kill()
            self._network.unlisten(self.address, abruptly=False)
        else:
            self.process.after(_POLL_S, self._look_whether_drained)

    def _now(self) -> float:
        return self._clock.now + self._clock_offset_s
