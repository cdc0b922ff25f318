"""An HTTP endpoint for scrapes, in a thread of its own: nothing else of the process waits for whoever reads it.

It answers GET and HEAD of /metrics and closes. A connection has ten seconds for everything, and there are so many at
most; the text is made for one at a time. On loopback it answers to addresses and `localhost` alone: a page in a browser
of this machine can have a name of its own lead here, and read what it finds (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import re
import threading
from types import TracebackType
from typing import Self

from prometheus_client import CollectorRegistry

from mesh.errors import ConfigError
from mesh.metrics.exposition import expose, process_registry

__all__ = ["MetricsEndpoint", "is_loopback"]

_AUTHORITY = re.compile(r"(\[[^\]]*\]|[^:]*)(?::\d*)?")
_CONNECTIONS_MAX = 64
"""One more takes the place of that which has been there longest."""
_HEAD_MAX = 8192
"""Octets of a request."""
_TIME_S = 10.0
"""For everything from the first octet to the last."""


class MetricsEndpoint:
    """Answers scrapes from its start to its end. Raises ConfigError: the address cannot be used.

    Args:
        host: Address to listen on.
        port: 0 is any free one.
        registry: What is told. None: how this process does, and what is registered later.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry | None = None) -> None:
        self.registry: CollectorRegistry = process_registry() if registry is None else registry
        """What is told; more may be registered at any time."""
        self._is_local = is_loopback(host)
        self._connections: dict[asyncio.Task[None], None] = {}
        self._loop = asyncio.new_event_loop()
        self._exposing = asyncio.Lock()
        try:
            self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, host, port, limit=_HEAD_MAX))
        except OSError as error:
            self._loop.close()
            raise ConfigError(
                f"metrics cannot be served on {host}:{port}: {_reason(error)}; give an address of this host and a "
                f"port that is free"
            ) from None
        port = self._server.sockets[0].getsockname()[1]
        self.url: str = f"http://{f'[{host}]' if ':' in host else host}:{port}/metrics"
        """Where the metrics are."""
        self._thread = threading.Thread(target=self._run, name="mesh-metrics", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Listen no more, and drop who reads; a second time does nothing."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()

    def _run(self) -> None:
        try:
            self._loop.run_forever()
        finally:
            self._loop.run_until_complete(self._end())
            self._loop.close()

    async def _end(self) -> None:
        self._server.close()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        await self._loop.shutdown_default_executor()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        if len(self._connections) >= _CONNECTIONS_MAX:
            longest = next(iter(self._connections))
            del self._connections[longest]
            longest.cancel()
        self._connections[task] = None
        try:
            async with asyncio.timeout(_TIME_S):
                writer.write(await self._answer(reader))
                await writer.drain()
                writer.write_eof()
                await reader.read(1)  # else what the other side sends meanwhile would reset what it has not read yet
        except (OSError, TimeoutError, asyncio.CancelledError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # it went, was too slow, or is none that speaks HTTP
        finally:
            self._connections.pop(task, None)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader) -> bytes:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        request, *lines = head.split("\r\n")
        method, _, rest = request.partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        if path != "/metrics":
            return _response("404 Not Found", b"the metrics are at /metrics\n")
        if method not in ("GET", "HEAD"):
            return _response("405 Method Not Allowed", b"the metrics are read by GET\n", allow="GET, HEAD")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        if self._is_local and not _is_address(headers.get("host", "localhost")):
            return _response("421 Misdirected Request", b"ask for localhost, or for an address\n")
        async with self._exposing:
            body, kind = await asyncio.to_thread(expose, self.registry, headers.get("accept", ""))
        return _response("200 OK", body, kind, with_body=method == "GET")


def is_loopback(host: str) -> bool:
    """Tell whether nobody but this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _is_address(authority: str) -> bool:
    """Tell whether the Host of a request (RFC 9110 section 7.2) is an address, or `localhost`."""
    found = _AUTHORITY.fullmatch(authority)
    if found is None:
        return False
    try:
        ipaddress.ip_address(found[1].strip("[]"))
    except ValueError:
        return found[1].lower() == "localhost"
    return True


def _reason(error: OSError) -> str:
    """Return what the system says: asyncio puts a sentence around that, and getaddrinfo has codes of its own."""
    return os.strerror(error.errno) if error.errno and error.errno > 0 else error.strerror or str(error)


def _response(
    status: str, body: bytes, kind: str = "text/plain; charset=utf-8", *, allow: str = "", with_body: bool = True
) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {kind}", f"Content-Length: {len(body)}", "Connection: close"]
    if allow:
        lines.append(f"Allow: {allow}")
    return "\r\n".join([*lines, "", ""]).encode() + (body if with_body else b"")
