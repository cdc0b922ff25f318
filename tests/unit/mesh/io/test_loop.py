"""The asyncio driver: when what was asked leaves."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from mesh import AsyncClient, AsyncServer, ClosedError, Request, Service
from mesh.calling import raw_call
from mesh.config import ClientConfig


def test_a_call_alone_leaves_at_once_and_others_gather_until_the_loop_turns() -> None:
    service = Service("echo")

    @service.method(raw=True)
    def echo(request: Request) -> bytes:
        return request.body

    async def main() -> None:
        async with (
            AsyncServer(service, bind="tcp://127.0.0.1:0", advertise=False) as server,
            AsyncClient(servers=server.endpoints, discover=False) as client,
        ):
            await client.wait_for(1)
            calls = [raw_call(ClientConfig(), "echo.echo", b"x", None, None, None, None, None) for _ in range(3)]
            driver = client._driver
            first = driver.call(calls[0])
            assert not driver._engine.is_blocked, "it has left"
            others = [driver.call(call) for call in calls[1:]]
            assert driver._engine.core.open_calls == 1, "they wait for the turn"
            for waiter in (first, *others):
                await waiter
            assert [call.body for call in calls] == [b"x"] * 3
            assert [call.waiter for call in calls] == [None] * 3, (
                "it would hold its task as long as somebody holds the answer"
            )

    asyncio.run(main())


def test_tasks_whose_calls_have_ended_go_on_although_one_of_them_ends_the_program() -> None:
    went_on: list[int] = []

    async def call(client: AsyncClient, number: int) -> None:
        with pytest.raises(ClosedError):
            await client.request("echo.echo", b"x")
        went_on.append(number)
        if number == 0:
            raise SystemExit(3)

    async def main() -> None:
        client = AsyncClient([], discover=False)
        tasks.extend(asyncio.create_task(call(client, number)) for number in range(3))
        await asyncio.sleep(0)
        await client.close()
        await asyncio.wait(tasks)

    tasks: list[asyncio.Task[None]] = []
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        with pytest.raises(SystemExit):
            loop.run_until_complete(main())
        loop.run_until_complete(asyncio.wait(tasks))
        with pytest.raises(SystemExit):
            tasks[0].result()
    assert went_on == [0, 1, 2]
