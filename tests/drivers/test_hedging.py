"""A call that is late goes to a second server as well, and the loser's handler is told that nobody waits."""

from __future__ import annotations

import asyncio
import time

import pytest

from mesh import Request, Service
from tests.drivers.adapter import Driver
from tests.helpers import PATIENCE_S, async_wait_until


class Workers:
    """The handlers of two servers, one of which can be told to get stuck."""

    def __init__(self) -> None:
        self.stuck = -1
        """Which of them does not answer any more."""
        self.cancelled: list[int] = []
        self.runs = [0, 0]

    def service(self, number: int, kind: str) -> Service:
        """Return what server `number` offers."""
        service = Service("work", threads=2)

        @service.method(name="do")
        async def coroutine() -> int:
            self.runs[number] += 1
            if self.stuck == number:
                try:
                    await asyncio.sleep(PATIENCE_S)
                except asyncio.CancelledError:
                    self.cancelled.append(number)
                    raise
            return number

        threaded_service = Service("work", threads=2)

        @threaded_service.method(name="do")
        def threaded(request: Request) -> int:
            self.runs[number] += 1
            give_up_at = time.monotonic() + PATIENCE_S
            while self.stuck == number and time.monotonic() < give_up_at:
                if request.cancelled:
                    self.cancelled.append(number)
                    raise TimeoutError("nobody waits")
                time.sleep(0.001)
            return number

        return service if kind == "coroutine" else threaded_service


@pytest.mark.parametrize("kind", ["coroutine", "threaded"])
async def test_the_second_server_answers_and_the_first_is_told_to_stop(driver: Driver, kind: str) -> None:
    workers = Workers()
    async with (
        driver.server(workers.service(0, kind)) as first,
        driver.server(workers.service(1, kind)) as second,
        driver.client(*first.endpoints, *second.endpoints) as client,
    ):
        await client.wait_for(2)
        for _ in range(6):
            await asyncio.gather(*(client.call("work.do") for _ in range(20)))
        assert min(workers.runs) > 0
        for stuck in (0, 1):
            workers.stuck = stuck
            answers = [await client.call("work.do") for _ in range(30)]
            assert set(answers) == {1 - stuck}
            workers.stuck = -1
        assert client.counters().hedges_won >= 1
        await async_wait_until(lambda: workers.cancelled)
