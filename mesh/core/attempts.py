"""Attempts of calls: sending one, giving one up, and the second one that may be out beside the first."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.core.actions import ClientActions, SendFrames
from mesh.core.liveness import State
from mesh.core.peers import MESH, REP
from mesh.core.routing import NONE
from mesh.core.wire import Call, Cancel, body_frames

if TYPE_CHECKING:
    from mesh.config import ClientConfig
    from mesh.core.calls import PendingCall, Watch
    from mesh.core.peers import Connection, Server
    from mesh.core.profile import MethodProfile
    from mesh.core.timers import Timers

__all__ = ["Attempts"]

_FASTER = "another server was faster"
_HEDGE_KNOWN = 20
"""Answers of a method before its 95th percentile means anything."""
_HEDGE_BEYOND = 1.1
"""How many times its 95th percentile an answer has to take to be late."""


class Attempts:
    """What is out at servers on behalf of one client's calls."""

    def __init__(
        self,
        config: ClientConfig,
        timers: Timers[Server | Connection | PendingCall | Watch],
        out: ClientActions,
    ) -> None:
        self._timers = timers
        self._out = out
        self._overdue_min_s = config.attempt_min_s
        self._hedges = config.hedge_ratio > 0
        self._hedge_slack_s = config.hedge_slack_s
        self.moved: int = 0
        """Attempts that were given up for another server."""
        self.hedged: int = 0
        """Second attempts that were made while the first was still out."""
        self.hedges_won: int = 0
        """Those that were answered first."""
        self.place: Callable[[Server, float], None]
        """Have the pools of a server looked at again."""

    def send(self, call: PendingCall, server: Server, now: float) -> None:
        """Give the call to a server in a pool."""
        conn = server.active
        profile = call.profile
        assert conn is not None, "a server in a pool has an active connection"
        assert profile is not None, "set when the call was requested"
        if profile.planned_at != now:
            self._plan(profile, now)
        call.overdue_at = profile.overdue_at
        call.attempts = attempt = call.attempts + 1
        if attempt == 1:
            call.hedge_at = profile.hedge_at
            when = profile.next_at
        else:
            self._repeat(call, server, conn)
            when = profile.overdue_at
        call.last = server
        call.at = conn
        boot = call.boot = conn.boot
        call.sent_at = now
        inflight, call_id, deadline = conn.inflight, call.call_id, call.deadline
        inflight[call_id] = call
        if len(inflight) >= server.window:
            self.place(server, now)
        self._timers.set(call, when if when < deadline else deadline)
        if conn.proto == MESH:
            record = Call(
                call_id,
                call.method,
                call.body,  # type: ignore[arg-type]
                int((deadline + conn.clock_shift_s) * 1000.0) + 1 if boot else 0,
                boot,
                call.key,
                attempt,
                call.metadata,
            )
            self._out.send(conn.conn_id, record)
        else:
            control = call_id.to_bytes(8, "big")
            head = [control, b""] if conn.proto == REP else [control]
            self._out.append(SendFrames(conn.conn_id, [*head, *(body_frames(call.body) or [b""])], call_id))

    def _plan(self, profile: MethodProfile, now: float) -> None:
        """Set when an attempt that begins now will be overdue: the same for all that begin together."""
        overdue_s = profile.bound_s()
        overdue_at = now + (overdue_s if overdue_s > self._overdue_min_s else self._overdue_min_s)
        hedge_at = self._hedge_at(profile, now)
        profile.planned_at = now
        profile.overdue_at = overdue_at
        profile.hedge_at = hedge_at
        profile.next_at = hedge_at if 0.0 < hedge_at < overdue_at else overdue_at

    def _hedge_at(self, profile: MethodProfile, sent_at: float) -> float:
        """Return when a second server is asked as well, if the first one was then; 0 for never."""
        if not self._hedges or profile.count < _HEDGE_KNOWN:
            return 0.0
        return sent_at + profile.p95_s * _HEDGE_BEYOND + self._hedge_slack_s

    def _repeat(self, call: PendingCall, server: Server, conn: Connection) -> None:
        """Note that an attempt is not the call's first."""
        if call.earlier:
            self.sent_earlier(call, conn)  # it had the call before, and was told to forget it
        if call.tried is None:
            call.tried = [call.last]  # type: ignore[list-item]
        call.tried.append(server)
        call.patience_at = call.hedge_at = 0.0

    def plan_hedge(self, call: PendingCall) -> None:
        """Set when a second server is to be asked as well, now that the call is overdue, if its method is known."""
        if call.profile is not None:
            call.hedge_at = self._hedge_at(call.profile, call.sent_at)

    def hedge(self, call: PendingCall, server: Server, now: float) -> None:
        """Give the call to a second server as well."""
        call.beside, call.beside_at = call.at, call.sent_at
        self.hedged += 1
        self.send(call, server, now)

    def answered(self, call: PendingCall, conn: Connection, sent_at: float, now: float) -> None:
        """One attempt has the answer: make it the call's latest, whichever it was."""
        if call.at is conn:
            if call.beside is not None:
                self.hedges_won += 1
            return
        if call.beside is conn:
            call.beside, call.beside_at = call.at, call.sent_at
        else:
            self.leave(call, now, _FASTER)
        call.at, call.sent_at = conn, sent_at

    def sent_at(self, call: PendingCall, conn: Connection) -> float:
        """Return when the attempt at this connection was sent; one that had been given up is taken out of the call."""
        if call.at is conn:
            return call.sent_at
        return call.beside_at if call.beside is conn else self.sent_earlier(call, conn)

    def fall_back(self, call: PendingCall, now: float) -> None:
        """The latest of two attempts has come to nothing: wait for the other one, as if it had just been sent."""
        call.at, call.sent_at = call.beside, call.beside_at
        call.beside = None
        call.patience_at = 0.0
        call.overdue_at = now + self._overdue_min_s
        self._timers.set(call, call.next_at())

    def leave(self, call: PendingCall, now: float, why: str) -> None:
        """End the latest attempt; its answer would still do."""
        conn = call.at
        if conn is None:
            return
        self.moved += 1
        call.ended(conn, call.sent_at, now, why)
        if call.earlier is None:
            call.earlier = []
        call.earlier.append((conn, call.sent_at))
        self.cancel(call, conn)
        call.at = None

    def cancel(self, call: PendingCall, conn: Connection) -> None:
        """Tell a server that nobody waits for the call any more."""
        if conn.proto == MESH and conn.state is not State.GONE:
            self._out.send(conn.conn_id, Cancel(call.call_id))

    @staticmethod
    def sent_earlier(call: PendingCall, conn: Connection) -> float:
        """Take a moved attempt out of the call; return when it was sent."""
        for index, (other, sent_at) in enumerate(call.earlier or ()):
            if other is conn:
                del call.earlier[index]  # type: ignore[union-attr]
                return sent_at
        return call.started_at

    def drop_beside(self, call: PendingCall, conn: Connection, now: float) -> None:
        """The call is over, and one of its two attempts is still out: nobody waits for that one any more."""
        call.beside = None
        self.kept(conn, call.beside_at, now)
        call.ended(conn, call.beside_at, now, _FASTER if call.error is None else "no answer")
        self.cancel(call, conn)
        self.release(call, conn, now)

    def release(self, call: PendingCall, conn: Connection, now: float) -> None:
        """A connection does not hold the call any more, which may make room for another."""
        conn.inflight.pop(call.call_id, None)
        if conn.server.pool == NONE:
            self.place(conn.server, now)

    @staticmethod
    def kept(conn: Connection, sent_at: float, now: float) -> None:
        """A server has not answered an attempt that is given up: count that as slow, unless it is a suspect anyway."""
        if conn.state is State.ALIVE:
            conn.server.kept(now - sent_at)
