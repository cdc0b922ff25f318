"""What the gateway's client tells to Prometheus."""

from __future__ import annotations

from starlette.routing import Route

from mesh import AsyncClient
from mesh.metrics import ClientCollector, MetricsApp

__all__ = ["metrics_route"]


def metrics_route(client: AsyncClient) -> Route:
    """Return the route of /metrics: the calls of a client, the servers that it sees, and how this process does."""
    app = MetricsApp()
    app.registry.register(ClientCollector(client))
    return Route("/metrics", app, methods=["GET"])
