"""What a client has learnt of a method: how long it takes, and so when an attempt is overdue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mesh.core.calls import service_of
from mesh.core.stats import Smoothed

if TYPE_CHECKING:
    from mesh.config import ClientConfig

__all__ = ["MethodProfile"]


class MethodProfile:
    """One method, over all its servers."""

    __slots__ = ("_config", "_latency", "_overdue_min_s", "overdue_s", "patience_s", "service")

    def __init__(self, method: str, config: ClientConfig) -> None:
        self.service: str = service_of(method)
        self._config = config
        self._latency = Smoothed()
        self._overdue_min_s = config.attempt_min_s
        self.overdue_s: float = 0.0
        """Time after which an attempt's server is asked for a sign of life."""
        self.patience_s: float = 0.0
        """Time after which an attempt is moved although its server gives signs of life."""
        self._judge(config.attempt_initial_s)

    def took(self, duration_s: float) -> None:
        """Learn from an attempt that ended after so many seconds."""
        latency = self._latency
        latency.add(duration_s)
        expected_s = latency.value_s + 4.0 * latency.deviation_s
        if expected_s > self._overdue_min_s or self.overdue_s > self._overdue_min_s:  # seldom: most methods are quick
            self._judge(expected_s)

    def _judge(self, expected_s: float) -> None:
        config = self._config
        self.overdue_s = max(expected_s, config.attempt_min_s)
        self.patience_s = max(self.overdue_s * config.attempt_patience, config.attempt_patience_min_s)
