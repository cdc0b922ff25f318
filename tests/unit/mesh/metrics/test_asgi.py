"""Metrics as an ASGI application."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Gauge

from mesh.metrics import MetricsApp


async def _ask(method: str, accept: bytes) -> list[MutableMapping[str, Any]]:
    registry = CollectorRegistry()
    Gauge("answer", "To everything.", registry=registry).set(42)
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request"}

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    scope = {"type": "http", "method": method, "path": "/metrics", "headers": [(b"accept", accept)]}
    await MetricsApp(registry)(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("accept", "kind"), [(b"*/*", b"text/plain"), (b"application/openmetrics-text", b"application/")]
)
def test_it_answers_with_what_the_registry_has(accept: bytes, kind: bytes) -> None:
    start, body = asyncio.run(_ask("GET", accept))
    headers = dict(start["headers"])
    assert start["status"] == 200
    assert headers[b"content-type"].startswith(kind)
    assert int(headers[b"content-length"]) == len(body["body"])
    assert b"answer 42.0" in body["body"]


def test_head_has_no_body() -> None:
    start, body = asyncio.run(_ask("HEAD", b"*/*"))
    assert int(dict(start["headers"])[b"content-length"]) > 0
    assert body["body"] == b""
