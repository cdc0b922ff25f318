"""A server's shell: performs what its core decides, on its socket; never blocks but for the inline handlers it runs.

Both drivers use it the same way: `pump` when the descriptor is readable, `give` when a handler elsewhere has ended.
Answers gather by client during one turn and leave together as one message.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable, Coroutine
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from mesh.core.actions import Answer, AnswerFrames, Cancel, Handle, Notice, ServerAction
from mesh.core.events import RepliesGiven, ReplyGiven, RequestReceived, Stopping
from mesh.core.methods import COROUTINE, INLINE
from mesh.core.wire import Record, encode
from mesh.io.context import check_process, process_mark
from mesh.io.link import Sent, ServerLink
from mesh.io.pool import Pool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mesh.config import Limits
    from mesh.core.server import ServerCore
    from mesh.core.work import Work

__all__ = ["Gate", "Runner", "ServerEngine"]

_TURN_S = 0.002
"""Inline handlers run for so long before the socket is looked at again: PINGs are answered from the same loop."""
_TURN_CALLS = 32
"""And so many of them: their answers leave while the next ones run, so that client and server work at the same time. A
client that always has 64 calls out and gets 64 answers at once works in turns with its server."""
_PUMP_S = 0.01
"""A turn takes so long at most, and a message more: a loop has other tasks, and a message may hold a thousand PINGs."""
_OK, _FULL, _UNREACHABLE = Sent.OK, Sent.FULL, Sent.UNREACHABLE
"""Each look at a member in its enum takes 0.2 us (CPython 3.11)."""
_give_way = getattr(os, "sched_yield", lambda: None)
"""Lets ZeroMQ's thread, which the kernel may have queued behind this one, send what it was given."""
_STUCK_OCTETS_MAX = 128 << 20
"""Octets that may wait for a client that does not read; then its answers are dropped."""
_ALL_STUCK_OCTETS_MAX = 2 * _STUCK_OCTETS_MAX
"""And for all such clients together."""
_UNSTICK_MAX = 16
"""So many of them are tried in one turn: a thousand that do not read must not hold up those that do."""
_FRAME_OCTETS = 100
"""What a frame costs beside its octets."""


class Runner(Protocol):
    """Runs handlers; whatever they raise is in the answer."""

    def run(self, work: Work) -> ReplyGiven:
        """Run a sync handler to its end, in any thread."""

    def run_async(self, work: Work) -> Coroutine[Any, Any, ReplyGiven]:
        """Run a coroutine handler."""

    def cancel(self, work: Work) -> None:
        """Tell a running handler that nobody waits for it."""


class Gate(Protocol):
    """Decides which calls may run together; in the thread of the engine."""

    def enter(self, work: Work, now: float) -> list[Work]:
        """A call is to run; return the calls that may begin now, perhaps without it."""

    def leave(self, work: Work, now: float) -> list[Work]:
        """A call that began has ended; return the calls that may begin now."""

    def overdue(self, now: float) -> list[Work]:
        """Return calls that have waited long enough, and may begin now."""


