"""Metrics for Prometheus: collectors that read a client, a server or a spool when they are scraped, and an endpoint.

    REGISTRY.register(ClientCollector(client))

Names and buckets are those of OpenTelemetry's conventions for RPC where it has any (version 1.44), as its Prometheus
exporter writes them; the others begin with `mesh_`. Needs prometheus-client: the extra `metrics`.
"""

from __future__ import annotations

from mesh.metrics.asgi import MetricsApp
from mesh.metrics.client import ClientCollector
from mesh.metrics.endpoint import MetricsEndpoint, is_loopback
from mesh.metrics.server import FiguresCollector, ServerCollector
from mesh.metrics.spool import SpoolCollector
from mesh.metrics.supervisor import SupervisorCollector

__all__ = [
    "ClientCollector",
    "FiguresCollector",
    "MetricsApp",
    "MetricsEndpoint",
    "ServerCollector",
    "SpoolCollector",
    "SupervisorCollector",
    "is_loopback",
]
