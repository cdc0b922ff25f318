"""A server whose methods end in every way that there is: python -m tests.e2e.gateway_server NAME [--narrow]."""

from __future__ import annotations

import asyncio
import sys

from mesh import RemoteError, Request, Server, ServerConfig, Service, Status

__all__: list[str] = []

work = Service("work", version="1.0.0", description="ends in every way")
narrow = Service("narrow", version="1.0.0")
held = {"begun": 0, "cancelled": 0}


@work.method(read_only=True)
def add(a: int, b: int = 5) -> int:
    """Add two numbers.

    Quickly.
    """
    return a + b


@work.method(read_only=True)
def name(wanted: str = "name") -> str:
    """Say who it is, or what it was given."""
    return sys.argv[1] if wanted == "name" else wanted


@work.method
def end(code: str) -> None:
    """Fail with a status."""
    raise RemoteError("told to", code=Status[code])


@work.method
def crash() -> None:
    """Fail as a program fails that nobody told to."""
    raise ZeroDivisionError("division by zero")


@work.method(raw=True, read_only=True)
def frames(request: Request) -> list[bytes]:
    """Give back what came."""
    return request.frames


@work.method
def reverse(data: bytes) -> bytes:
    """Turn octets round."""
    return data[::-1]


@work.method
def unspeakable() -> dict[tuple[int, int], str]:
    """Answer what JSON has no words for."""
    return {(1, 2): "a"}


@work.method(idempotent=False)
async def hold(request: Request, seconds: float) -> str:
    """Take a while, or until nobody waits."""
    held["begun"] += 1
    try:
        for _ in range(int(seconds * 100)):
            await asyncio.sleep(0.01)
            if request.cancelled:
                await asyncio.sleep(5.0)  # an answer now might still be in time for a caller who is late himself
                break
    finally:
        held["cancelled"] += request.cancelled
    return "held"


@work.method(read_only=True)
def seen() -> dict[str, int]:
    """Tell how many were held, and how many of them nobody waited for any more."""
    return held


@work.method(read_only=True)
def trace(request: Request) -> list[str]:
    """Tell what travelled with the call."""
    return [f"{key}={value}" for key, value in sorted(request.metadata.items())] + [request.key.decode()]


@narrow.method
async def hold_one(seconds: float) -> None:
    """Take the only place for a while."""
    await asyncio.sleep(seconds)


if __name__ == "__main__":
    narrow_one = sys.argv[2:] == ["--narrow"]
    config = ServerConfig(admitted_max=1) if narrow_one else None
    server = Server(narrow if narrow_one else work, bind="tcp://127.0.0.1:0", name=sys.argv[1], config=config)
    server.start()
    print("ready", server.endpoints[0], flush=True)
    server.wait()
