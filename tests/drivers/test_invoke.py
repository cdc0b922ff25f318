"""Calls whose arguments come as data: any name, and the answer with its story."""

from __future__ import annotations

import pytest

from mesh import RemoteError, RemoteProtocolError, Service
from tests.drivers.adapter import Driver
from tests.drivers.services import echo_service


async def test_the_answer_has_its_value_and_its_story(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, server):
        reply = await client.invoke("echo.add", [2, 3])
        assert reply.value == 5
        assert reply.peer_id == server.peer_id
        assert [(attempt.name, attempt.result) for attempt in reply.attempts] == [(server.name, "answered")]
        assert (await client.invoke("echo.add", [2], {"b": 3})).value == 5


async def test_an_argument_may_have_the_name_of_an_option(driver: Driver) -> None:
    wait = Service("wait")

    @wait.method
    def plan(timeout: float, key: str) -> list[object]:
        return [timeout, key]

    async with driver.pair(wait) as (client, _):
        reply = await client.invoke("wait.plan", [], {"timeout": 0.0, "key": ""})
    assert reply.value == [0.0, ""]


async def test_a_failure_is_raised(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        with pytest.raises(RemoteError):
            await client.invoke("echo.add", ["two"])


async def test_the_answer_of_a_raw_method_has_no_value(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        one = await client.request("echo.echo", b"\xc1")
        two = await client.request("echo.echo", [b"\x01", b"\x02"])
    for reply in (one, two):
        with pytest.raises(RemoteProtocolError):
            _ = reply.value
