"""A simulated server: the shipped `ServerCore` in a shell that does what `mesh.io.serving` does.

Its handlers take their time. Inline ones hold the loop: while one runs, nothing is received and no PING is answered.
"""

from __future__ import annotations

import dataclasses
import random
from collections import deque
from collections.abc import Sequence

from discovery.model import Address, Peer
from mesh.config import ServerConfig
from mesh.core.actions import Answer, AnswerFrames, Cancel, Handle, Notice, ServerAction
from mesh.core.events import RepliesGiven, ReplyGiven, RequestReceived, Stopping
from mesh.core.methods import INLINE, MethodInfo
from mesh.core.server import ServerCore, ServerIdentity
from mesh.core.wire import Call, Detail, Record, Reply, ServerState, encode, pack_body
from mesh.core.work import Work
from mesh.errors import Status
from mesh.sim.faults import Spread
from mesh.sim.history import History, Run
from mesh.sim.hub import Hub
from mesh.sim.liar import Liar
from mesh.sim.link import Link
from mesh.sim.network import VirtualNetwork
from mesh.sim.process import TIMER, Process

__all__ = ["ECHO", "FAIL", "ONCE", "SERVICE", "Handlers", "SimServer"]

SERVICE = "sim"
ECHO = "sim.echo"
"""Answers with its arguments; may be repeated."""
ONCE = "sim.once"
"""The same, but must not run twice."""
FAIL = "sim.fail"
"""Raises."""

_TAKE_OUT, _TAKE_BACK = "mesh.drain", "mesh.resume"
_OPERATOR = b"operator"
"""A client that nobody reads the answers of."""
_TURN_S = 0.002
_POLL_S = 0.02
_POOL = "pool"
_RUNNING, _ENDED = "running", "ended"
"""Context of a call whose handler has begun; of one whose handler was cancelled."""
_PICKED_UP_S = 0.00005
"""Until a thread of the pool has taken a call."""
_REMEMBERED = 20
_COUNTED = ("shed", "expired", "duplicates", "unanswerable")
"""What is taken over from a core into the history."""


@dataclasses.dataclass(frozen=True)
class Handlers:
    """How long handlers take, and where they run."""

    takes: Spread = dataclasses.field(default_factory=lambda: Spread(0.0002, 0.0003))
    threads: int = 0
    """Size of the pool that they run in; 0: inline, in the loop."""
    heeding: bool = False
    """Those of a pool end when they are told that nobody waits for them."""


