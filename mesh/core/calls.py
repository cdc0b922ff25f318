"""One call's life: what was asked, where it has been tried, and how it ended.

A call ends exactly once: answered, refused for good, or at its deadline. Until then it is at one connection (its
latest attempt), perhaps still at earlier ones whose answer would also do, or waiting for a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mesh.core.timers import NEVER
from mesh.errors import Attempt, MeshError

if TYPE_CHECKING:
    from mesh.core.peers import Connection, Server
    from mesh.core.profile import MethodProfile
    from mesh.core.wire import Body

__all__ = ["PendingCall", "Watch", "service_of"]


def service_of(method: str) -> str:
    """Return the service of a full method name: what stands before the first dot."""
    return method.partition(".")[0]


class PendingCall(msgspec.Struct, eq=False):
    """A call under way. The shell makes it, the core owns it until `Finish`.

    One is made per call, so it is a msgspec structure: 0.3 us to make, against 1.1 us for a class with `__slots__`
    and an `__init__` (CPython 3.11).
    """

    method: str
    """Full name, `service.method`."""
    body: Body
    """Encoded arguments; after `Finish`, the answer's body."""
    octets: int
    """Length of the body, all frames."""
    started_at: float
    """When it was made, in seconds of the monotonic clock."""
    deadline: float
    """When the caller gives up, on the same clock."""
    once: bool | None = None
    """True: never run it twice; False: may be repeated; None: as the server declares the method."""
    key: bytes = b""
    """Idempotency key; equal keys run once per server."""
    peer: str = ""
    """Only at the server of this name or id."""
    metadata: dict[str, str] | None = None
    """Travels with the call."""
    plain: bool = False
    """The body can also be given to a server that speaks no mesh/1 (10/FLP, REP)."""
    waiter: Any = None
    """Whom the shell has to wake; opaque here."""
    call_id: int = 0
    profile: MethodProfile | None = None
    """What is known of the method."""
    at: Connection | None = None
    """Connection of the latest attempt while it is in flight."""
    sent_at: float = 0.0
    beside: Connection | None = None
    """Connection of an earlier attempt that may still answer first: the latest one is a hedge."""
    beside_at: float = 0.0
    """When that one was sent."""
    hedge_at: float = 0.0
    """When a second server is asked as well; 0 for never, or never again."""
    overdue_at: float = 0.0
    """When the attempt's server is asked for a sign of life; 0 once it was."""
    patience_at: float = 0.0
    """When even a server that answers PINGs loses this call, which may come earlier; 0 until the attempt is overdue."""
    attempts: int = 0
    last: Server | None = None
    """The server that had it last."""
    boot: int = 0
    """Boot id of that server when it got the call."""
    tried: list[Server] | None = None
    """Servers that had it, in order, from the second attempt on."""
    history: list[Attempt] | None = None
    """Attempts that ended without an answer."""
    earlier: list[tuple[Connection, float]] | None = None
    """Connections of moved attempts, whose answer would still do, and when they were sent."""
    bound_to: Server | None = None
    """The only server that may still be asked: it may have run a call that must not run twice."""
    overloaded: bool = False
    """The last word of a server was that it had no room."""
    waits_for: str = ""
    """Name of the queue it waits in; empty while it waits in none."""
    done: bool = False
    finished_at: float = 0.0
    error: MeshError | None = None
    timer_at: float = NEVER

    @property
    def service(self) -> str:
        """The service it is for."""
        return self.profile.service if self.profile is not None else service_of(self.method)

    def next_at(self) -> float:
        """Return the next moment at which something is to be decided about it."""
        when = self.overdue_at or self.patience_at or self.deadline
        if self.hedge_at and self.hedge_at < when:
            when = self.hedge_at
        return when if when < self.deadline else self.deadline

    def ended(self, conn: Connection, sent_at: float, now: float, result: str) -> None:
        """Write an attempt that ended without an answer into the history."""
        if self.history is None:
            self.history = []
        if len(self.history) < 64:
            self.history.append(self._attempt(conn, sent_at, now, result))

    def trace(self) -> tuple[Attempt, ...]:
        """Return every attempt, with the one that answered last."""
        past = self.history or []
        if self.at is None or (self.error is not None and not past):
            return tuple(past)
        return (*past, self._attempt(self.at, self.sent_at, self.finished_at, "answered"))

    def _attempt(self, conn: Connection, sent_at: float, now: float, result: str) -> Attempt:
        return Attempt(
            peer_id=conn.server.peer_id,
            name=conn.server.name,
            address=conn.endpoint,
            started_s=sent_at - self.started_at,
            elapsed_s=now - sent_at,
            result=result,
        )


class Watch:
    """Somebody who waits until `count` servers (of `service`, or of any) are alive, or until `deadline`."""

    __slots__ = ("count", "deadline", "done", "error", "service", "started_at", "timer_at", "waiter")

    def __init__(self, count: int, service: str, started_at: float, deadline: float, waiter: Any = None) -> None:
        self.count: int = count
        self.service: str = service
        self.started_at: float = started_at
        self.deadline: float = deadline
        self.waiter: Any = waiter
        self.done: bool = False
        self.error: MeshError | None = None
        self.timer_at: float = NEVER
