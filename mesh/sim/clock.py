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

    def __init__(self, starts_at: float = 100.0) -> None:
        self.now: float = starts_at
        """Seconds."""
        self.events: int = 0
        """Events that have been run."""
        self._queue: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = 0
        self._at_once = 0

    def at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        """Call `act(*args)` at `when` (absolute seconds), after everything that was put there earlier."""
        self._sequence += 1
        heapq.heappush(self._queue, (max(when, self.now), self._sequence, act, args))

    def after(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        """Call `act(*args)` so many seconds from now."""
        self.at(self.now + delay_s, act, *args)

    def run_until(self, when: float) -> None:
        """Run everything up to and including `when`; it is `when` then."""
        queue, pop = self._queue, heapq.heappop
        while queue and queue[0][0] <= when:
            at, _, act, args = pop(queue)
            self._at_once = self._at_once + 1 if at == self.now else 0
            assert self._at_once < _AT_ONCE_MAX, f"time stands still at {at:.6f}: {act}"
            self.now = at
            self.events += 1
            act(*args)
        self.now = when