class SimServer:
    """One server, through all the lives of its process."""

    core: ServerCore
    peer: Peer
    """What it advertises; another id after each start."""

    def __init__(
        self,
        process: Process,
        address: Address,
        network: VirtualNetwork,
        hub: Hub,
        config: ServerConfig,
        handlers: Handlers,
        rng: random.Random,
        history: History,
    ) -> None:
        self.name: str = process.name
        self.address = address
        self.process = process
        self.process.alive = False
        self.slowness: float = 1.0
        """Its handlers take so many times as long."""
        self.boots: list[int] = []
        """Boot ids of all its lives."""
        self.is_full: bool = False
        """Others have its room."""
        self.lie: Liar | None = None
        """What it makes of the truth."""
        self.answered: deque[tuple[str, Reply]] = deque(maxlen=_REMEMBERED)
        """Its latest answers, in all its lives, and the process that each was for."""
        self._clock = network.clock
        self._network = network
        self._hub = hub
        self.config = config
        self._handlers = handlers
        self._rng = rng
        self._history = history
        self._clock_offset_s = 0.0

    def start(self) -> None:
        """Begin a life: bind, and advertise."""
        rng, lane = self._rng, _POOL if self._handlers.threads else INLINE
        self._boot = rng.getrandbits(62) + 1
        self.boots.append(self._boot)
        self._clock_offset_s = rng.uniform(0.0, 1_000_000.0)  # nobody's monotonic clock says what another's does
        self._inbox: deque[tuple[Link, list[bytes]]] = deque()
        self._inline: deque[Work] = deque()
        self._pooled: deque[Work] = deque()
        """What waits for a thread of the pool."""
        self._threads = self._handlers.threads
        """Those that are free."""
        self._ran: list[ReplyGiven] = []
        """What inline handlers have given in this turn."""
        self._given: list[ReplyGiven] = []
        """And others."""
        self._outboxes: dict[bytes, list[Record]] = {}
        self._links: dict[bytes, Link] = {}
        self._busy = False
        self._was_slow = False
        self._draining_until: float | None = None
        self.lie = None
        self.is_full = False
        self.peer = Peer(f"{self.name}-{len(self.boots)}", self.name, (SERVICE,), (self.address,), {}, ("memory",))
        self.core = ServerCore(
            ServerIdentity(peer_id=self.peer.peer_id, name=self.name, realm="default", version="1", boot=self._boot),
            {ECHO: MethodInfo(lane), ONCE: MethodInfo(lane, idempotent=False), FAIL: MethodInfo(lane)},
            {_POOL: self._handlers.threads},
            self.config,
            services=(SERVICE,),
            started_at=self.clock_s,
        )
        self.core.offer(_TAKE_OUT, self._take_out)
        self.core.offer(_TAKE_BACK, lambda frames, now: b"%d" % self.core.resume(now))
        self.process.start()
        self._network.listen(self.address, self)
        self._hub.announce(self.peer)

    def kill(self) -> None:
        """End it without a word; its advertisement stays."""
        self.count()
        self.process.kill()
        self._network.unlisten(self.address, abruptly=True)

    def drain(self) -> None:
        """Stop in good order: say goodbye, refuse new calls, end when none runs or `drain_s` has passed."""
        self.process.deliver(TIMER, self._drain)

    def take_out(self) -> None:
        """An operator has it refuse new calls, and stay."""
        self.process.deliver(TIMER, lambda: self._obey(_TAKE_OUT))

    def take_back(self) -> None:
        """And take calls again."""
        self.process.deliver(TIMER, lambda: self._obey(_TAKE_BACK))

    @property
    def draining(self) -> bool:
        """Whether it is about to end."""
        return self._draining_until is not None

    @property
    def is_held(self) -> bool:
        """Whether an inline handler holds the loop that has begun while the server was slow."""
        return self._busy and self._was_slow

    @property
    def clock_s(self) -> float:
        """Its monotonic clock, which has nothing to do with that of anybody else."""
        return self._clock.now + self._clock_offset_s

    def resize(self, admitted_max: int) -> None:
        """Admit so many calls at the same time, until the next life."""
        self.is_full = admitted_max < self.config.admitted_max
        window = min(admitted_max, self.config.window)
        self.core._config = dataclasses.replace(self.config, admitted_max=admitted_max, window=window)

    def count(self) -> None:
        """Add what this life has counted to the history."""
        self._history.counted.update({name: getattr(self.core, name) for name in _COUNTED})

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
                self._perform(self.core.handle(RequestReceived(link.routing_id, frames), self.clock_s))
                if self.core.admitted > self.config.admitted_max:
                    self._history.broken.append(f"{self.name} has admitted {self.core.admitted} calls")
            self._given = self._give(self._given)
            self._run_inline(self._clock.now + _TURN_S)
            if not self._busy:
                self._flush()

    def _give(self, replies: list[ReplyGiven]) -> list[ReplyGiven]:
        """Tell the core what handlers have given; return what is left of that."""
        if replies:
            self._perform(self.core.handle(RepliesGiven(replies), self.clock_s))
        return []

    def _run_inline(self, until: float) -> None:
        """Begin the next inline handler that somebody still waits for; it holds the loop."""
        while self._inline and self._clock.now < until:
            work = self._inline.popleft()
            if self._has_begun(work):
                self._busy = True
                self._was_slow = self.slowness != 1.0
                takes_s = self._takes_s()
                self.process.after(takes_s, self._ran_inline, self._result(work, takes_s), until)
                return
            self._ran.append(ReplyGiven(work, ran=False))
        self._ran = self._give(self._ran)

    def _ran_inline(self, reply: ReplyGiven, until: float) -> None:
        self._busy = False
        self._ran.append(reply)
        self._run_inline(until)
        if not self._busy:
            self._flush()
            self._look()

    def _pick_up(self) -> None:
        while self._pooled and self._threads:
            self._threads -= 1
            self.process.after(_PICKED_UP_S, self._run_in_pool, self._pooled.popleft())

    def _give_from_pool(self, reply: ReplyGiven) -> None:
        self._threads += 1
        self._pick_up()
        self._given.append(reply)

    def _run_in_pool(self, work: Work) -> None:
        if self._has_begun(work):
            takes_s = self._takes_s()
            self.process.after(takes_s, self._ran_in_pool, self._result(work, takes_s))
        else:
            self._give_from_pool(ReplyGiven(work, ran=False))
            self._look()

    def _ran_in_pool(self, reply: ReplyGiven) -> None:
        if reply.work.context is _RUNNING:
            self._give_from_pool(reply)
            self._look()

    def _perform(self, actions: list[ServerAction]) -> None:
        for action in actions:
            if type(action) is Answer:
                self._outboxes.setdefault(action.client, []).extend(action.records)
                if action.client in self._links:
                    reader = self._links[action.client].reader
                    self.answered += [(reader, record) for record in action.records if type(record) is Reply]
            elif type(action) is Handle:
                for work in action.works:
                    self._begin(work)
            elif type(action) is AnswerFrames:
                self._send(action.client, action.frames)
            elif type(action) is Cancel:
                self._cancel(action.work)
            elif type(action) is Notice:
                self._history.say(f"{self.name} notes: {action.text}")

    def _begin(self, work: Work) -> None:
        if work.lane.name == INLINE:
            self._inline.append(work)
        else:
            self._pooled.append(work)
            self._pick_up()

    def _has_begun(self, work: Work) -> bool:
        """Let a handler begin, unless nobody waits any more by now (as `mesh.runner` looks)."""
        if work.cancelled or (work.deadline is not None and self.clock_s > work.deadline):
            return False
        work.context = _RUNNING
        call = work.frames[0].partition(b" ")[0].decode()
        self._history.runs.append(Run(self._clock.now, call, self.name, self._boot, work.attempt))
        self._history.say(f"{self.name} runs {call}")
        return True

    def _cancel(self, work: Work) -> None:
        if self._handlers.heeding and work.lane.name == _POOL and work.context is _RUNNING:
            work.context = _ENDED
            detail = Detail(type="CancelledError", message="nobody waits for it")
            self._give_from_pool(ReplyGiven(work, status=Status.CANCELLED, detail=detail))

    def _takes_s(self) -> float:
        return self._handlers.takes.draw(self._rng) * self.slowness

    @staticmethod
    def _result(work: Work, took_s: float) -> ReplyGiven:
        if work.method == FAIL:
            detail = Detail(type="ValueError", message="as it was asked")
            return ReplyGiven(work, status=Status.UNKNOWN, detail=detail, took_s=took_s)
        return ReplyGiven(work, pack_body(work.frames), took_s=took_s)

    def _flush(self) -> None:
        if not self._outboxes:
            return
        outboxes, self._outboxes = self._outboxes, {}
        for client, records in outboxes.items():
            while records:
                frames, count = encode(records, self.config.limits)
                self._send(client, frames)
                del records[:count]

    def _send(self, client: bytes, frames: list[bytes]) -> None:
        link = self._links.get(client)
        if link is None:
            self.core.forget_client(client)
        elif self.lie is None:
            link.down.send(frames)
        else:
            for message in self.lie.tell(frames, link.reader):
                link.down.send(message)

    def _take_out(self, frames: Sequence[bytes], now: float) -> bytes:
        self.core.drain(now)
        return b""

    def _obey(self, method: str) -> None:
        call = encode([Call(0, method)], self.config.limits)[0]
        self._perform(self.core.handle(RequestReceived(_OPERATOR, call), self.clock_s))
        self._outboxes.pop(_OPERATOR, None)
        self._flush()

    # -- stopping

    def _drain(self) -> None:
        if self.draining:
            return
        self._draining_until = self._clock.now + self.config.drain_s
        self._hub.withdraw(self.peer.peer_id)
        self._perform(self.core.handle(Stopping(), self.clock_s))
        self._flush()
        self._look_whether_drained()

    def _look_whether_drained(self) -> None:
        assert self._draining_until is not None
        if not self._busy and (self.core.idle() or self._clock.now >= self._draining_until):
            self._perform(self.core.end(self.clock_s))
            self._flush()
            assert self.core.state == ServerState.NOT_SERVING
            self._history.say(f"{self.name} has ended")
            self.count()
            self.process.kill()
            self._network.unlisten(self.address, abruptly=False)
        else:
            self.process.after(_POLL_S, self._look_whether_drained)
