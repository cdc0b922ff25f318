"""One call inside a server, and the lane in which it waits and runs."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from mesh.core.dialect import Envelope

__all__ = ["Lane", "Work"]


class Lane:
    """Calls of methods that run in the same place: so many at a time, the others wait in order."""

    __slots__ = ("limit", "name", "running", "waiting")

    def __init__(self, name: str, limit: int) -> None:
        self.name: str = name
        self.limit: int = limit
        self.running: int = 0
        self.waiting: deque[Work] = deque()


_NOWHERE = Lane("", 0)


class Work(msgspec.Struct, eq=False):
    """One call inside the server. A msgspec structure, because one is made per call (see `PendingCall`)."""

    client: bytes
    """Routing frame of the client."""
    envelope: Envelope
    """Goes unmodified before the answer."""
    mesh: bool
    """False for REQ and 10/FLP clients, who get a plain body."""
    call_id: int
    method: str
    frames: list[bytes]
    deadline: float | None
    """In this server's monotonic clock, in seconds; None for never."""
    key: bytes = b""
    attempt: int = 1
    metadata: dict[str, str] | None = None
    started_at: float = 0.0
    """0 while it waits."""
    cancelled: bool = False
    lane: Lane = _NOWHERE
    context: Any = None
    """Whatever the shell wants to find again."""
