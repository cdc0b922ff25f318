"""A gateway in this process, before a server of this process: real uvicorn, real mesh."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import pytest

from mesh import AsyncClient, Client, Request, Server, Service
from mesh.gateway.server import bind, serve
from mesh.gateway.settings import GatewaySettings


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Where a server listens."""
    work = Service("work", version="1.0.0")

    @work.method(read_only=True)
    def add(a: int, b: int = 5) -> int:
        return a + b

    @work.method(raw=True)
    def frames(request: Request) -> list[bytes]:
        return request.frames

    @work.method(raw=True)
    def much(request: Request) -> bytes:
        return b"x" * int(request.body)

    with Server(work, bind="tcp://127.0.0.1:0", name="one", advertise=False) as server:
        with Client(server.endpoints, discover=False) as client:
            client.request("work.much", b"1000000")  # with the first large message pyzmq starts a thread, for ever
        yield server.endpoints[0]


class Open:
    """Opens gateways in a loop of their own; called with settings, it returns a port."""

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="gateway")
        self._thread.start()
        self._running: list[tuple[asyncio.Event, Future[None]]] = []

    def __call__(self, **given: Any) -> int:
        settings = GatewaySettings(port=0, **given)
        listening = bind(settings)
        ready, stop = threading.Event(), asyncio.Event()
        running = self._run(settings, listening, ready, stop)
        self._running.append((stop, asyncio.run_coroutine_threadsafe(running, self._loop)))
        assert ready.wait(10.0)
        port: int = listening.getsockname()[1]
        return port

    def close(self) -> None:
        """Stop all gateways and the loop."""
        for stop, _ in self._running:
            self._loop.call_soon_threadsafe(stop.set)
        for _, future in self._running:
            future.result(15.0)
        asyncio.run_coroutine_threadsafe(self._loop.shutdown_default_executor(), self._loop).result(5.0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _run(
        self, settings: GatewaySettings, listening: socket.socket, ready: threading.Event, stop: asyncio.Event
    ) -> None:
        with listening:
            async with AsyncClient([self._endpoint], discover=False) as client:
                await client.wait_for(1)
                async with serve(client, settings, listening):
                    ready.set()
                    await stop.wait()


@pytest.fixture
def open_gateway(endpoint: str) -> Iterator[Open]:
    """Open a gateway with settings, and return its port."""
    opener = Open(endpoint)
    yield opener
    opener.close()
