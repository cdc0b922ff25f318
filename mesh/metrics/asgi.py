"""Metrics beside other things that an ASGI application serves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry

from mesh.metrics.exposition import expose, process_registry

__all__ = ["MetricsApp"]

_Message: TypeAlias = MutableMapping[str, Any]


class MetricsApp:
    """An ASGI application that answers every GET and HEAD with what a registry has.

    The text is made in a thread: with many servers it takes longer than a loop should stand still.

    Args:
        registry: What is told. None: how this process does, and what is registered later.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.registry: CollectorRegistry = process_registry() if registry is None else registry
        """What is told; more may be registered at any time."""

    async def __call__(
        self, scope: _Message, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        """Answer one request."""
        accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), "")
        body, kind = await asyncio.to_thread(expose, self.registry, accept)
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