class ServerEngine:
    """The socket of one server and what moves through it.

    Args:
        core: Decides.
        link: The bound socket; closed with the engine.
        runner: Runs handlers.
        limits: Bounds of a message.
        threads: Size of the pool of each threaded lane.
        spawn: Starts coroutine handlers, and gives their results to `give` in the engine's thread.
        cancel: Cancels the task of a coroutine handler.
        post: Calls `give` with a result in the engine's thread; called from others.
        on_notice: Called with what may interest somebody.
        gate: Lets calls in; None: all of them at once.
    """

    def __init__(
        self,
        core: ServerCore,
        link: ServerLink,
        runner: Runner,
        limits: Limits,
        threads: Mapping[str, int],
        spawn: Callable[[Sequence[Work]], None],
        cancel: Callable[[Work], None],
        post: Callable[[ReplyGiven], None],
        on_notice: Callable[[Notice], None],
        gate: Gate | None = None,
    ) -> None:
        self.core = core
        self._link = link
        self._runner = runner
        self._limits = limits
        self._threads = threads
        self._spawn = spawn
        self._cancel = cancel
        self._post = post
        self._on_notice = on_notice
        self._gate = gate
        if gate is not None:
            core.looks_ahead = False  # it is to know what runs, and not what waits for that
        self._mark = process_mark()
        self._pools: dict[str, Pool] = {}
        self._inline: deque[Work] = deque()
        self._outboxes: dict[bytes, list[Record]] = {}
        self._stuck: dict[bytes, deque[list[bytes]]] = {}
        """Messages for clients whose pipes are full."""
        self._stuck_octets: dict[bytes, int] = {}
        self._all_stuck_octets = 0
        self._late = False
        """Inline handlers have used up a turn: whatever came meanwhile is read before the next of them runs."""

    @property
    def descriptor(self) -> int:
        """To be watched for reading; edge-triggered."""
        return self._link.descriptor

    @property
    def is_blocked(self) -> bool:
        """Whether answers wait for clients that do not read: `pump` is to be called now and then, whatever happens."""
        return bool(self._stuck)

    def pump(self, messages_max: int = 64) -> bool:
        """Take in requests, run inline handlers for a while, send; return whether it has to be called again at once."""
        check_process(self._mark)
        core, receive, monotonic = self.core, self._link.receive, time.monotonic
        until = monotonic() + _PUMP_S
        for left in range(messages_max, 0, -1):
            message = receive()
            now = monotonic()
            if message is not None:
                self._perform(core.handle(RequestReceived(*message), now))
            elif not self._inline:
                # Trying to send what is stuck takes the edge as well, whatever comes of it.
                blocked = self.is_blocked
                return self._flush() or (blocked and self._link.is_readable())
            # Slow handlers would run once for each message: PINGs and CANCELs would wait behind calls, and calls in the
            # socket, where nobody can tell that they wait in vain.
            if self._inline and (message is None or not self._late or left == 1 or now > until):
                self._late = self._run_inline()
            # Each send takes the descriptor's edge; the next look finds what came meanwhile.
            if self._flush() and self._inline:
                _give_way()
            if now > until:
                break
        return True

    def give(self, replies: list[ReplyGiven]) -> None:
        """Handlers that ran elsewhere have ended; `flush` or `pump` follows."""
        now = time.monotonic()
        if self._gate is not None:
            for reply in replies:
                self._begin(self._gate.leave(reply.work, now))
        self._perform(self.core.handle(RepliesGiven(replies), now))

    def let_in(self) -> None:
        """Begin the calls that have waited at the gate for long enough; `flush` or `pump` follows."""
        if self._gate is not None:
            self._begin(self._gate.overdue(time.monotonic()))

    def drain(self) -> None:
        """Admit no more calls and tell the clients."""
        self._perform(self.core.handle(Stopping(), time.monotonic()))
        self._flush()

    def close(self) -> None:
        """Say goodbye and release everything; threads that still run a handler are left to end by themselves."""
        self._perform(self.core.end(time.monotonic()))
        self._flush()
        for pool in self._pools.values():
            pool.close()
        self._link.close()

    def _run_inline(self) -> bool:
        """Run handlers for a turn; return whether they used it up."""
        run, queue, gate, monotonic = self._runner.run, self._inline, self._gate, time.monotonic
        replies: list[ReplyGiven] = []
        now = monotonic()
        until = now + _TURN_S
        for _ in range(_TURN_CALLS):
            reply = run(queue.popleft())
            replies.append(reply)
            now = monotonic()
            if gate is not None:
                self._begin(gate.leave(reply.work, now))
            if not queue or now >= until:
                break
        self._perform(self.core.handle(RepliesGiven(replies), now))
        return now >= until

    def _perform(self, actions: list[ServerAction]) -> None:
        for action in actions:
            kind = type(action)
            if kind is Answer:
                outbox = self._outboxes.get(action.client)  # type: ignore[union-attr]
                if outbox is None:
                    self._outboxes[action.client] = action.records  # type: ignore[union-attr]
                else:
                    outbox += action.records  # type: ignore[union-attr]
            elif kind is Handle:
                works = action.works  # type: ignore[union-attr]
                if self._gate is not None:
                    now = time.monotonic()
                    works = [let_in for work in works for let_in in self._gate.enter(work, now)]
                self._begin(works)
            elif kind is AnswerFrames:
                self._write(action.client, action.frames)  # type: ignore[union-attr]
            elif kind is Cancel:
                work = action.work  # type: ignore[union-attr]
                self._runner.cancel(work)
                if work.lane.name == COROUTINE:
                    self._cancel(work)
            else:
                self._on_notice(action)  # type: ignore[arg-type]

    def _begin(self, works: Sequence[Work]) -> None:
        coroutines: list[Work] = []
        for work in works:
            lane = work.lane.name
            if lane == INLINE:
                self._inline.append(work)
            elif lane == COROUTINE:
                coroutines.append(work)
            else:
                self._submit(work)
        if coroutines:
            self._spawn(coroutines)

    def _submit(self, work: Work) -> None:
        lane = work.lane.name
        pool = self._pools.get(lane)
        if pool is None:
            pool = self._pools[lane] = Pool(self._threads[lane], f"mesh-{lane}")
        pool.submit(lambda: self._post(self._runner.run(work)))

    def _flush(self) -> bool:
        if self._stuck:
            for client in list(islice(self._stuck, _UNSTICK_MAX)):
                self._unstick(client)
        if not self._outboxes:
            return False
        outboxes, self._outboxes = self._outboxes, {}
        for client, records in outboxes.items():
            while records:
                frames, count = encode(records, self._limits)
                self._write(client, frames)
                del records[:count]
        return True

    def _write(self, client: bytes, frames: list[bytes]) -> None:
        waiting = self._stuck.get(client)
        sent = self._link.send(client, frames) if waiting is None else _FULL
        if sent is _UNREACHABLE:
            self.core.forget_client(client)
        elif sent is _FULL:
            octets = _weight(frames)
            stuck = self._stuck_octets.get(client, 0) + octets
            if stuck > _STUCK_OCTETS_MAX or self._all_stuck_octets + octets > _ALL_STUCK_OCTETS_MAX:
                self._on_notice(Notice("limit", "a client does not read; its answers are dropped"))
                self.core.forget_client(client)
                return
            self._stuck.setdefault(client, deque()).append(frames)
            self._stuck_octets[client] = stuck
            self._all_stuck_octets += octets

    def _unstick(self, client: bytes) -> None:
        """Send what waits for a client, as far as its pipe takes it; then it is the turn of the others."""
        waiting = self._stuck.pop(client)
        stuck = self._stuck_octets.pop(client)
        self._all_stuck_octets -= stuck
        sent = _OK
        while waiting and sent is not _FULL:
            sent = self._link.send(client, waiting[0])
            if sent is not _FULL:
                stuck -= _weight(waiting.popleft())
        if waiting:
            self._stuck[client] = waiting
            self._stuck_octets[client] = stuck
            self._all_stuck_octets += stuck


def _weight(frames: list[bytes]) -> int:
    return sum(map(len, frames)) + _FRAME_OCTETS * len(frames)
