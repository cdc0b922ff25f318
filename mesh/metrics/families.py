"""Families of samples as Prometheus wants them; what is added twice for the same labels is summed up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)

from mesh.core.figures import Durations
from mesh.core.stats import BOUNDS_S
from mesh.errors import Status

__all__ = ["CallDurations", "Family", "counter", "gauge"]

_SYSTEM = "mesh"
"""Value of `rpc.system.name`."""
_LE = [*(str(bound_s) for bound_s in BOUNDS_S), "+Inf"]


class Family:
    """The samples of one name.

    Args:
        kind: Counter or gauge.
        name: Of the metric, without the suffix `_total`.
        text: What it is, for people.
        labels: Names of the labels.
    """

    def __init__(
        self,
        kind: type[CounterMetricFamily] | type[GaugeMetricFamily],
        name: str,
        text: str,
        labels: Sequence[str],
    ) -> None:
        self._kind = kind
        self._name = name
        self._text = text
        self._labels = labels
        self._values: dict[tuple[str, ...], float] = {}

    def add(self, value: float, *labels: str) -> None:
        """Take in a sample."""
        self._values[labels] = self._values.get(labels, 0.0) + value

    def put(self, value: float, *labels: str) -> None:
        """Take in a sample of which no sum makes sense; the last one is told."""
        self._values[labels] = value

    def metric(self) -> Metric:
        """Return the family for a registry."""
        family = self._kind(self._name, self._text, labels=self._labels)
        for labels, value in self._values.items():
            family.add_metric(labels, value)
        return family


def counter(name: str, text: str, *labels: str) -> Family:
    """Return an empty family of counters."""
    return Family(CounterMetricFamily, name, text, labels)


def gauge(name: str, text: str, *labels: str) -> Family:
    """Return an empty family of gauges."""
    return Family(GaugeMetricFamily, name, text, labels)


class CallDurations:
    """Histograms of how long calls took, by method and by how they ended.

    Args:
        name: `rpc_client_call_duration_seconds`, or that of the server.
        text: What it is, for people.
        labels: Names of further labels, which come first.
    """

    def __init__(self, name: str, text: str, *labels: str) -> None:
        names = [*labels, "rpc_system_name", "rpc_method", "rpc_response_status_code", "error_type"]
        self._family = HistogramMetricFamily(name, text, labels=names)
        self._sums: dict[tuple[str, ...], Durations] = {}

    def add(self, durations: Durations, method: str, status: Status, error_type: str, *labels: str) -> None:
        """Take in what ended in one way; `error_type` is empty where it ended well, which is a label that is absent."""
        key = (*labels, _SYSTEM, method, status.name, error_type)
        known = self._sums.get(key)
        if known is not None:
            at_most = tuple(one + other for one, other in zip(known.at_most, durations.at_most, strict=True))
            durations = Durations(at_most, known.total_s + durations.total_s)
        self._sums[key] = durations

    def metrics(self) -> Iterator[Metric]:
        """Yield the family for a registry."""
        for labels, durations in self._sums.items():
            buckets = [(bound, float(count)) for bound, count in zip(_LE, durations.at_most, strict=True)]
            self._family.add_metric(labels, buckets, durations.total_s)
        yield self._family
