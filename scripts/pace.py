"""Calls at a steady pace, and what became of them."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from mesh import AsyncClient, Attempt, Client, MeshError

__all__ = ["AsyncPace", "Done", "Pace", "longest_gap_s"]


@dataclass(frozen=True, slots=True)
class Done:
    """One call that ended; times are those of the monotonic clock."""

    started_at: float
    finished_at: float
    server: str
    """Who answered; empty if nobody did."""
    attempts: tuple[Attempt, ...]
    error: str
    """Empty if it was answered."""


def longest_gap_s(done: Iterable[Done], since: float, until: float) -> float:
    """Return the longest time without an answered call that overlaps the time from `since` to `until`."""
    times = sorted(one.finished_at for one in done if not one.error)
    gaps = [later - earlier for earlier, later in itertools.pairwise(times) if later > since and earlier < until]
    if not gaps or times[-1] < until:  # the calls ended, or have stopped for good
        gaps.append(until - max(since, times[-1] if times else since))
    return max(gaps)


class Pace:
    """Calls `work.echo` again and again from threads until the end of the `with` block.

    Args:
        client: Makes the calls.
        rate: Calls a second. A call that is late is made at once, a missed one is not made up for.
        workers: Threads that share the calls; with one, each call waits for the one before.
        hold_s: Seconds that a call takes at its server.
        timeout_s: Deadline of each call.
    """

    def __init__(
        self, client: Client, rate: float = 200.0, workers: int = 8, hold_s: float = 0.0, timeout_s: float = 5.0
    ) -> None:
        self._client = client
        self._interval_s = 1.0 / rate
        self._hold_s = hold_s
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._next_at = time.monotonic()
        self._number = 0
        self._ended = threading.Event()
        self.done: list[Done] = []
        """The calls so far, in the order in which they ended."""
        self._threads = [threading.Thread(target=self._work, name=f"pace-{number}") for number in range(workers)]

    def __enter__(self) -> Self:
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Make no more calls, and return when those under way have ended."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                due = max(self._next_at, time.monotonic())
                self._next_at = due + self._interval_s
                self._number += 1
                body = f"{self._number} {self._hold_s}".encode()
            if self._ended.wait(due - time.monotonic()):
                return
            self.done.append(self._call(body))

    def _call(self, body: bytes) -> Done:
        started_at = time.monotonic()
        try:
            reply = self._client.request("work.echo", body, timeout=self._timeout_s)
        except MeshError as error:
            return Done(started_at, time.monotonic(), "", getattr(error, "attempts", ()), str(error))
        return Done(started_at, time.monotonic(), reply.body.decode(), reply.attempts, "")


class AsyncPace:
    """Keeps `in_flight` calls of `work.nap` open until the end of the `async with` block.

    Args:
        client: Makes the calls.
        in_flight: Calls that are open at the same time.
        hold_s: Seconds that a call takes at its server.
        timeout_s: Deadline of each call.
    """

    def __init__(self, client: AsyncClient, in_flight: int, hold_s: float = 0.05, timeout_s: float = 5.0) -> None:
        self._client = client
        self._in_flight = in_flight
        self._hold_s = hold_s
        self._timeout_s = timeout_s
        self._number = 0
        self._ended = False
        self._tasks: list[asyncio.Task[None]] = []
        self.done: list[Done] = []
        """The calls so far, in the order in which they ended."""

    async def __aenter__(self) -> Self:
        """Begin."""
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._in_flight)]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Make no more calls, and return when those under way have ended."""
        self._ended = True
        await asyncio.gather(*self._tasks)

    async def _work(self) -> None:
        while not self._ended:
            self._number += 1
            body = f"{self._number} {self._hold_s}".encode()
            started_at = time.monotonic()
            try:
                reply = await self._client.request("work.nap", body, timeout=self._timeout_s)
            except MeshError as error:
                done = Done(started_at, time.monotonic(), "", getattr(error, "attempts", ()), str(error))
            else:
                done = Done(started_at, time.monotonic(), reply.body.decode(), reply.attempts, "")
            self.done.append(done)
