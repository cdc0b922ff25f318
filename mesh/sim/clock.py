"""Virtual time: a queue of what happens when, and the moment that has been reached."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Any

__all__ = ["VirtualClock"]

_AT_ONCE_MAX = 100_000
"""Events of one moment; more of them mean that somebody waits for a time that is not coming."""


class VirtualClock:
    """Runs events in the order of (time, sequence), and jumps from one to the next."""

    __slots__ = ("_queue", "_sequence", "events", "now")

    def __init__(self, starts_at: float = 100.0) -> None:
        self.now: float = starts_at
        """Seconds."""
        self.events: int = 0
        """Events that have been run."""
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0

    def __len__(self) -> int:
        return len(self._queue)

    def at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        """Call `act(*args)` at `when` (absolute seconds), after everything that was put there earlier."""
        self._sequence += 1
        now = self.now
        heapq.heappush(self._queue, (when if when > now else now, self._sequence, act, args))

    def after(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        """Call `act(*args)` so many seconds from now."""
        self._sequence += 1
        heapq.heappush(self._queue, (self.now + delay_s, self._sequence, act, args))

    def run_until(self, when: float) -> None:
        """Run everything up to and including `when`; it is `when` then."""
        queue, pop = self._queue, heapq.heappop
        began_with = self.events
        while queue and queue[0][0] <= when:
            at, _, act, args = pop(queue)
            if at > self.now:
                self.now = at
                began_with = self.events
            elif self.events - began_with > _AT_ONCE_MAX:
                raise AssertionError(f"time stands still at {at:.6f}: {act}")
            self.events += 1
            act(*args)
        self.now = when
