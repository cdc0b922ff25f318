"""What a client has learnt of a method: how long it takes, over all its servers."""

from __future__ import annotations

from mesh.core.calls import service_of
from mesh.core.stats import Smoothed

__all__ = ["MethodProfile"]


_STEP = 0.1
_SHARE = 0.95
_UP, _DOWN = 1.0 + _STEP * _SHARE, 1.0 - _STEP * (1.0 - _SHARE)
_KNOWN = 20
"""Samples before the 95th percentile means anything."""
_BEYOND = 1.1
_LEAST_S = 1e-4


class MethodProfile(Smoothed):
    """The latency of one method, and the service it belongs to."""

    __slots__ = ("p95_s", "service")

    def __init__(self, method: str, initial_s: float) -> None:
        """Begin with a guess in seconds, which the first sample replaces."""
        super().__init__()
        self.service: str = service_of(method)
        self.value_s = initial_s
        self.p95_s: float = 0.0
        """What 95 % of the answers do not exceed: it steps up by 9.5 % when one does and down by 0.5 % when one does
        not, which balances at one in twenty, needs no memory, and follows a method that changes."""

    def add(self, sample_s: float) -> None:
        """Take in one sample in seconds."""
        if self.count == 0:
            self.p95_s = max(sample_s * 2.0, _LEAST_S)
        else:
            self.p95_s *= _UP if sample_s > self.p95_s else _DOWN
        Smoothed.add(self, sample_s)

    def hedge_after_s(self) -> float | None:
        """Return the time after which an answer is late enough to ask a second server; None while it is unknown."""
        return self.p95_s * _BEYOND if self.count >= _KNOWN else None
