"""Calls of a client: which server gets each, and what becomes of it when that server is slow, full, silent or lost.

Three classes of failure decide about a retry (gRPC gRFC A6):
- never written, or refused before it ran: tried again elsewhere;
- outcome unknown, may be repeated: moved at once when the link is lost or its server falls silent; within the retry
  budget when its server is merely late;
- outcome unknown, must not be repeated: only the same process may be asked again, whose duplicate window knows the key;
  when that process is gone, the call ends with `OutcomeUnknown`.
Giving up is the last resort: a call without a server waits for one until its own deadline.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.core import backoff
from mesh.core.actions import ClientActions
from mesh.core.liveness import State
from mesh.core.outliers import FAULTS
from mesh.core.peers import MESH
from mesh.core.profile import MethodProfile
from mesh.core.routing import NONE, READY, Pools, Router, choose
from mesh.core.wire import Detail, Reply, largest_frame
from mesh.errors import (
    CallError,
    CallTimeout,
    LocalProtocolError,
    MeshError,
    NoServer,
    OutcomeUnknown,
    Overloaded,
    RemoteError,
    Status,
)

if TYPE_CHECKING:
    from mesh.config import ClientConfig
    from mesh.core.attempts import Attempts
    from mesh.core.budget import RetryBudget
    from mesh.core.calls import PendingCall, Watch
    from mesh.core.events import CallsRequested
    from mesh.core.peers import Connection, Server
    from mesh.core.roster import Roster
    from mesh.core.timers import Timers

__all__ = ["Dispatcher"]

_METHODS_KEPT = 4096
_OVERLOAD_S = 1.0
_ASK_AGAIN_MIN_S, _ASK_AGAIN_MAX_S = 0.01, 1.0
"""Bounds of the pause before a call is given again to the only server, which refuses it."""
_TEACHERS = 8
"""Of the answers of one message about so many teach how long calls take: the others would say nearly the same."""
_RECHECK_S = 0.05
"""How soon to look again, at least, for a better place for a call whose server is in doubt."""


class Dispatcher:
    """The open calls of one client."""

    def __init__(
        self,
        config: ClientConfig,
        rng: random.Random,
        roster: Roster,
        pools: Pools,
        timers: Timers[Server | Connection | PendingCall | Watch],
        budget: RetryBudget,
        attempts: Attempts,
        out: ClientActions,
    ) -> None:
        self._config = config
        self._calls_max = config.calls_max
        self._rng = rng
        self._ready = pools.ready
        self._router = Router(roster, pools, rng)
        self._timers = timers
        self._budget = budget
        self._out = out
        self._attempts = attempts
        self._key_prefix = rng.randbytes(10)
        self._profiles: dict[str, MethodProfile] = {}
        self._newest_until = 0.0
        """Calls have waited in vain for room at servers: until then the newest goes first."""
        self._queues: dict[str, dict[int, PendingCall]] = {}
        """Calls that wait: by service, by `@peer`, or by `=` and the id of the only server that may have them."""
        self.calls: int = 0
        """Calls that were made; the last one's id."""
        self.open: dict[int, PendingCall] = {}
        """Calls that have not ended, by id."""
        self.late: int = 0
        """Replies that nobody waited for any more."""
        self.place: Callable[[Server, float], None]
        """Have the pools of a server looked at again."""
        self.ask: Callable[[Connection, float], None]
        """Ask a connection for a sign of life."""
        self.push_back: Callable[[Server, float, float], None]
        """Leave a server alone for a while."""
        self.accuse: Callable[[Server, str, float], None]
        """A server has failed a call of a service."""
        self.is_full: Callable[[PendingCall], bool]
        """Whether servers that could take the call are alive, with all their windows full."""
        self.describe: Callable[[PendingCall, float], str]
        """Say in words which servers were seen, for the error of a call that found none."""

    # -- what callers want

    def requested(self, event: CallsRequested, now: float) -> None:
        """Somebody makes calls."""
        opened, profiles, pools, rng = self.open, self._profiles, self._ready, self._rng
        first = self.calls + 1
        self.calls += len(event.calls)
        self._budget.calls += len(event.calls)
        for call_id, call in enumerate(event.calls, first):
            call.call_id = call_id
            if len(opened) >= self._calls_max:
                self._refuse(call)
                continue
            opened[call_id] = call
            profile = call.profile = profiles.get(call.method) or self._new_profile(call.method)
            if call.once and not call.key:
                call.key = self._new_key(call)
            ready = None if call.peer else pools.get(profile.service)
            server: Server | None
            if ready is None:
                server = self._router.pick(call)
            else:  # nearly all calls
                servers = ready.servers
                server = servers[0] if len(servers) == 1 else choose(servers, rng)
                if server.proto != MESH and not call.plain:
                    server = self._router.pick(call)
            if server is None:
                self._wait(call)
            elif server.once or call.octets > server.body_max:
                self._send(call, server, now)
            else:
                self._attempts.send(call, server, now)

    def _refuse(self, call: PendingCall) -> None:
        self._budget.calls -= 1
        call.error = Overloaded(
            f"This client has {len(self.open)} calls open; calls_max is {self._calls_max}.",
            method=call.method,
        )
        call.done = True
        self._out.finish(call)

    def _new_profile(self, method: str) -> MethodProfile:
        profile = MethodProfile(method, self._config.attempt_initial_s)
        if len(self._profiles) < _METHODS_KEPT:
            self._profiles[method] = profile
        return profile

    def abandoned(self, call: PendingCall, now: float) -> None:
        """Nobody waits for it any more."""
        if not call.done:
            self._close(call, now, cancel=True)

    def fail_all(self, error: MeshError, now: float) -> None:
        """End every open call."""
        for call in self.open.values():
            self._unqueue(call)  # none is to be sent in the place of another
        for call in list(self.open.values()):
            self._fail(call, error, now, cancel=True)

    # -- what servers answer

    def answered(self, conn: Connection, replies: list[Reply], now: float) -> None:
        """Answers came, in one message, to calls that this connection holds under their ids.

        Whoever has given them places the server, which may have room again.
        """
        server, inflight, opened, timers, finish = conn.server, conn.inflight, self.open, self._timers, self._out.finish
        durations: list[float] = []
        apart = len(replies) // _TEACHERS + 1
        for number, reply in enumerate(replies):
            call = inflight.pop(reply.call_id, None)
            if call is None:
                self.late += 1
                continue
            server.load = reply.load
            sent_at = call.sent_at if call.at is conn else self._attempts.sent_at(call, conn)
            if reply.status:
                self._failed(call, conn, sent_at, reply, now)
                continue
            took = now - sent_at
            durations.append(took)
            if not number % apart or server.failing:
                server.took(took, now)
                call.profile.learn(took)  # type: ignore[union-attr]
            if call.at is not conn or call.beside is not None:
                self._attempts.answered(call, conn, sent_at, now)
            call.body = reply.body  # type: ignore[assignment]
            call.finished_at = now
            if call.waits_for or call.beside is not None or call.earlier:
                self._close(call, now)
            else:  # nearly every call
                call.done = True
                timers.clear(call)
                del opened[call.call_id]
            finish(call)
        server.histogram.record_all(durations)

    def _failed(self, call: PendingCall, conn: Connection, sent_at: float, reply: Reply, now: float) -> None:
        detail = reply.detail or Detail()
        code = Status(reply.status) if reply.status in Status._value2member_map_ else Status.UNKNOWN
        server = conn.server
        if detail.retry_after_ms is None:  # it ran, or never can
            server.errors += 1
            if code in FAULTS and not call.peer:
                self.accuse(server, call.service, now)
            if code is not Status.INVALID_ARGUMENT:
                call.profile.learn(now - sent_at)  # type: ignore[union-attr]
            call.ended(conn, sent_at, now, f"{code.name}: {detail.message[:200]}")
            if call.at is conn:
                call.at = None
            elif call.beside is conn:
                call.beside = None
            error = RemoteError(detail.message, code=code, type=detail.type, traceback=detail.traceback)
            self._fail(call, error, now, cancel=True)
            return
        if conn is call.at or conn is call.beside:  # else it has been written when the attempt was given up
            call.ended(conn, sent_at, now, f"refused, {detail.message or code.name}")
        pushed_back = code is Status.RESOURCE_EXHAUSTED
        if pushed_back:
            server.refused(len(conn.inflight), now)
            self.push_back(server, detail.retry_after_ms / 1000.0, now)
        else:
            self.ask(conn, now)  # one of the clocks has jumped, or it drains, or is another process: its PONG tells
        if call.beside is conn:
            call.beside = None
        if call.at is not conn:
            return  # a moved attempt, or one of two; the latest one decides
        call.at = None
        if call.beside is not None:
            self._attempts.fall_back(call, now)
            return
        call.overloaded = pushed_back
        # A server that has no room gets fewer calls from now on, which bounds these retries better than the budget
        # could: that would starve the calls of a burst while the server is idle again.
        again_here = 0 if pushed_back or call.tried is None else call.tried.count(server)
        if again_here > 1:  # nobody else is there: ask it again, after a while
            pause_s = backoff.delay(again_here - 1, self._rng, _ASK_AGAIN_MIN_S, _ASK_AGAIN_MAX_S)
            self._timers.set(call, min(now + pause_s, call.deadline))
        else:
            self._again(call, now)

    # -- what becomes of servers

    def ready(self, server: Server, now: float) -> None:
        """A server can take calls: give it those that wait for it."""
        if not self._queues:
            return
        may_take = self._router.may_take
        names = [*server.pools, f"@{server.name}", f"@{server.identity}", f"={server.identity}"]
        names.extend(f"@{key}" for key in server.records)
        for name in names:
            queue = self._queues.get(name)
            while queue and server.pool != NONE and server.active is not None:
                # Under overload the oldest would be answered too late: see `Lane` of the server.
                order = reversed(queue.values()) if now < self._newest_until else queue.values()
                for call in order:
                    if may_take(call, server):
                        break
                else:
                    break
                if now >= call.deadline:
                    self._expire(call, now)  # as its timer is about to: those of a burst end in the same moment
                    continue
                self._unqueue(call)
                if call.at is server.active:
                    continue  # it has it already, and is back
                if call.beside is server.active:
                    self._attempts.leave(call, now, "no sign of life")
                    self._attempts.fall_back(call, now)
                    continue
                if call.at is not None:
                    self._attempts.leave(call, now, "no sign of life")
                if call.bound_to is not None and server.active.boot != call.boot:
                    self._unknown(call, now)
                    continue
                self._send(call, server, now)

    def doubted(self, conn: Connection, now: float) -> None:
        """A server has fallen silent: its calls move to others, those of a mere suspect within the retry budget."""
        for call in list(conn.inflight.values()):
            if call.at is conn:
                self._move(call, "no sign of life", now, free=conn.state is State.DEAD)

    def lost(self, conn: Connection, unsent: tuple[int, ...], why: str, now: float) -> None:
        """A connection is gone: its calls move at once."""
        held = list(conn.inflight.values())
        conn.inflight.clear()
        for call in held:
            written = call.call_id not in unsent
            what = f"link lost, {why}" if written else f"never sent, {why}"
            if call.beside is conn:
                call.ended(conn, call.beside_at, now, what)
                call.beside = None
                continue
            if call.at is not conn:
                self._attempts.sent_earlier(call, conn)
                continue
            call.ended(conn, call.sent_at, now, what)
            call.at = None
            self._unqueue(call)
            if call.beside is not None and call.beside.state is State.ALIVE:
                self._attempts.fall_back(call, now)
                continue
            if written and call.once:
                if not call.boot:  # it speaks no mesh/1 and remembers no keys
                    self._unknown(call, now)
                    continue
                call.bound_to = conn.server
            self._again(call, now)

    def forgotten(self, server: Server, now: float) -> None:
        """The process that the server was is gone: what only it could answer stays unknown."""
        for call in list(self._queues.get(f"={server.identity}", {}).values()):
            if call.bound_to is server:
                self._unknown(call, now)

    # -- time

    def timer(self, call: PendingCall, now: float) -> None:
        """The next moment of a call has come: it is overdue, out of patience, or at its deadline."""
        if now >= call.deadline:
            self._expire(call, now)
            return
        conn = call.at
        if conn is None:  # it was refused where it had been refused before
            if self._budget.withdraw(now):
                self._again(call, now)
            else:
                self._later(call, now)
            return
        if call.once:
            self.ask(conn, now)
            self._timers.set(call, call.deadline)
            return
        if conn.state is not State.ALIVE:
            if self._move(call, "no sign of life", now, free=conn.state is State.DEAD):
                return
            self._recheck(call, now)
        elif call.hedge_at and now >= call.hedge_at:
            call.hedge_at = 0.0
            self.ask(conn, now)
            if not self._hedge(call, conn, now):
                self._timers.set(call, call.next_at())
        elif not call.patience_at:
            self.ask(conn, now)
            call.overdue_at = 0.0
            if call.attempts == 1:  # its method may have become known meanwhile, or the budget have room again
                self._attempts.plan_hedge(call)
            call.patience_at = self._patience_until(call)
            self._wait_on(call, now)
        elif now >= call.patience_at:
            sent_at = call.sent_at
            if self._move(call, "no answer in time", now, free=False):
                self._attempts.kept(conn, sent_at, now)
                return
            self._recheck(call, now)
        else:
            call.patience_at = min(call.patience_at, self._patience_until(call))
            self._wait_on(call, now)

    def _recheck(self, call: PendingCall, now: float) -> None:
        """Look again later for a better place."""
        self._timers.set(call, min(self._recheck_at(call, now), call.deadline))

    def _wait_on(self, call: PendingCall, now: float) -> None:
        """Leave it where it is for now; meanwhile other servers may become quick, and patience shorter."""
        self._timers.set(call, min(call.next_at(), self._recheck_at(call, now)))

    @staticmethod
    def _recheck_at(call: PendingCall, now: float) -> float:
        """Return when to look again: the more rarely the longer it waits, for thousands of calls may."""
        return now + _RECHECK_S + (now - call.sent_at) / 4

    def _patience_until(self, call: PendingCall) -> float:
        """Return when even a server that answers PINGs loses this call: later with each attempt from the third on.

        At the latest while there is time for one more attempt, if this one has had as much.
        """
        config, profile = self._config, call.profile
        assert profile is not None, "set when the call was requested"
        bound_s = max(config.attempt_min_s, profile.bound_s())
        patience_s = max(bound_s * config.attempt_patience, config.attempt_patience_min_s)
        patience_s *= max(1, call.attempts - 1)
        last_chance_s = call.deadline - call.sent_at - bound_s
        if last_chance_s > bound_s:
            patience_s = min(patience_s, last_chance_s)
        return call.sent_at + patience_s

    def _expire(self, call: PendingCall, now: float) -> None:
        waited = f"{now - call.started_at:.3g} s"
        error: MeshError
        if call.at is not None:
            self._attempts.kept(call.at, call.sent_at, now)
            call.ended(call.at, call.sent_at, now, "no answer")
            error = CallTimeout(f"{call.method}: no answer within {waited}.")
        elif call.bound_to is not None:
            self._unknown(call, now)
            return
        elif call.overloaded:
            error = Overloaded(f"{call.method}: every server refused for want of room, for {waited}.")
        elif call.attempts:
            error = CallTimeout(f"{call.method}: no server answered within {waited}.")
        elif self.is_full(call):
            self._newest_until = now + _OVERLOAD_S
            error = Overloaded(f"{call.method}: every server had all the calls that it takes, for {waited}.")
        else:
            error = NoServer(f"{call.method}: no server within {waited}. {self.describe(call, now)}")
        self._fail(call, error, now, cancel=True)

    # -- choosing and sending

    def _send(self, call: PendingCall, server: Server, now: float) -> None:
        if call.octets > server.body_max and largest_frame(call.body) > server.body_max:
            text = f"{call.method}: a body of {call.octets} octets; {server.name} takes {server.body_max} (body_max)."
            self._fail(call, LocalProtocolError(text), now)
            return
        if call.once is None and server.once and call.method in server.once:
            call.once = True
            call.key = call.key or self._new_key(call)
        self._attempts.send(call, server, now)

    def _again(self, call: PendingCall, now: float) -> None:
        """Send it to whoever can take it, or let it wait."""
        server = self._router.pick(call)
        if server is None:
            self._wait(call)
        elif call.bound_to is not None and (server.active is None or server.active.boot != call.boot):
            self._unknown(call, now)
        else:
            self._send(call, server, now)

    def _move(self, call: PendingCall, why: str, now: float, *, free: bool) -> bool:
        """Give it to another server, which costs the retry budget unless `free`; return whether one took it."""
        if call.once or call.bound_to is not None:
            return False
        if call.beside is not None and call.beside.state is State.ALIVE:
            self._unqueue(call)
            self._attempts.leave(call, now, why)
            self._attempts.fall_back(call, now)
            return True
        server = self._router.pick(call)
        if server is None or server.active is call.at:
            if free:
                self._wait(call)
            return False
        if not free and not self._budget.withdraw(now):
            return False
        self._unqueue(call)
        self._attempts.leave(call, now, why)
        self._send(call, server, now)
        return True

    def _hedge(self, call: PendingCall, conn: Connection, now: float) -> bool:
        """Ask a second server as well, if it is likely to answer soon; return whether one was asked."""
        server = self._router.pick(call)
        if server is None or server.pool != READY or server is conn.server or call.method in server.once:
            return False
        if server.latency_s > now - call.sent_at or not self._budget.withdraw_hedge(now):
            return False
        self._attempts.hedge(call, server, now)
        return True

    # -- waiting

    def _wait(self, call: PendingCall) -> None:
        if call.bound_to is not None:
            name = f"={call.bound_to.identity}"
        else:
            name = f"@{call.peer}" if call.peer else call.service
        if call.waits_for != name:
            self._unqueue(call)
            call.waits_for = name
            self._queues.setdefault(name, {})[call.call_id] = call
        if call.at is None:
            self._timers.set(call, call.deadline)

    def _later(self, call: PendingCall, now: float) -> None:
        pause = self._budget.wait_s(now)
        when = call.deadline if pause is None else min(call.deadline, now + max(pause, _RECHECK_S))
        self._timers.set(call, when)

    def _unqueue(self, call: PendingCall) -> None:
        name = call.waits_for
        if name:
            call.waits_for = ""
            queue = self._queues[name]
            del queue[call.call_id]
            if not queue:
                del self._queues[name]

    # -- ending

    def _unknown(self, call: PendingCall, now: float) -> None:
        text = "its server was lost before it answered; it may or may not have run, and must not run twice."
        self._fail(call, OutcomeUnknown(f"{call.method}: {text}"), now)

    def _fail(self, call: PendingCall, error: MeshError, now: float, *, cancel: bool = False) -> None:
        if call.done:
            return
        call.finished_at = now
        call.error = error
        self._close(call, now, cancel=cancel)
        call.at = None
        if isinstance(error, CallError):
            error.method = call.method
            error.call_id = call.call_id
            error.attempts = call.trace()
            error.elapsed_s = now - call.started_at
        self._out.finish(call)

    def _close(self, call: PendingCall, now: float, *, cancel: bool = False) -> None:
        """The call is over: take it out of everything that still holds it."""
        call.done = True
        self._timers.clear(call)
        del self.open[call.call_id]
        if call.waits_for:
            self._unqueue(call)
        if call.beside is not None:
            self._attempts.drop_beside(call, call.beside, now)
        if cancel and call.at is not None:
            self._attempts.cancel(call, call.at)
            self._attempts.release(call, call.at, now)
        if call.earlier:
            for conn, _ in call.earlier:
                self._attempts.release(call, conn, now)

    def _new_key(self, call: PendingCall) -> bytes:
        return self._key_prefix + call.call_id.to_bytes(6, "big")
