"""One call inside a server, and the lane in which it waits and runs."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from mesh.core.dialect import Envelope

__all__ = ["Lane", "Work"]


_OVERLOAD_S = 1.0
"""So long after a call has waited in vain the newest goes first."""
_AHEAD_S = 0.002
"""So much work is handed out beside what runs: whoever has ended goes on at once, and results come back together."""
_AHEAD_MAX = 32
"""And so many calls of a lane at the most: those run in order, whatever comes meanwhile."""


class Lane:
    """Calls of methods that run in the same place: so many at a time, the others wait in order.

    Under overload the oldest has waited for nearly its whole deadline, and would be answered too late: all the work
    would be done for callers that have just left. So as long as calls wait in vain, the newest goes first (adaptive
    LIFO: Maurer, "Fail at Scale", ACM Queue 2015).
    """

    __slots__ = ("_newest_until", "_turn", "at_once", "limit", "name", "running", "waiting")

    def __init__(self, name: str, at_once: int) -> None:
        self.name: str = name
        self.at_once: int = at_once
        """How many can run at the same time."""
        self.limit: int = at_once
        """How many are handed out: of quick ones some more, which wait for those where they run."""
        self.running: int = 0
        """How many that are."""
        self.waiting: deque[Work] = deque()
        self._newest_until = 0.0
        self._turn = False

    def pace(self, took_s: Sequence[float]) -> None:
        """Choose the limit, if calls take as long from now on as some have: slow ones stay here until they can run."""
        total_s = sum(took_s)
        fit = int(self.at_once * len(took_s) * _AHEAD_S / total_s) if total_s else _AHEAD_MAX
        self.limit = max(self.at_once, min(_AHEAD_MAX, fit))

    def begin(self, now: float) -> tuple[list[Work], list[Work]]:
        """Take out what is to be handed out now, and count it as running; return it, and what has waited in vain."""
        waiting = self.waiting
        begun: list[Work] = []
        given_up: list[Work] = []
        while waiting and self.running < self.limit:
            work = waiting[0]
            if work.deadline is not None and now > work.deadline:
                self._newest_until = now + _OVERLOAD_S
                given_up.append(waiting.popleft())
                continue
            if now >= self._newest_until or work.cancelled or self._is_its_turn(work):
                waiting.popleft()
            else:
                work = waiting.pop()
            if work.cancelled or (work.deadline is not None and now > work.deadline):
                given_up.append(work)
            else:
                self.running += 1
                work.begun = True
                begun.append(work)
        return begun, given_up

    def _is_its_turn(self, oldest: Work) -> bool:
        """Return whether the oldest goes before the newest: one without a deadline would wait for ever."""
        if oldest.deadline is None:
            self._turn = not self._turn
        return oldest.deadline is None and self._turn


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
    deadline: float | None = None
    """In this server's monotonic clock, in seconds; None for never."""
    lane: Lane = _NOWHERE
    attempt: int = 1
    key: bytes = b""
    metadata: dict[str, str] | None = None
    begun: bool = False
    """It was handed out to run."""
    cancelled: bool = False
    context: Any = None
    """Whatever the shell wants to find again."""
