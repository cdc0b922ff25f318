"""One call's life: what was asked, where it has been tried, and how it ended.

A call ends exactly once: answered, refused for good, or at its deadline. Until then it is at one connection (its
latest attempt), perhaps still at earlier ones whose answer would also do, or waiting for a server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.core.timers import NEVER
from mesh.errors import Attempt, MeshError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mesh.core.peers import Connection, Server
    from mesh.core.stats import Smoothed
    from mesh.core.wire import Body

__all__ = ["PendingCall", "Watch", "service_of"]


def service_of(method: str) -> str:
    """Return the service of a full method name: what stands before the first dot."""
    return method.partition(".")[0]


class PendingCall:
    """A call under way. The shell makes it, the core owns it until `Finish`."""

    __slots__ = (
        "at",
        "attempts",
        "body",
        "boot",
        "bound_to",
        "call_id",
        "deadline",
        "done",
        "earlier",
        "error",
        "finished_at",
        "history",
        "key",
        "latency",
        "metadata",
        "method",
        "octets",
        "once",
        "overloaded",
        "patience_at",
        "peer",
        "plain",
        "sent_at",
        "service",
        "started_at",
        "timer_at",
        "tried",
        "waiter",
        "waits_for",
    )

    def __init__(
        self,
        method: str,
        body: Body,
        octets: int,
        started_at: float,
        deadline: float,
        once: bool | None = None,
        key: bytes = b"",
        peer: str = "",
        metadata: Mapping[str, str] | None = None,
        plain: bool = False,
        waiter: object = None,
    ) -> None:
        """Describe a call.

        Args:
            method: Full name, `service.method`.
            body: Encoded arguments; after `Finish`, the answer's body.
            octets: Length of the body, all frames.
            started_at: Now, in seconds of the monotonic clock.
            deadline: When the caller gives up, on the same clock.
            once: True: never run it twice; False: may be repeated; None: as the server declares the method.
            key: Idempotency key; equal keys run once per server.
            peer: Only at the server of this name or id.
            metadata: Travels with the call.
            plain: The body can also be given to a server that speaks no mesh/1 (10/FLP, REP).
            waiter: Whom the shell has to wake; opaque here.
        """
        self.call_id = 0
        self.method = method
        self.service = service_of(method)
        self.body: Body = body
        self.octets = octets
        self.started_at = started_at
        self.deadline = deadline
        self.once = once
        self.key = key
        self.peer = peer
        self.metadata = metadata
        self.plain = plain
        self.waiter = waiter
        self.at: Connection | None = None
        """Connection of the latest attempt while it is in flight."""
        self.sent_at = 0.0
        self.patience_at = 0.0
        """When even a server that answers PINGs loses this call."""
        self.attempts = 0
        self.history: list[Attempt] | None = None
        """Attempts that ended without an answer."""
        self.earlier: list[tuple[Connection, float]] | None = None
        """Connections of moved attempts, whose answer would still do, and when they were sent."""
        self.bound_to: Server | None = None
        """The only server that may still be asked: it may have run a call that must not run twice."""
        self.boot = 0
        """Boot id of the server that had it last."""
        self.tried: list[Server] | None = None
        """Servers that had it, in order."""
        self.latency: Smoothed | None = None
        """What is known of the method's latency."""
        self.overloaded = False
        """The last word of a server was that it had no room."""
        self.waits_for = ""
        """Name of the queue it waits in; empty while it waits in none."""
        self.done = False
        self.finished_at = 0.0
        self.error: MeshError | None = None
        self.timer_at = NEVER

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

    def __init__(self, count: int, service: str, started_at: float, deadline: float, waiter: object = None) -> None:
        self.count = count
        self.service = service
        self.started_at = started_at
        self.deadline = deadline
        self.waiter = waiter
        self.done = False
        self.error: MeshError | None = None
        self.timer_at = NEVER
