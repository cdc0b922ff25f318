"""What the supervisor of workers tells of its work."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mesh.metrics.families import counter, gauge

__all__ = ["SupervisorCollector"]

_EVENTS = (
    "serving",
    "drained",
    "outworn",
    "died",
    "crash-loop",
    "quarantined",
    "reloaded",
    "reload-failed",
    "load-failed",
)
"""Are told before they have ever happened: else the first time would be no increase."""


class SupervisorCollector(Collector):
    """Tells of a supervisor when it is scraped.

    Args:
        workers: How many are to serve.
        events: Returns how often what has happened.
    """

    def __init__(self, workers: int, events: Callable[[], Mapping[str, int]]) -> None:
        self._workers = workers
        self._events = events

    def describe(self) -> list[Metric]:
        """Return nothing: what there is to tell is found out by a scrape."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield everything there is to tell."""
        workers = gauge("mesh_supervisor_workers", "Workers that are to serve.")
        workers.add(self._workers)
        yield workers.metric()
        happened = counter("mesh_supervisor_events", "What happened to workers, as mesh serve says it.", "event")
        counted = self._events()
        for event in _EVENTS:
            happened.add(counted.get(event, 0), event)
        yield happened.metric()
