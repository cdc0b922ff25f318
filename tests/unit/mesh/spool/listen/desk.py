"""An intake that stores when it is told to, and a listener that runs for the length of a block."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any

from mesh.spool.daemon import Listener

__all__ = ["Desk", "port_of", "running"]


class Desk:
    """Takes records; they are durable while it is open, and wait while it is not."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.asked: list[tuple[str, str, int]] = []
        """Method, stream and number of bodies of each call."""
        self.bodies: list[bytes] = []
        """Of everything that is durable."""

    async def put_many(self, method: str, bodies: Sequence[bytes], *, stream: str = "") -> Sequence[int]:
        """Store them, when it is open."""
        self.asked.append((method, stream, len(bodies)))
        await self.open.wait()
        self.bodies += bodies
        return range(len(self.bodies) - len(bodies) + 1, len(self.bodies) + 1)

    def entries(self) -> list[dict[str, Any]]:
        """Return what is durable, decoded."""
        return [json.loads(body) for body in self.bodies]

    def messages(self) -> list[str]:
        """Return the messages of syslog that are durable."""
        return [entry["fields"]["message"] for entry in self.entries()]


@contextlib.asynccontextmanager
async def running(listener: Listener) -> AsyncIterator[None]:
    """Run a listener; at the end of the block it is stopped, and has stored everything."""
    listener.open()
    task = asyncio.create_task(listener.run())
    try:
        yield
        listener.stop()
        async with asyncio.timeout(5.0):
            await task
    finally:
        task.cancel()
        await asyncio.wait([task])
        listener.close()


def port_of(listener: Listener) -> int:
    """Return the port that it has bound."""
    return int(listener.endpoint.rpartition(":")[2])
