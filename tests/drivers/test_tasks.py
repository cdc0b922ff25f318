"""What only the asyncio API has: calls that are cancelled with their tasks."""

from __future__ import annotations

import asyncio

import pytest

from mesh import AsyncClient, AsyncServer, ClosedError, Request, Service
from tests.drivers.services import echo_service
from tests.helpers import async_wait_until


async def test_cancelling_a_call_cancels_its_coroutine_handler() -> None:
    service = Service("long")
    events: list[str] = []

    @service.method
    async def run(request: Request) -> None:
        events.append("entered")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            events.append(f"cancelled {request.cancelled}")
            raise

    async with (
        AsyncServer(service, bind="tcp://127.0.0.1:0", advertise=False) as server,
        AsyncClient(server.endpoints, discover=False) as client,
    ):
        call = asyncio.create_task(client.call("long.run"))
        await async_wait_until(lambda: events)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await async_wait_until(lambda: events == ["entered", "cancelled True"])
        assert [view.in_flight for view in client.servers()] == [0]


async def test_a_timeout_of_asyncio_around_a_call_cancels_it() -> None:
    async with AsyncClient(discover=False) as client:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await client.call("echo.add", 1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await client.wait_for()


async def test_thousands_of_calls_at_once_are_answered() -> None:
    async with (
        AsyncServer(echo_service(), bind="tcp://127.0.0.1:0", advertise=False) as server,
        AsyncClient(server.endpoints, discover=False) as client,
    ):
        answers = await asyncio.gather(*(client.call("echo.add", number, 0) for number in range(3000)))
    assert answers == list(range(3000))


async def test_the_loop_turns_while_calls_are_made() -> None:
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with (
        AsyncServer(echo_service(), bind="tcp://127.0.0.1:0", advertise=False) as server,
        AsyncClient(server.endpoints, discover=False) as client,
    ):
        turning = asyncio.create_task(turn())
        await asyncio.gather(*(client.call("echo.add", number) for number in range(5000)))
        turning.cancel()
    assert turns > 10


async def test_of_two_tasks_that_start_one_server_the_second_is_told() -> None:
    server = AsyncServer(echo_service(), bind="tcp://127.0.0.1:0", advertise=False)
    try:
        outcomes = await asyncio.gather(server.start(), server.start(), return_exceptions=True)
        assert outcomes[0] is server
        assert isinstance(outcomes[1], ClosedError)
    finally:
        await server.stop()
