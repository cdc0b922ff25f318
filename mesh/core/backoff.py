"""How long to wait before the next dial: exponential, with full jitter."""

from __future__ import annotations

import random

__all__ = ["delay"]

_GROWTH = 1.8


def delay(attempt: int, rng: random.Random, minimum_s: float, maximum_s: float) -> float:
    """Return the seconds to wait after failure number `attempt` (1, 2, …).

    Drawn between half the bound and the bound, so that clients that lost the same server at the same moment do not
    come back at the same moment, and none comes back at once.
    The bound is min(maximum, minimum * 1.8 ** (attempt - 1)).
    """
    exponent = min(attempt - 1, 64)
    bound = min(maximum_s, minimum_s * _GROWTH**exponent)
    return bound * (0.5 + 0.5 * rng.random())
