"""Trying again at the edges, where the world outside may need a moment: the only importer of tenacity.

Retrying a *call* is failover, and is decided in the core.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import tenacity

__all__ = ["retrying"]

T = TypeVar("T")


def retrying(
    attempt: Callable[[], T],
    on: type[Exception],
    *,
    attempts_max: int = 5,
    pause_s: float = 0.02,
    sleep: Callable[[float], None] = time.sleep,
) -> T:
    """Call `attempt` until it does not raise `on`; the last such error goes to the caller.

    Args:
        attempt: What to do.
        on: The error that another try may mend; every other one goes to the caller at once.
        attempts_max: How often at the most.
        pause_s: First pause in seconds; doubles, with jitter.
        sleep: How to wait.
    """
    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(on),
        stop=tenacity.stop_after_attempt(attempts_max),
        wait=tenacity.wait_exponential(multiplier=pause_s, max=1.0) + tenacity.wait_random(0.0, pause_s),
        sleep=sleep,
        reraise=True,
    )(attempt)
