"""What a client has learnt of a method: how long it takes, over all its servers."""

from __future__ import annotations

from mesh.core.calls import service_of
from mesh.core.stats import Smoothed

__all__ = ["MethodProfile"]


class MethodProfile(Smoothed):
    """The latency of one method, and the service it belongs to."""

    __slots__ = ("service",)

    def __init__(self, method: str, initial_s: float) -> None:
        """Begin with a guess in seconds, which the first sample replaces."""
        super().__init__()
        self.service: str = service_of(method)
        self.value_s = initial_s
