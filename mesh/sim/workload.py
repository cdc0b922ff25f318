"""What the clients of a simulated world ask for."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Workload"]


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Calls at random moments, at random clients."""

    calls: int = 1000
    per_s: float = 1000.0
    """Calls a second, of all clients together (a Poisson process)."""
    timeout_s: float = 5.0
    once: float = 0.2
    """Share of calls that must not run twice."""
    fail: float = 0.02
    """Share of calls whose handler raises."""
    large: float = 0.01
    """Share of calls whose body travels in a frame of its own."""
    abandon: float = 0.01
    """Share of calls whose caller goes away before the answer."""
    burst: float = 0.0
    """Share of calls that are made in the same moment as the one before."""
