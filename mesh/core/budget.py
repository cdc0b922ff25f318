"""The retry budget: 20 % of calls, or 10 a second where that is more (after Finagle's RetryBudget).

It bounds what failover may add to a mesh whose servers are all slow. A lost connection or a refusal while draining
does not draw on it: there the first attempt has left no load behind. A hedge is a retry that nothing has gone wrong
for yet, so it has a smaller share of its own besides, and no floor.
"""

from __future__ import annotations

__all__ = ["RetryBudget"]

_FLOOR_EVERY_S = 0.1
"""How often it is seen whether calls have paid less than the floor."""
_WINDOW_S = 10.0
"""Unused tokens are worth this many seconds of calls, not more."""


class RetryBudget:
    """A token bucket that calls fill and doubtful retries empty."""

    __slots__ = (
        "_at",
        "_floor_per_s",
        "_hedge_ratio",
        "_hedges",
        "_max",
        "_paid",
        "_ratio",
        "_tokens",
        "calls",
        "spent",
    )

    def __init__(self, ratio: float, min_per_s: float, hedge_ratio: float = 0.0) -> None:
        """Args: ratio of retries to calls; retries a second that are always allowed; ratio of hedges to calls."""
        self._ratio = ratio
        self._hedge_ratio = hedge_ratio
        self._hedges = 1.0 if hedge_ratio > 0 else 0.0
        self._floor_per_s = min_per_s
        self._max = max(1.0, min_per_s * _WINDOW_S)
        self._tokens = self._max if min_per_s > 0 else 0.0
        self._at = 0.0
        self._paid = 0.0
        """What calls have paid since the last look at the floor."""
        self.calls: int = 0
        """Calls that were made since the last look; whoever makes one counts it here."""
        self.spent: int = 0
        """Retries that were paid for."""

    def withdraw(self, now: float) -> bool:
        """Pay for one retry; False where the budget is empty."""
        self._refill(now)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        self.spent += 1
        return True

    def withdraw_hedge(self, now: float) -> bool:
        """Pay for one hedge, which needs a share of both kinds; False where one is empty."""
        self._refill(now)
        if self._hedges < 1.0 or not self.withdraw(now):
            return False
        self._hedges -= 1.0
        return True

    def wait_s(self, now: float) -> float | None:
        """Return the seconds until one retry can be paid by the floor alone; None if the floor is zero."""
        self._refill(now)
        if self._tokens >= 1.0:
            return 0.0
        if self._floor_per_s <= 0:
            return None
        return self._at - now + max((1.0 - self._tokens) / self._floor_per_s, _FLOOR_EVERY_S)

    def _refill(self, now: float) -> None:
        gained = self.calls * self._ratio
        self._hedges = min(self._max, self._hedges + self.calls * self._hedge_ratio)
        self.calls = 0
        self._paid += gained
        passed_s = now - self._at
        if passed_s >= _FLOOR_EVERY_S:
            if self._at:
                gained += max(0.0, passed_s * self._floor_per_s - self._paid)
            self._at = now
            self._paid = 0.0
        self._tokens = min(self._max, self._tokens + gained)
