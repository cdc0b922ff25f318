"""One test body for both drivers: tests are coroutines, and what blocks in the sync API runs in a thread.

`mesh.sync` and `mesh.aio` have the same methods, so a test is written against the asyncio classes; the sync ones get
their face by `_Awaitable`, which sends each waiting method to a thread and awaits it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any, cast

from mesh import AsyncClient, AsyncServer, AsyncSpool, Client, ClientConfig, Server, Service, Spool
from tests.helpers import PATIENCE_S

__all__ = ["Driver"]

_WAITING = frozenset({"call", "invoke", "request", "wait_for", "close", "start", "wait", "stop"})
_SPOOL_WAITING = frozenset(
    {"open", "put", "put_many", "flush", "stats", "peek", "quarantine", "replay", "purge", "verify", "close"}
)
"""Methods that are coroutines in `mesh.aio`; the others return at once in both."""


class _Awaitable:
    """A sync object whose waiting methods can be awaited."""

    def __init__(self, inner: Any, waiting: frozenset[str] = _WAITING) -> None:
        self._inner = inner
        self._waiting = waiting

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._inner, name)
        return _in_thread(attribute) if name in self._waiting else attribute

    def service(self, *args: Any, **kwargs: Any) -> _AwaitableProxy:
        return _AwaitableProxy(self._inner.service(*args, **kwargs))


class _AwaitableProxy:
    """A service proxy whose methods can be awaited."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return _in_thread(getattr(self._inner, name))


def _in_thread(function: Callable[..., Any]) -> Callable[..., Any]:
    async def call(*args: Any, **kwargs: Any) -> Any:
        return await asyncio.to_thread(function, *args, **kwargs)

    return call


class Driver:
    """Makes clients and servers of one of the two APIs.

    Both listen and find each other without mDNS unless a test says otherwise, so that they are quick to make.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        """`sync` or `asyncio`."""

    def new_client(self, *endpoints: str, **settings: Any) -> AsyncClient:
        """Return a client of these servers, which is patient with calls that give no timeout; the test closes it."""
        config = ClientConfig(timeout_s=PATIENCE_S)
        settings = {"servers": endpoints, "discover": "browser" in settings, "config": config, **settings}
        if self.name == "asyncio":
            return AsyncClient(**settings)
        return cast(AsyncClient, _Awaitable(Client(**settings)))

    def new_server(self, *services: Service, **settings: Any) -> AsyncServer:
        """Return a server on a free port of loopback; the test starts and stops it."""
        settings = {"bind": "tcp://127.0.0.1:0", "advertise": False, **settings}
        if self.name == "asyncio":
            return AsyncServer(*services, **settings)
        return cast(AsyncServer, _Awaitable(Server(*services, **settings)))

    def new_spool(self, path: Path, **settings: Any) -> AsyncSpool:
        """Return a spool that delivers nothing unless a test says otherwise; the test opens and closes it."""
        settings = {"deliver": False, **settings}
        if self.name == "asyncio":
            return AsyncSpool(path, **settings)
        return cast(AsyncSpool, _Awaitable(Spool(path, **settings), _SPOOL_WAITING))

    @contextlib.asynccontextmanager
    async def spool(self, path: Path, **settings: Any) -> AsyncIterator[AsyncSpool]:
        """Yield an open spool, and close it."""
        spool = self.new_spool(path, **settings)
        await spool.open()
        try:
            yield spool
        finally:
            await spool.close()

    @contextlib.asynccontextmanager
    async def client(self, *endpoints: str, **settings: Any) -> AsyncIterator[AsyncClient]:
        """Yield a client of these servers, and close it."""
        client = self.new_client(*endpoints, **settings)
        try:
            yield client
        finally:
            await client.close()

    @contextlib.asynccontextmanager
    async def server(self, *services: Service, **settings: Any) -> AsyncIterator[AsyncServer]:
        """Yield a server that runs, and stop it."""
        server = self.new_server(*services, **settings)
        await server.start()
        try:
            yield server
        finally:
            await server.stop()

    @contextlib.asynccontextmanager
    async def pair(self, *services: Service, **settings: Any) -> AsyncIterator[tuple[AsyncClient, AsyncServer]]:
        """Yield a client and the only server that it knows; the settings are the server's."""
        async with self.server(*services, **settings) as server, self.client(*server.endpoints) as client:
            yield client, server
