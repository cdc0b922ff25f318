"""Waiting for a condition with a deadline, which is the only way a test waits; and how quick a thing can be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE_S", "async_wait_until", "quickest", "wait_until"]

T = TypeVar("T")

PATIENCE_S = 20.0
"""Longest wait for what comes at once on a machine that has nothing else to do; a busy one may stand still for long."""
_POLL_S = 0.005


def wait_until(condition: Callable[[], T], deadline_s: float = PATIENCE_S, what: str = "the condition") -> T:
    """Return the first true value of ``condition``; AssertionError after ``deadline_s`` seconds."""
    give_up_at = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() >= give_up_at:
            raise AssertionError(_sentence(what, deadline_s, value))
        time.sleep(_POLL_S)
    return value


async def async_wait_until(
    condition: Callable[[], T], deadline_s: float = PATIENCE_S, what: str = "the condition"
) -> T:
    """Do what ``wait_until`` does, and let the event loop run meanwhile."""
    give_up_at = time.monotonic() + deadline_s
    while not (value := condition()):
        if time.monotonic() >= give_up_at:
            raise AssertionError(_sentence(what, deadline_s, value))
        await asyncio.sleep(_POLL_S)
    return value


def quickest(measure: Callable[[], float], limit_s: float, tries: int = 5) -> float:
    """Return the first of a few measurements that is below a limit, or the shortest of all.

    What else the machine does can only make a thing slower: one measurement shows how quick it is.
    """
    shortest_s = measure()
    while shortest_s >= limit_s and (tries := tries - 1):
        shortest_s = min(shortest_s, measure())
    return shortest_s


def _sentence(what: str, deadline_s: float, value: object) -> str:
    return f"waited {deadline_s:g} s in vain for {what}; last seen: {value!r}"
