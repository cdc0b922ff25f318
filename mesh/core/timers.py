"""A heap of deadlines with lazy cancellation.

Most deadlines never pass: the answer comes first. So a cancelled entry stays in the heap and is counted; when more
than half of the heap is stale, it is rebuilt without them, which costs less per entry than taking each one out.
"""

from __future__ import annotations

import heapq
from typing import Generic, Protocol, TypeVar

__all__ = ["NEVER", "Timed", "Timers"]

NEVER = -1.0
"""`timer_at` of an item that waits for nothing."""


class Timed(Protocol):
    """Something that has at most one deadline."""

    timer_at: float
    """Absolute seconds of the deadline, or NEVER. Only `Timers` writes it."""


T = TypeVar("T", bound=Timed)
_REBUILD_MIN = 512


class Timers(Generic[T]):
    """The deadlines of many items, one each."""

    __slots__ = ("_heap", "_sequence", "_stale")

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._sequence = 0
        self._stale = 0

    def __len__(self) -> int:
        return len(self._heap)

    def set(self, item: T, when: float) -> None:
        """Let `item` come out of `due` at `when` (absolute seconds) and at no other time."""
        if item.timer_at != NEVER:
            if item.timer_at == when:
                return
            self._stale += 1
        item.timer_at = when
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, item))

    def clear(self, item: T) -> None:
        """Forget the deadline of `item`."""
        if item.timer_at == NEVER:
            return
        item.timer_at = NEVER
        self._stale += 1
        if self._stale > _REBUILD_MIN and self._stale * 2 > len(self._heap):
            self._heap = [entry for entry in self._heap if entry[2].timer_at == entry[0]]
            heapq.heapify(self._heap)
            self._stale = 0

    def deadline(self) -> float | None:
        """Return the earliest deadline, None if there is none. O(1), but for cleared items that it takes away."""
        heap = self._heap
        while heap:
            when, _, item = heap[0]
            if item.timer_at == when:
                return when
            heapq.heappop(heap)
            self._stale -= 1
        return None

    def due(self, now: float) -> T | None:
        """Take out and return one item whose time has come, or None."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            when, _, item = heapq.heappop(heap)
            if item.timer_at == when:
                item.timer_at = NEVER
                return item
            self._stale = max(0, self._stale - 1)
        return None
