"""HTTP requests over connections that are kept, one after the other on each, and what came of them."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from dataclasses import dataclass, field

__all__ = ["Load", "Tally", "request"]

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


def request(path: str, body: bytes | None = None, **headers: str) -> bytes:
    """Return a request as it goes over the wire: POST with a body, else GET."""
    lines = [f"{'GET' if body is None else 'POST'} {path} HTTP/1.1", "host: 127.0.0.1"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body is not None:
        lines += ["content-type: application/json", f"content-length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + (body or b"")


@dataclass
class Tally:
    """What came of the requests."""

    statuses: Counter[int] = field(default_factory=Counter)
    lost: int = 0
    """Requests whose connection ended before the response."""
    failures: list[str] = field(default_factory=list)
    """The first bodies of responses other than 200."""
    latencies_s: list[float] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Requests that were not answered with 200."""
        return self.lost + sum(count for status, count in self.statuses.items() if status != 200)


class _Caller(asyncio.Protocol):
    """One connection: the next request goes out when the response to the one before has come."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport
        self._read = b""
        self._asked_at = 0.0
        self._waiting = False
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._waiting:
            self._load.tally.lost += 1
        if not self.ended.done():
            self.ended.set_result(None)

    def data_received(self, data: bytes) -> None:
        read = self._read = self._read + data if self._read else data
        head, blank, body = read.partition(b"\r\n\r\n")
        found = _LENGTH.search(head) if blank else None
        if found is None or len(body) < int(found[1]):
            return
        self._read = b""
        self._load.take(int(head[9:12]), body, time.perf_counter() - self._asked_at)
        self._ask()

    def _ask(self) -> None:
        self._waiting = not self._load.stopped
        if not self._waiting:
            self._transport.close()
            return
        self._asked_at = time.perf_counter()
        self._transport.write(self._load.request)


class Load:
    """Callers that ask without a pause.

    Args:
        port: Where to, on loopback.
        request: What each asks, again and again.
        callers: How many, each with a connection of its own.
    """

    def __init__(self, port: int, request: bytes, callers: int) -> None:
        self.request = request
        """What each caller asks."""
        self.tally = Tally()
        """What came so far."""
        self.stopped = False
        """Whether nothing new is asked."""
        self._port = port
        self._count = callers
        self._callers: list[_Caller] = []

    def take(self, status: int, body: bytes, took_s: float) -> None:
        """Take in one response."""
        self.tally.statuses[status] += 1
        self.tally.latencies_s.append(took_s)
        if status != 200 and len(self.tally.failures) < 5:
            self.tally.failures.append(body.decode("utf-8", "replace"))

    async def start(self) -> None:
        """Connect, and begin to ask."""
        loop = asyncio.get_running_loop()
        for _ in range(self._count):
            _, caller = await loop.create_connection(lambda: _Caller(self), "127.0.0.1", self._port)
            self._callers.append(caller)

    async def stop(self) -> Tally:
        """Ask nothing new; return the tally when all responses have come."""
        self.stopped = True
        await asyncio.gather(*(caller.ended for caller in self._callers))
        return self.tally

    async def run(self, seconds: float) -> Tally:
        """Ask for so long."""
        await self.start()
        await asyncio.sleep(seconds)
        return await self.stop()
