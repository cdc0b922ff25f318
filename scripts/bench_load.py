"""Calls to be made for a while, and what a client has to offer so that they are: the same for every contender."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

__all__ = [
    "HOST",
    "METHOD",
    "Call",
    "Client",
    "Load",
    "Run",
    "Tally",
    "concurrently",
    "endpoints",
    "from_threads",
    "one_by_one",
]

HOST = "127.0.0.1"
METHOD = "echo.echo"


@dataclass(frozen=True)
class Load:
    """What a client is to do."""

    ports: tuple[int, ...]
    """Of its servers, on loopback."""
    in_flight: int = 1
    """Calls under way at the same time; 1: one after the other."""
    octets: int = 100
    """Length of a body."""
    seconds: float = 1.0
    """How long it is measured, after a warm-up of a quarter of that."""

    @property
    def body(self) -> bytes:
        """The body of every call."""
        return b"x" * self.octets


@dataclass
class Tally:
    """Calls that were made."""

    calls: int = 0
    took_s: list[float] = field(default_factory=list)
    """How long each took, if they were made one by one."""


Run: TypeAlias = Callable[[float], Tally]
"""Makes calls for so many seconds; may be called again."""
Client: TypeAlias = Callable[[Load], AbstractContextManager[Run]]
"""Connects, and yields what makes calls."""
Call: TypeAlias = Callable[[], Awaitable[Any]]
"""Makes one call of an asyncio client."""


def endpoints(load: Load) -> list[str]:
    """Return where the servers are."""
    return [f"tcp://{HOST}:{port}" for port in load.ports]


def one_by_one(call: Callable[[], object]) -> Run:
    """Make one call after the other."""

    def run(seconds: float) -> Tally:
        took: list[float] = []
        clock = time.perf_counter
        before = clock()
        until = before + seconds
        while before < until:
            call()
            after = clock()
            took.append(after - before)
            before = after
        return Tally(len(took), took)

    return run


def from_threads(call: Callable[[], object], threads: int) -> Run:
    """Make calls from so many threads."""

    def run(seconds: float) -> Tally:
        counts = [0] * threads
        clock = time.perf_counter
        until = clock() + seconds

        def ask(index: int) -> None:
            while clock() < until:
                call()
                counts[index] += 1

        askers = [threading.Thread(target=ask, args=(index,)) for index in range(threads)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
        return Tally(sum(counts))

    return run


@contextlib.contextmanager
def concurrently(connected: AbstractAsyncContextManager[Call], in_flight: int) -> Iterator[Run]:
    """Connect in a loop, and make calls from so many tasks."""
    import asyncio  # not above: clients without it shall not weigh more for it

    async def ask(call: Call, until: float, tally: Tally) -> None:
        clock = time.perf_counter
        before = clock()
        while before < until:
            await call()
            tally.calls += 1
            after = clock()
            if in_flight == 1:
                tally.took_s.append(after - before)
            before = after

    async def ask_all(call: Call, seconds: float) -> Tally:
        tally = Tally()
        until = time.perf_counter() + seconds
        await asyncio.gather(*(ask(call, until, tally) for _ in range(in_flight)))
        return tally

    with asyncio.Runner() as runner:
        call = runner.run(connected.__aenter__())
        try:
            yield lambda seconds: runner.run(ask_all(call, seconds))
        finally:
            runner.run(connected.__aexit__(None, None, None))
