"""The mesh as it is measured: its public API, its defaults; only mDNS is off, the clients are given their servers.

`mesh` imports what is used: a client does not weigh what a server needs.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import mesh
from scripts.bench_load import HOST, METHOD, Call, Client, Load, Run, concurrently, endpoints, from_threads, one_by_one

__all__ = ["CLIENTS", "SERVERS"]

Announce: TypeAlias = Callable[[list[int]], None]
_WHERE: dict[str, Any] = {"bind": f"tcp://{HOST}:0", "advertise": False}
_TIMEOUT_S = 30.0
"""For servers to come up, and for a call: a thousand of 1 MiB may be in flight."""


def _inline(name: str = "echo") -> mesh.Service:
    service = mesh.Service(name)

    @service.method(raw=True)
    def echo(request: mesh.Request) -> list[bytes]:
        return request.frames

    @service.method
    def add(a: int, b: int) -> int:
        return a + b

    return service


def _coroutine() -> mesh.Service:
    service = mesh.Service("echo")

    @service.method(raw=True)
    async def echo(request: mesh.Request) -> list[bytes]:
        return request.frames

    return service


def _threaded() -> mesh.Service:
    service = mesh.Service("echo", threads=4)

    @service.method(raw=True)
    def echo(request: mesh.Request) -> list[bytes]:
        return request.frames

    return service


def _port(server: mesh.Server | mesh.AsyncServer) -> int:
    return int(server.endpoints[0].rpartition(":")[2])


def _serve(service: mesh.Service, announce: Announce) -> None:
    """Serve from a thread."""
    with mesh.Server(service, **_WHERE) as server:
        announce([_port(server)])
        server.wait()


def _serve_loop(servers: int, make: Callable[[int], mesh.Service], announce: Announce) -> None:
    """Serve in an asyncio loop, which many servers share."""
    import asyncio

    async def main() -> None:
        async with AsyncExitStack() as stack:
            started = [
                await stack.enter_async_context(mesh.AsyncServer(make(number), name=f"bench-{number}", **_WHERE))
                for number in range(servers)
            ]
            announce([_port(server) for server in started])
            await started[0].wait()

    asyncio.run(main())


SERVERS: dict[str, Callable[[int, Announce], None]] = {
    "inline": lambda servers, announce: _serve(_inline(), announce),
    "coroutine": lambda servers, announce: _serve_loop(servers, lambda number: _coroutine(), announce),
    "coroutine-thread": lambda servers, announce: _serve(_coroutine(), announce),
    "threaded": lambda servers, announce: _serve(_threaded(), announce),
    "many": lambda servers, announce: _serve_loop(servers, lambda number: _inline(), announce),
    "others": lambda servers, announce: _serve_loop(servers, lambda number: _inline("other"), announce),
}
"""`many` are many servers of one process; `others` too, which are not what is called."""


@contextlib.contextmanager
def _client(load: Load) -> Iterator[mesh.Client]:
    with mesh.Client(endpoints(load), discover=False) as client:
        client.wait_for(len(load.ports), timeout=_TIMEOUT_S)
        yield client


@contextlib.contextmanager
def _sync(load: Load) -> Iterator[Run]:
    """Client.request, one after the other or from many threads."""
    body = load.body
    with _client(load) as client:

        def call() -> None:
            client.request(METHOD, body, timeout=_TIMEOUT_S)

        yield one_by_one(call) if load.in_flight == 1 else from_threads(call, load.in_flight)


@contextlib.contextmanager
def _typed(load: Load) -> Iterator[Run]:
    """Client.call of a typed method, one after the other."""
    with _client(load) as client:
        yield one_by_one(lambda: client.call("echo.add", 2, 3, timeout=_TIMEOUT_S))


@contextlib.asynccontextmanager
async def _connected(load: Load) -> AsyncIterator[Call]:
    body = load.body
    async with mesh.AsyncClient(endpoints(load), discover=False) as client:
        await client.wait_for(len(load.ports), timeout=_TIMEOUT_S)
        yield lambda: client.request(METHOD, body, timeout=_TIMEOUT_S)


def _async(load: Load) -> contextlib.AbstractContextManager[Run]:
    """AsyncClient.request, so many in flight."""
    return concurrently(_connected(load), load.in_flight)


CLIENTS: dict[str, Client] = {"sync": _sync, "typed": _typed, "async": _async}
