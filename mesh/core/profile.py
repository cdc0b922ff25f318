"""What a client has learnt of a method: how long it takes, over all its servers."""

from __future__ import annotations

from mesh.core.calls import service_of
from mesh.core.stats import Smoothed
from mesh.core.timers import NEVER

__all__ = ["MethodProfile"]


class MethodProfile(Smoothed):
    """The latency of one method, the service it belongs to, and what is planned for an attempt that begins now."""

    __slots__ = ("hedge_at", "next_at", "overdue_at", "planned_at", "service")

    def __init__(self, method: str, initial_s: float) -> None:
        """Begin with a guess in seconds, which the first sample replaces."""
        super().__init__()
        self.service: str = service_of(method)
        self.value_s = initial_s
        self.planned_at: float = NEVER
        """For which moment the plan was made; NEVER if something was learnt since."""
        self.overdue_at: float = 0.0
        """When an attempt of that moment will be overdue."""
        self.hedge_at: float = 0.0
        """When a second server will be asked as well; 0 for never."""
        self.next_at: float = 0.0
        """The earlier of the two."""

    def learn(self, sample_s: float) -> None:
        """Take in how long an attempt took, in seconds."""
        self.add(sample_s)
        self.planned_at = NEVER
