"""Which packets came before: a sender repeats one until it is answered."""

from __future__ import annotations

import enum
from collections.abc import Hashable

__all__ = ["Seen", "Window"]


class Seen(enum.Enum):
    """What is known of a packet."""

    NEW = "new"
    """It came for the first time, or too long ago."""
    PENDING = "pending"
    """It came, and is not durable yet."""
    STORED = "stored"
    """It came, and is durable."""


class Window:
    """Remembers packets until they are durable, and for some time after that.

    Args:
        kept_s: Seconds for which one that is durable is remembered.
        kept_max: How many of these at the most; the oldest go first.
    """

    def __init__(self, kept_s: float, kept_max: int) -> None:
        self._kept_s = kept_s
        self._kept_max = kept_max
        self._pending: dict[Hashable, None] = {}
        self._stored: dict[Hashable, float] = {}  # in the order of time

    def __len__(self) -> int:
        return len(self._pending) + len(self._stored)

    def meet(self, key: Hashable, now: float) -> Seen:
        """Return what is known of a packet that comes now; one that is new is pending from here on."""
        if key in self._pending:
            return Seen.PENDING
        stored_at = self._stored.get(key)
        if stored_at is not None and now - stored_at <= self._kept_s:
            return Seen.STORED
        self._pending[key] = None
        return Seen.NEW

    def stored(self, key: Hashable, now: float) -> None:
        """It is durable now."""
        self._pending.pop(key, None)
        self._stored.pop(key, None)  # an old one of the same name would keep its place
        self._stored[key] = now
        while self._stored:
            oldest = next(iter(self._stored))
            if len(self._stored) <= self._kept_max and now - self._stored[oldest] <= self._kept_s:
                break
            del self._stored[oldest]
