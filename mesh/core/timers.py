"""Deadlines of many items in two generations, with lazy cancellation.

Most deadlines never pass: the answer comes first. So a new one lies in a dict, from which it is taken without a trace,
and only one that comes gets into the heap. What is known of the dict meanwhile is a moment before which none of it is
due; when that comes, the dict is looked through. In the heap a cancelled entry stays and is counted; when more than
half of the heap is stale, it is rebuilt without them, which costs less per entry than taking each one out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

__all__ = ["NEVER", "Timed", "Timers"]

NEVER = -1.0
"""`timer_at` of an item that waits for nothing."""


class Timed(Protocol):
    """Something that has at most one deadline."""

    timer_at: float
    """Absolute seconds of the deadline, or NEVER. Only `Timers` writes it."""


T = TypeVar("T", bound=Timed)
_YOUNG_MAX = 512
"""So many new deadlines are looked through when one of them comes, in 20 us; of more, all move into the heap."""
_REBUILD_MIN = 512
_INFINITE = float("inf")


class Timers(Generic[T]):
    """The deadlines of many items, one each."""

    __slots__ = ("_heap", "_none_before", "_sequence", "_stale", "_young")

    def __init__(self) -> None:
        self._young: dict[T, float] = {}
        """New deadlines, in the order in which they were set."""
        self._none_before = _INFINITE
        """No new deadline is earlier; the one that was may have been cleared."""
        self._heap: list[tuple[float, int, T]] = []
        self._sequence = 0
        self._stale = 0

    def __len__(self) -> int:
        """Return how many entries are kept, with those that are stale."""
        return len(self._young) + len(self._heap)

    def __iter__(self) -> Iterator[T]:
        """Yield every item that has a deadline."""
        lasting = (item for when, _, item in self._heap if item.timer_at == when)
        return iter(dict.fromkeys((*self._young, *lasting)))  # a deadline that was taken back may be in both

    def set(self, item: T, when: float) -> None:
        """Let `item` come out of `due` at `when` (absolute seconds) and at no other time."""
        if item.timer_at != NEVER:
            if item.timer_at == when:
                return
            self.clear(item)
        item.timer_at = when
        young = self._young
        if when < self._none_before or not young:
            self._none_before = when
        young[item] = when

    def clear(self, item: T) -> None:
        """Forget the deadline of `item`."""
        if item.timer_at == NEVER:
            return
        item.timer_at = NEVER
        if self._young.pop(item, None) is None:
            self._stale += 1
            if self._stale > _REBUILD_MIN and self._stale * 2 > len(self._heap):
                self._heap = [entry for entry in self._heap if entry[2].timer_at == entry[0]]
                heapq.heapify(self._heap)
                self._stale = 0

    def deadline(self) -> float | None:
        """Return a moment before which nothing is due, None if nothing ever is. O(1), but for entries it takes away.

        It is that of the earliest deadline, or of an earlier one that was cleared: a look at `due` then finds out.
        """
        heap = self._heap
        first = self._none_before if self._young else None
        while heap:
            when, _, item = heap[0]
            if item.timer_at == when:
                return when if first is None or when < first else first
            heapq.heappop(heap)
            self._stale -= 1
        return first

    def due(self, now: float) -> T | None:
        """Take out and return one item whose time has come, or None."""
        if self._none_before <= now:
            self._look_through(now)
        heap = self._heap
        while heap and heap[0][0] <= now:
            when, _, item = heapq.heappop(heap)
            if item.timer_at == when:
                item.timer_at = NEVER
                return item
            self._stale = max(0, self._stale - 1)
        return None

    def _look_through(self, now: float) -> None:
        """Move those of the new deadlines into the heap that have come; all, if they are too many to look through."""
        young = self._young
        every = len(young) > _YOUNG_MAX
        for item, when in [entry for entry in young.items() if every or entry[1] <= now]:
            self._sequence += 1
            heapq.heappush(self._heap, (when, self._sequence, item))
            del young[item]
        self._none_before = min(young.values(), default=_INFINITE)
