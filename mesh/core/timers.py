"""A heap of deadlines with lazy cancellation.

Most deadlines never pass: the answer comes first. So a cancelled entry stays in the heap and is counted; when more
than half of the heap is stale, it is rebuilt without them, which costs less per entry than taking each one out.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Generic, TypeVar

__all__ = ["Timers"]

T = TypeVar("T")
_REBUILD_MIN = 512


class Timers(Generic[T]):
    """Deadlines of items; an item is live as long as `is_live(item)` says so."""

    __slots__ = ("_heap", "_is_live", "_sequence", "_stale")

    def __init__(self, is_live: Callable[[T], bool]) -> None:
        self._heap: list[tuple[float, int, T]] = []
        self._is_live = is_live
        self._sequence = 0
        self._stale = 0

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, when: float, item: T) -> None:
        """Let `item` come out of `due` at `when` (absolute seconds)."""
        self._sequence += 1
        heapq.heappush(self._heap, (when, self._sequence, item))

    def cancelled(self) -> None:
        """Say that one item in the heap is not live any more."""
        self._stale += 1
        if self._stale > _REBUILD_MIN and self._stale * 2 > len(self._heap):
            is_live = self._is_live
            self._heap = [entry for entry in self._heap if is_live(entry[2])]
            heapq.heapify(self._heap)
            self._stale = 0

    def deadline(self) -> float | None:
        """Return the earliest time in the heap; it may belong to a cancelled item. O(1)."""
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> T | None:
        """Take out and return one live item whose time has come, or None."""
        heap = self._heap
        while heap and heap[0][0] <= now:
            item = heapq.heappop(heap)[2]
            if self._is_live(item):
                return item
            self._stale = max(0, self._stale - 1)
        return None
