"""How clients and servers end: draining, closing, using what is closed, forking."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import textwrap
import time
import traceback
from collections.abc import Callable
from typing import NoReturn

import pytest

from discovery import MemoryHub
from mesh import Client, ClosedError, ConfigError, ForkedError, NoServer, Server, ServerConfig, Service
from tests.drivers.adapter import Driver
from tests.drivers.services import LATE_S, Gate, echo_service
from tests.helpers import PATIENCE_S, async_wait_until, spawn


async def test_a_call_that_runs_is_finished_before_the_server_ends(driver: Driver) -> None:
    gate = Gate()
    server = driver.new_server(gate.service())
    await server.start()
    async with driver.client(*server.endpoints) as client:
        call = asyncio.ensure_future(client.request("gate.wait", b"answer"))
        await gate.reached()
        stopping = asyncio.ensure_future(server.stop())
        await async_wait_until(lambda: [view.state for view in client.servers()] == ["draining"])
        assert not await server.wait(0.01)
        gate.opened.set()
        assert (await call).body == b"answer"
        await stopping
        assert await server.wait(0.0)


async def test_new_calls_go_elsewhere_while_a_server_drains(driver: Driver) -> None:
    gate = Gate()
    leaving = driver.new_server(gate.service(), echo_service(), name="leaving")
    await leaving.start()
    async with (
        driver.server(echo_service(), name="staying") as staying,
        driver.client(*leaving.endpoints, *staying.endpoints) as client,
    ):
        await client.wait_for(2)
        call = asyncio.ensure_future(client.request("gate.wait", b"last"))
        await gate.reached()
        stopping = asyncio.ensure_future(leaving.stop())
        await async_wait_until(lambda: "draining" in [view.state for view in client.servers()])
        replies = [await client.request("echo.echo", b"") for _ in range(20)]
        assert {reply.peer_id for reply in replies} == {staying.peer_id}
        gate.opened.set()
        assert (await call).body == b"last"
        await stopping


async def test_a_draining_server_refuses_what_comes_anyway_and_it_is_tried_elsewhere(driver: Driver) -> None:
    # The client of the other API has not heard of the drain when it calls: the refusal moves its calls.
    hub = MemoryHub()
    async with (
        driver.server(echo_service()) as staying,
        driver.client(*staying.endpoints, browser=hub.browser()) as one,
    ):
        leaving = driver.new_server(echo_service())
        await leaving.start()
        async with driver.client(*leaving.endpoints, *staying.endpoints) as two:
            await two.wait_for(2)
            calls = [asyncio.ensure_future(two.request("echo.echo", b"%d" % number)) for number in range(40)]
            await leaving.stop()
            replies = await asyncio.gather(*calls)
        assert [reply.body for reply in replies] == [b"%d" % number for number in range(40)]
        assert (await one.request("echo.echo", b"")).peer_id == staying.peer_id


async def test_a_server_that_is_told_to_drain_stays_and_is_taken_back(driver: Driver) -> None:
    gate = Gate()
    async with (
        driver.server(gate.service(), echo_service(), name="drained") as drained,
        driver.server(echo_service(), name="staying") as staying,
        driver.client(*drained.endpoints, *staying.endpoints) as client,
        driver.client(*drained.endpoints) as other,
    ):
        await client.wait_for(2)
        await other.wait_for(1)
        call = asyncio.ensure_future(client.request("gate.wait", b"kept"))
        await gate.reached()
        assert (await client.call("mesh.drain", peer="drained"))["in_flight"] == 1
        await async_wait_until(lambda: [view.state for view in other.servers()] == ["draining"])
        replies = [await client.request("echo.echo", b"") for _ in range(20)]
        assert {reply.peer_id for reply in replies} == {staying.peer_id}
        gate.opened.set()
        assert (await call).body == b"kept"
        assert (await other.call("mesh.stats"))["in_flight"] == 0
        waiting = asyncio.ensure_future(other.request("echo.echo", b"waits"))
        await client.call("mesh.resume", peer="drained")
        assert (await waiting).peer_id == drained.peer_id


async def test_stopping_an_idle_server_is_quick(driver: Driver) -> None:
    async with driver.pair(echo_service(), config=ServerConfig(drain_s=10.0)) as (client, server):
        await client.call("echo.add", 1)
        began = time.monotonic()
        await server.stop()
        await server.stop()
        assert time.monotonic() - began < 5.0, "half of drain_s"
        assert await server.wait()


@pytest.mark.parametrize("lane", ["threaded", "coroutine"])
async def test_a_handler_that_never_ends_holds_a_server_for_drain_s_at_most(driver: Driver, lane: str) -> None:
    gate = Gate()
    service = Service("stuck", threads=1)
    if lane == "coroutine":

        @service.method(name="run")
        async def run_async() -> None:
            gate.entered.set()
            await asyncio.Event().wait()
    else:

        @service.method
        def run() -> None:
            gate.wait()

    server = driver.new_server(service, config=ServerConfig(drain_s=0.1))
    await server.start()
    async with driver.client(*server.endpoints) as client:
        call = asyncio.ensure_future(client.call("stuck.run", timeout=LATE_S))
        await gate.reached()
        began = time.monotonic()
        await server.stop()
        assert 0.1 <= time.monotonic() - began < 5.0
        with pytest.raises(TimeoutError):
            await call
    gate.opened.set()


async def test_an_inline_handler_that_never_ends_does_not_hold_stop() -> None:
    gate = Gate()
    service = Service("stuck")
    service.method(name="run")(gate.wait)
    driver = Driver("sync")
    server = driver.new_server(service, config=ServerConfig(drain_s=0.1))
    await server.start()
    async with driver.client(*server.endpoints) as client:
        with pytest.raises(TimeoutError):
            await client.call("stuck.run", timeout=LATE_S)
        began = time.monotonic()
        await server.stop()
        assert 0.1 <= time.monotonic() - began < 5.0
    gate.opened.set()
    assert await server.wait(PATIENCE_S)


async def test_a_coroutine_that_will_not_be_cancelled_does_not_hold_a_server(driver: Driver) -> None:
    gate = Gate()
    service = Service("stubborn")

    @service.method
    async def run() -> None:
        gate.entered.set()
        while not gate.opened.is_set():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    server = driver.new_server(service, config=ServerConfig(drain_s=0.1))
    await server.start()
    async with driver.client(*server.endpoints) as client:
        call = asyncio.ensure_future(client.call("stubborn.run", timeout=LATE_S))
        await gate.reached()
        async with asyncio.timeout(PATIENCE_S):
            await server.stop()
        assert await server.wait(PATIENCE_S)
        with pytest.raises(TimeoutError):
            await call
    gate.opened.set()
    if driver.name == "asyncio":
        await async_wait_until(lambda: len(asyncio.all_tasks()) == 1)


@pytest.mark.parametrize("threads", [0, 1], ids=["inline", "threaded"])
def test_a_program_ends_although_a_handler_does_not(threads: int) -> None:
    program = f"""
        import threading
        from mesh import Client, Server, ServerConfig, Service
        service = Service("stuck", threads={threads})
        service.method(name="run")(lambda: threading.Event().wait(60))
        with Server(service, bind="tcp://127.0.0.1:0", advertise=False, config=ServerConfig(drain_s=0.1)) as server:
            with Client(server.endpoints, discover=False) as client:
                try:
                    client.call("stuck.run", timeout={LATE_S})
                except TimeoutError:
                    print("timed out")
        """
    with spawn([sys.executable, "-c", textwrap.dedent(program)]) as process:
        process.wait_line("timed out")
        assert process.wait() == 0


async def test_a_client_sees_at_once_that_its_only_server_has_gone(driver: Driver) -> None:
    server = driver.new_server(echo_service())
    await server.start()
    async with driver.client(*server.endpoints) as client:
        await client.call("echo.add", 1)
        await server.stop()
        await async_wait_until(lambda: [view.state for view in client.servers()] != ["alive"])
        with pytest.raises(NoServer, match=f"Seen: {server.name} .* (draining|waiting|connecting)"):
            await client.call("echo.add", 1, timeout=0.1)


async def test_open_calls_fail_when_the_client_is_closed(driver: Driver) -> None:
    gate = Gate()
    async with driver.server(gate.service()) as server:
        client = driver.new_client(*server.endpoints)
        calls = [asyncio.ensure_future(client.request("gate.wait", b"")) for _ in range(3)]
        waiting = asyncio.ensure_future(client.wait_for(2))
        await async_wait_until(lambda: gate.runs == 3)
        await async_wait_until(lambda: client._driver.look(lambda core, now: core._watches))
        await client.close()
        for outcome in await asyncio.gather(*calls, waiting, return_exceptions=True):
            assert isinstance(outcome, ClosedError)
            assert str(outcome) == "the client was closed while the call was open"
        gate.opened.set()


async def test_a_closed_client_says_so_and_closes_again(driver: Driver) -> None:
    client = driver.new_client()
    await client.close()
    await client.close()
    for use in (client.call("echo.add"), client.request("echo.echo"), client.wait_for()):
        with pytest.raises(ClosedError, match="the client is closed"):
            await use
    assert client.servers() == []
    assert client.counters().calls == 0


async def test_a_server_is_started_once(driver: Driver) -> None:
    async with driver.server(echo_service()) as server:
        with pytest.raises(ClosedError, match="started before; make a new one"):
            await server.start()
    with pytest.raises(ClosedError, match="started before; make a new one"):
        await server.start()


async def test_a_server_that_was_not_started_has_nothing_to_wait_for_and_may_be_stopped(driver: Driver) -> None:
    server = driver.new_server(echo_service())
    await server.stop()
    with pytest.raises(ClosedError, match="was not started"):
        await server.wait(0.0)
    assert server.endpoints == ()


async def test_a_server_whose_port_is_taken_leaves_nothing_behind(driver: Driver) -> None:
    async with driver.server(echo_service()) as first:
        second = driver.new_server(echo_service(), bind=first.endpoints[0])
        with pytest.raises(ConfigError, match="the port is in use"):
            await second.start()
        await second.stop()


async def test_a_server_that_cannot_be_advertised_leaves_nothing_behind(driver: Driver) -> None:
    server = driver.new_server(echo_service(), advertise=True, interfaces=["no-such-interface"])
    with pytest.raises(Exception, match="no-such-interface"):
        await server.start()
    await server.stop()


async def test_the_successor_on_the_same_port_gets_the_calls(driver: Driver) -> None:
    first = driver.new_server(echo_service())
    await first.start()
    (endpoint,) = first.endpoints
    async with driver.client(endpoint) as client:
        assert (await client.request("echo.echo", b"1")).peer_id == first.peer_id
        await first.stop()
        async with driver.server(echo_service(), bind=endpoint) as second:
            assert (await client.request("echo.echo", b"2")).peer_id == second.peer_id


@pytest.mark.filterwarnings("ignore:This process.*is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("discover", [False, True], ids=["static", "mdns"])
def test_a_forked_child_is_told_to_make_its_own(discover: bool) -> None:
    with (
        Server(echo_service(), bind="tcp://127.0.0.1:0", advertise=discover) as server,
        Client(server.endpoints, discover=discover) as client,
    ):
        assert client.call("echo.add", 1) == 11
        child = os.fork()
        if child == 0:
            _end_with(lambda: _use_in_child(client, server))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert client.call("echo.add", 2) == 12


def _use_in_child(client: Client, server: Server) -> None:
    for use in (lambda: client.call("echo.add", 1), client.wait_for, client.close, server.stop):
        with pytest.raises(ForkedError, match="make a new one in the child"):
            use()
    with Client(server.endpoints, discover=False) as own:
        assert own.call("echo.add", 3) == 13


def _end_with(check: Callable[[], None]) -> NoReturn:
    """Run a check in a forked child and end it, not after the test and without what its parent has to clean up."""
    signal.alarm(int(2 * PATIENCE_S))
    try:
        check()
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
