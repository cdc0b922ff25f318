"""Metrics beside other things that an ASGI application serves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry

from mesh.metrics.exposition import expose

__all__ = ["metrics_app"]

_Message: TypeAlias = MutableMapping[str, Any]
_App: TypeAlias = Callable[
    [_Message, Callable[[], Awaitable[_Message]], Callable[[_Message], Awaitable[None]]], Awaitable[None]
]


def metrics_app(registry: CollectorRegistry) -> _App:
    """Return an ASGI application that answers every GET with what the registry has.

    The text is made in a thread: with many servers it takes longer than a loop should stand still.
    """

    async def answer(
        scope: _Message, receive: Callable[[], Awaitable[_Message]], send: Callable[[_Message], Awaitable[None]]
    ) -> None:
        accept = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"accept"), "")
        body, kind = await asyncio.to_thread(expose, registry, accept)
        headers = [(b"content-type", kind.encode()), (b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    return answer
