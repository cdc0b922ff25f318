"""What hostile callers do to a gateway: python -m scripts.gateway_attacks NAME PORT COUNT SECONDS.

It prints one JSON object: how often each status came, and how many connections ended without one.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import resource
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable

__all__ = ["ATTACKS", "EXPECTED"]

_AT_ONCE = 100
"""Connections that are being opened at the same time."""
_HEAD = b"POST /v1/call/work/echo HTTP/1.1\r\nhost: localhost\r\n"
_ADD = b"POST /v1/call/work/add HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
_Saying = Callable[[float], AsyncIterator[bytes]]


async def _nothing(until: float) -> AsyncIterator[bytes]:
    """Connect and say nothing."""
    await asyncio.sleep(until - asyncio.get_running_loop().time())
    yield b""


async def _slowly(until: float) -> AsyncIterator[bytes]:
    """Say one octet of the head after the other."""
    yield _HEAD
    while asyncio.get_running_loop().time() < until:
        await asyncio.sleep(1.0)
        yield b"x"


async def _slow_body(until: float) -> AsyncIterator[bytes]:
    """Promise a body, and send an octet now and then."""
    yield _HEAD + b"content-length: 1000000\r\n\r\n"
    while asyncio.get_running_loop().time() < until:
        await asyncio.sleep(1.0)
        yield b"x"


async def _large_body(until: float) -> AsyncIterator[bytes]:
    """Send a body of more than 16 MiB, and say so."""
    yield _HEAD + b"content-length: 50000000\r\n\r\n"
    for _ in range(50):
        yield b"x" * 1_000_000


async def _endless_body(until: float) -> AsyncIterator[bytes]:
    """Send a body that has no end."""
    yield _HEAD + b"transfer-encoding: chunked\r\n\r\n"
    while asyncio.get_running_loop().time() < until:
        yield b"100000\r\n" + b"x" * 0x100000 + b"\r\n"


async def _bad_json(until: float) -> AsyncIterator[bytes]:
    """Send what is no JSON, or far too deep."""
    body = next(_BODIES)
    yield _ADD + b"content-length: %d\r\n\r\n" % len(body) + body


_BODIES = itertools.cycle([b"{", b"[1,]", b"[" * 100_000, b'{"a":' * 50_000, b"\xff\xfe", b"[1e999, 2]", b"NaN"])


async def _header_flood(until: float) -> AsyncIterator[bytes]:
    """Send headers without end."""
    yield _HEAD
    for _ in range(100):
        yield b"".join(b"x-%d: %b\r\n" % (number, b"y" * 100) for number in range(1000))


async def _one_header(until: float) -> AsyncIterator[bytes]:
    """Send one header without end."""
    yield _HEAD + b"x: "
    for _ in range(100):
        yield b"y" * 65536


async def _foreign_host(until: float) -> AsyncIterator[bytes]:
    """Come under the name of another site, as a browser does whose DNS was rebound."""
    yield b"GET /v1/servers HTTP/1.1\r\nhost: evil.example\r\nconnection: close\r\n\r\n"


async def _other_site(until: float) -> AsyncIterator[bytes]:
    """Come from the page of another site."""
    yield _ADD + b"origin: http://evil.example\r\ncontent-length: 6\r\n\r\n[1, 2]"


async def _no_http(until: float) -> AsyncIterator[bytes]:
    """Speak TLS where HTTP is spoken."""
    yield b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 200


async def _never_reads(until: float) -> AsyncIterator[bytes]:
    """Ask for large answers, one after the other, and read none."""
    asked = _HEAD + b"content-length: 4000000\r\n\r\n" + b"x" * 4_000_000
    for _ in range(10):
        yield asked


ATTACKS: dict[str, _Saying] = {
    "half-open": _nothing,
    "slow-head": _slowly,
    "slow-body": _slow_body,
    "large-body": _large_body,
    "endless-body": _endless_body,
    "bad-json": _bad_json,
    "header-flood": _header_flood,
    "one-header": _one_header,
    "foreign-host": _foreign_host,
    "other-site": _other_site,
    "no-http": _no_http,
    "never-reads": _never_reads,
}
"""Each by its name: what one connection says until the attack is over."""
EXPECTED = {
    "half-open": {408},
    "slow-head": {408},
    "slow-body": {408},
    "large-body": {413},
    "endless-body": {413, 503},
    "bad-json": {400},
    "header-flood": {431},
    "one-header": {431},
    "foreign-host": {421},
    "other-site": {403},
    "no-http": {400},
    "never-reads": set(),
}
"""The statuses with which each may be answered."""


async def _attack(name: str, port: int, count: int, seconds: float) -> dict[str, object]:
    statuses: Counter[str] = Counter()
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    opening = asyncio.Semaphore(_AT_ONCE)

    async def one() -> None:
        try:
            async with opening:
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            statuses["refused"] += 1
            return
        try:
            saying = asyncio.create_task(_say(ATTACKS[name](until), writer))
            head = b""
            try:
                async with asyncio.timeout_at(until + 2.0):
                    if name != "never-reads":
                        head = await reader.readline()
                    else:
                        await saying
            except (TimeoutError, ConnectionError):
                pass
            saying.cancel()
            await asyncio.gather(saying, return_exceptions=True)
            statuses[head[9:12].decode() or "none"] += 1
        finally:
            writer.transport.abort()

    async with asyncio.TaskGroup() as tasks:
        for _ in range(count):
            tasks.create_task(one())
    return dict(statuses)


async def _say(pieces: AsyncIterator[bytes], writer: asyncio.StreamWriter) -> None:
    async for piece in pieces:
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0)  # an answer may have come


def main() -> None:
    """Attack, and print what came of it."""
    name, port, count, seconds = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    print(json.dumps(asyncio.run(_attack(name, port, count, seconds))))


if __name__ == "__main__":
    main()
