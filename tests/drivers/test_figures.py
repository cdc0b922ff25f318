"""What a server tells of itself to its own program, and what an observer of a client sees."""

from __future__ import annotations

import asyncio
import threading

import pytest

from mesh import ClosedError, Service
from mesh.core.calls import PendingCall
from tests.drivers.adapter import Driver
from tests.drivers.services import echo_service
from tests.helpers import PATIENCE_S, async_wait_until


class Ends:
    """Counts the calls that have ended."""

    def __init__(self) -> None:
        self.methods: list[str] = []

    def sent(self, call: PendingCall, metadata: dict[str, str] | None) -> dict[str, str] | None:
        return metadata

    def finished(self, call: PendingCall, now: float) -> None:
        self.methods.append(call.method)

    def abandoned(self, call: PendingCall, now: float) -> None:
        raise AssertionError("nobody gave up")


async def test_a_server_tells_its_figures_while_it_runs(driver: Driver) -> None:
    server = driver.new_server(echo_service(), name="ann")
    with pytest.raises(ClosedError, match="not started"):
        server.figures()
    await server.start()
    async with driver.client(*server.endpoints) as client:
        await client.call("echo.add", 1, 2)
    figures = await async_wait_until(server.figures)
    assert figures is not None
    counted = {method.method: method.durations.at_most[-1] for method in figures.methods}
    assert (figures.name, counted) == ("ann", {"echo.echo": 0, "echo.add": 1, "echo.pause": 0})
    await server.stop()
    assert server.figures() is None


async def test_a_server_whose_loop_does_not_turn_has_no_figures() -> None:
    driver = Driver("sync")
    entered, opened = threading.Event(), threading.Event()
    service = Service("gate")

    @service.method
    def wait() -> None:
        entered.set()
        opened.wait(PATIENCE_S)

    async with driver.pair(service) as (client, server):
        call = asyncio.create_task(client.call("gate.wait"))
        await asyncio.to_thread(entered.wait, PATIENCE_S)
        assert await asyncio.to_thread(server.figures) is None
        opened.set()
        await call
        assert await async_wait_until(server.figures)


async def test_an_observer_sees_the_calls_of_a_client(driver: Driver) -> None:
    ends = Ends()
    async with driver.pair(echo_service()) as (client, _):
        client.observe(ends)
        await client.call("echo.add", 1, 2)
        await client.request("echo.echo", b"x")
    assert ends.methods == ["echo.add", "echo.echo"]
