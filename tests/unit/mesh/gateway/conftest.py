"""A gateway in this process, before a server of this process: real uvicorn, real mesh."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mesh import AsyncClient, Client, Request, Server, Service
from mesh.gateway.server import bind, serve
from mesh.gateway.settings import GatewaySettings

Open = Callable[..., int]


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


@pytest.fixture
def open_gateway(endpoint: str) -> Iterator[Open]:
    """Open a gateway with settings, and return its port."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="gateway")
    thread.start()
    stopped: list[asyncio.Event] = []
    running: list[Any] = []

    async def run(settings: GatewaySettings, listening: Any, ready: Any, stop: asyncio.Event) -> None:
        with listening:
            async with AsyncClient([endpoint], discover=False) as client:
                await client.wait_for(1)
                async with serve(client, settings, listening):
                    ready.set()
                    await stop.wait()

    def open_one(**given: Any) -> int:
        settings = GatewaySettings(port=0, **given)
        listening = bind(settings)
        ready, stop = threading.Event(), asyncio.Event()
        stopped.append(stop)
        running.append(asyncio.run_coroutine_threadsafe(run(settings, listening, ready, stop), loop))
        assert ready.wait(10.0)
        port: int = listening.getsockname()[1]
        return port

    yield open_one
    for stop in stopped:
        loop.call_soon_threadsafe(stop.set)
    for future in running:
        future.result(15.0)
    asyncio.run_coroutine_threadsafe(loop.shutdown_default_executor(), loop).result(5.0)
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
