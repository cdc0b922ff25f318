"""Load on live servers: by callers that wait for their answers, or at a pace that answers do not influence."""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from mesh import MeshError, Reply
from mesh.cli.latencies import Latencies
from mesh.cli.tally import Tally

__all__ = ["Load", "Plan"]

_AT_ONCE = 64
"""Calls that are late are begun so many at a time, so that answers are read in between."""
_GRACE_S = 0.1
"""A call that was due in time may begin so much later than the last one is due."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How many calls are to be made, and when."""

    concurrency: int
    """Without a rate, so many callers make one call after the other. With one, so many calls are open at most."""
    rate: float
    """Calls that begin each second; 0 for as many as the callers can."""
    duration_s: float
    """No call is due later; infinite for no limit."""
    count: int | None = None
    """Not more calls; None for no limit."""


class Load:
    """Makes the calls of a plan, and keeps what came of them.

    Args:
        ask: Makes one call.
        plan: When, and how many.
    """

    def __init__(self, ask: Callable[[], Awaitable[Reply]], plan: Plan) -> None:
        self._ask = ask
        self.plan: Plan = plan
        self.stopped: bool = False
        """It was told to end before the plan was done."""
        self._began_at = 0.0
        self._begun = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(plan.concurrency)
        self.tally: Tally = Tally()
        """What came of the calls. With a rate latencies count from when the call should have begun, however late its
        turn came: a server that stalls is charged for all the calls that it kept waiting."""
        self.lateness: Latencies = Latencies()
        """From when each call was due to when it began; 0 without a rate."""
        self.servers: Counter[str] = Counter()
        """Answers by the id of the server."""
        self.missed: int = 0
        """Calls that should have begun, and did not before the time was over."""
        self.full: bool = False
        """That was because as many as may be were open; else because this process got too little processor time."""

    def done(self) -> float:
        """Return how much of the plan is done, from 0 to 1."""
        if not self._began_at:
            return 0.0
        of_count = self.tally.calls / self.plan.count if self.plan.count is not None else 0.0
        return min(1.0, max(of_count, (time.monotonic() - self._began_at) / self.plan.duration_s))

    def stop(self) -> None:
        """End now; calls that are open are given up and not counted."""
        self.stopped = True
        for task in list(self._tasks):
            task.cancel()

    async def run(self) -> None:
        """Make the calls, and return when the last one has ended."""
        self._began_at = time.monotonic()
        if self.plan.rate:
            self._spawn(self._pacemaker())
        else:
            for _ in range(self.plan.concurrency):
                self._spawn(self._caller())
        while self._tasks:
            await asyncio.wait(self._tasks)
        self.tally.elapsed_s = time.monotonic() - self._began_at

    async def _caller(self) -> None:
        while self._may_begin(now := time.monotonic()):
            await self._one(now)

    async def _pacemaker(self) -> None:
        plan, until = self.plan, self._began_at + self.plan.duration_s
        while self._may_begin(due := self._began_at + self._begun / plan.rate):
            early_s = due - time.monotonic()
            if early_s > 0 or not self._begun % _AT_ONCE:
                await asyncio.sleep(max(0.0, early_s))
            full = self._room.locked()
            await self._room.acquire()
            if time.monotonic() > until + _GRACE_S:
                self.full = full
                wanted = math.ceil(plan.duration_s * plan.rate - 1e-9)
                self.missed = min(wanted, plan.count or wanted) - self._begun + 1
                return
            self._spawn(self._one(due)).add_done_callback(lambda task: self._room.release())

    def _may_begin(self, at: float) -> bool:
        if at >= self._began_at + self.plan.duration_s or self._begun == self.plan.count:
            return False
        self._begun += 1
        return True

    async def _one(self, due: float) -> None:
        self.lateness.record(time.monotonic() - due)
        try:
            reply = await self._ask()
        except MeshError as error:
            self.tally.failed_with(error)
        else:
            self.tally.latencies.record(time.monotonic() - due)
            self.servers[reply.peer_id] += 1

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
