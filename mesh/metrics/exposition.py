"""What is told, and the text of a scrape."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder

__all__ = ["expose", "process_registry"]


def expose(registry: CollectorRegistry, accept: str) -> tuple[bytes, str]:
    """Return the text, and what it is; as OpenMetrics for those who `accept` that (RFC 9110 section 12.5.1)."""
    encode, kind = choose_encoder(accept)
    return encode(registry), kind


def process_registry() -> CollectorRegistry:
    """Return a registry that tells how this process does."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    return registry
