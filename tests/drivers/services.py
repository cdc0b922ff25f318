"""Services that several tests call."""

from __future__ import annotations

import asyncio
import threading
import time

from mesh import Request, Service
from tests.helpers import PATIENCE_S

__all__ = ["LATE_S", "Gate", "echo_service"]

LATE_S = 1.0
"""Deadline of a call that is to come to its handler, on a busy machine too, and not to be answered in time."""


class Gate:
    """A handler that waits until the test lets it go on."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        """Set when a handler has come to the gate."""
        self.opened = threading.Event()
        """Set by the test to let every handler through."""
        self.runs = 0
        """How often a handler has come to the gate."""

    def wait(self) -> None:
        """Come to the gate and wait there; not for ever, so that a failing test ends."""
        self.runs += 1
        self.entered.set()
        self.opened.wait(PATIENCE_S)

    async def reached(self) -> None:
        """Return when a handler has come to the gate. AssertionError: none has."""
        assert await asyncio.to_thread(self.entered.wait, PATIENCE_S), "no handler has come to the gate"

    def service(self, name: str = "gate", *, idempotent: bool = True) -> Service:
        """Return a service whose method `wait`, on a thread, returns its request's frames after the gate."""
        service = Service(name, threads=4)

        @service.method(name="wait", raw=True, idempotent=idempotent)
        def wait(request: Request) -> list[bytes]:
            self.wait()
            return request.frames

        return service


def echo_service(name: str = "echo") -> Service:
    """Return a service with `echo`, which gives frames back, and `add`, which is typed."""
    service = Service(name, version="1.2.3", description="says what it hears")

    @service.method(raw=True)
    def echo(request: Request) -> list[bytes]:
        return request.frames

    @service.method
    def add(a: int, b: int = 10) -> int:
        return a + b

    @service.method
    def pause(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    return service
