"""The asyncio driver: when what was asked leaves."""

from __future__ import annotations

import asyncio

from mesh import AsyncClient, AsyncServer, Request, Service
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
            assert driver._engine.is_blocked, "they wait for the turn"
            await asyncio.gather(first, *others)
            assert [call.body for call in calls] == [b"x"] * 3

    asyncio.run(main())
