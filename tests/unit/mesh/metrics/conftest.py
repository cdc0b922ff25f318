"""What a registry holds, by name and labels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from prometheus_client.registry import Collector, CollectorRegistry

Samples = dict[tuple[str, tuple[str, ...]], float]


@pytest.fixture
def samples() -> Callable[[Collector], Samples]:
    """Return a function that scrapes a collector: values by name, and by values of labels in the order of names."""

    def scrape(collector: Collector) -> Samples:
        registry = CollectorRegistry()
        registry.register(collector)
        found: Samples = {}
        for family in registry.collect():
            for sample in family.samples:
                key = (sample.name, tuple(value for _, value in sorted(sample.labels.items())))
                assert key not in found, "Prometheus refuses a scrape that tells one thing twice"
                found[key] = sample.value
        return found

    return scrape
