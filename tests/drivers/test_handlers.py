"""Handlers of each kind, what they are told, and what their callers are told when they fail."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar

import pytest

from mesh import AsyncClient, RemoteError, Request, ServerConfig, Service, Status
from tests.drivers.adapter import Driver
from tests.drivers.services import LATE_S, Gate, echo_service
from tests.helpers import PATIENCE_S


async def test_inline_threaded_and_coroutine_handlers_answer(driver: Driver) -> None:
    service = Service("where", threads=2)

    @service.method(threaded=False)
    def inline() -> str:
        return threading.current_thread().name

    @service.method
    def threaded() -> str:
        return threading.current_thread().name

    @service.method
    async def coroutine(pause_s: float = 0.0) -> str:
        await asyncio.sleep(pause_s)
        return threading.current_thread().name

    async with driver.pair(service, name="ann") as (client, _):
        where = client.service("where")
        names = [await where.inline(), await where.threaded(), await where.coroutine()]
    if driver.name == "sync":
        assert names == ["mesh-server-ann", names[1], "mesh-coroutines"]
    else:
        assert names == [threading.current_thread().name, names[1], threading.current_thread().name]
    assert names[1].startswith("mesh-threads-where")


async def test_threaded_handlers_run_at_the_same_time_and_no_more_than_they_may(driver: Driver) -> None:
    service = Service("pool", threads=3)
    barrier = threading.Barrier(3, timeout=PATIENCE_S)
    running: list[int] = []
    most = 0

    @service.method
    def meet() -> int:
        nonlocal most
        running.append(1)
        most = max(most, len(running))
        number = barrier.wait()  # breaks unless three run together
        running.pop()
        return number

    async with driver.pair(service) as (client, _):
        numbers = await asyncio.gather(*(client.call("pool.meet") for _ in range(6)))
    assert sorted(numbers) == [0, 0, 1, 1, 2, 2]
    assert most == 3


async def test_coroutine_handlers_run_at_the_same_time_up_to_their_limit(driver: Driver) -> None:
    service = Service("tasks")
    together = asyncio.Barrier(4)
    running = most = 0

    @service.method
    async def overlap() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await together.wait()  # in vain unless four run together
        await asyncio.sleep(0.01)  # and a fifth might begin
        running -= 1

    async with driver.pair(service, config=ServerConfig(coroutines_max=4)) as (client, _):
        await asyncio.gather(*(client.call("tasks.overlap") for _ in range(12)))
    assert most == 4


async def test_coroutine_handlers_may_call_their_own_server_and_wait_for_each_other(driver: Driver) -> None:
    service = Service("deep")
    last = asyncio.Event()
    clients: list[AsyncClient] = []
    who: ContextVar[int] = ContextVar("who")

    @service.method
    async def down(level: int, number: int) -> int:
        assert who.get(None) is None, "what another call has set"
        who.set(number)
        if level:
            assert await clients[0].call("deep.down", level - 1, number) == number
        else:
            if number == 39:
                last.set()
            await last.wait()
        return who.get()

    @service.method
    async def connect(endpoint: str) -> None:
        clients.append(AsyncClient([endpoint], discover=False))

    @service.method
    async def disconnect() -> None:
        await clients[0].close()

    async with driver.pair(service) as (client, server):
        await client.call("deep.connect", server.endpoints[0])
        try:
            calls = [client.call("deep.down", 2, number) for number in range(40)]
            assert await asyncio.gather(*calls) == list(range(40))
        finally:
            await client.call("deep.disconnect")


async def test_a_caller_that_gives_up_ends_its_coroutine_handler_and_no_other(driver: Driver) -> None:
    service = Service("give")
    entered, ended = threading.Event(), threading.Event()

    @service.method
    async def wait() -> None:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    @service.method
    async def turn() -> None:
        await asyncio.sleep(0)

    async with driver.pair(service) as (client, _):
        call = asyncio.ensure_future(client.call("give.wait", timeout=LATE_S))
        assert await asyncio.to_thread(entered.wait, PATIENCE_S)
        turns = [asyncio.ensure_future(client.call("give.turn")) for _ in range(20)]
        with pytest.raises(TimeoutError):
            await call
        assert await asyncio.to_thread(ended.wait, PATIENCE_S)
        await asyncio.gather(*turns)
        await client.call("give.turn")


async def test_a_handler_knows_its_deadline(driver: Driver) -> None:
    service = Service("time")

    @service.method
    def remaining(request: Request) -> float:
        left = request.remaining()
        assert left is not None
        assert request.deadline is not None
        assert not request.cancelled
        return left

    async with driver.pair(service) as (client, _):
        assert 10.0 < await client.call("time.remaining", timeout=20.0) <= 20.1


async def test_a_request_says_what_was_asked(driver: Driver) -> None:
    service = Service("what")

    @service.method(raw=True)
    def look(request: Request) -> list[bytes]:
        return [request.method.encode(), request.key, b"%d" % request.attempt, request.body, *request.frames]

    async with driver.pair(service) as (client, _):
        reply = await client.request("what.look", [b"a", b"b"], key="k")
    assert reply.frames == [b"what.look", b"k", b"1", b"a", b"a", b"b"]


async def test_a_handler_that_runs_past_the_deadline_sees_itself_cancelled(driver: Driver) -> None:
    service = Service("slow", threads=1)
    seen, over = threading.Event(), threading.Event()

    @service.method
    def run(request: Request) -> None:
        give_up_at = time.monotonic() + PATIENCE_S
        while not request.cancelled and time.monotonic() < give_up_at:
            time.sleep(0.001)
        if request.cancelled:
            seen.set()
        over.wait(PATIENCE_S)  # an answer now might still be in time for a caller whose clock differs a little

    async with driver.pair(service) as (client, _):
        with pytest.raises(TimeoutError):
            await client.call("slow.run", timeout=LATE_S)
        assert await asyncio.to_thread(seen.wait, PATIENCE_S)
        over.set()


async def test_a_call_whose_caller_gave_up_before_its_turn_does_not_run(driver: Driver) -> None:
    gate = Gate()
    service = Service("queue", threads=1)
    ran: list[int] = []

    @service.method
    def run(number: int) -> int:
        ran.append(number)
        gate.wait()
        return number

    async with driver.pair(service) as (client, _):
        first = asyncio.ensure_future(client.call("queue.run", 1))
        await gate.reached()
        with pytest.raises(TimeoutError):
            await client.call("queue.run", 2, timeout=0.05)
        gate.opened.set()
        assert await first == 1
        assert await client.call("queue.run", 3) == 3
    assert ran == [1, 3]


async def test_an_error_of_a_handler_arrives_with_type_message_and_traceback(driver: Driver) -> None:
    service = Service("fails")

    @service.method
    def divide(a: int, b: int) -> float:
        return a / b

    @service.method(name="wait")
    async def fail_later() -> None:
        await asyncio.sleep(0)
        raise LookupError("nothing here")

    async with driver.pair(service) as (client, server):
        with pytest.raises(RemoteError, match=r"fails\.divide: UNKNOWN: ZeroDivisionError: division by zero") as caught:
            await client.call("fails.divide", 1, 0)
        with pytest.raises(RemoteError, match=r"fails\.wait: UNKNOWN: LookupError: nothing here"):
            await client.call("fails.wait")
    error = caught.value
    assert (error.code, error.type, error.message) == (Status.UNKNOWN, "ZeroDivisionError", "division by zero")
    assert "in divide" in error.traceback
    assert "return a / b" in error.traceback
    assert "mesh/io" not in error.traceback
    assert [attempt.peer_id for attempt in error.attempts] == [server.peer_id]


async def test_a_server_may_keep_its_tracebacks(driver: Driver) -> None:
    service = Service("fails")

    @service.method
    def run() -> None:
        raise ValueError("secret place")

    async with driver.pair(service, config=ServerConfig(expose_tracebacks=False)) as (client, _):
        with pytest.raises(RemoteError) as caught:
            await client.call("fails.run")
    assert (caught.value.type, caught.value.message, caught.value.traceback) == ("ValueError", "secret place", "")


async def test_a_handler_chooses_the_status(driver: Driver) -> None:
    service = Service("orders")

    @service.method
    def find(number: int) -> None:
        raise RemoteError(f"no order {number}", code=Status.NOT_FOUND, type="NoSuchOrder")

    @service.method
    def later() -> None:
        raise NotImplementedError("not yet")

    async with driver.pair(service) as (client, _):
        with pytest.raises(RemoteError, match="NoSuchOrder: no order 7") as caught:
            await client.call("orders.find", 7)
        assert caught.value.code is Status.NOT_FOUND
        with pytest.raises(RemoteError) as caught:
            await client.call("orders.later")
        assert caught.value.code is Status.UNIMPLEMENTED


@pytest.mark.parametrize("lane", ["inline", "threaded", "coroutine"])
async def test_a_server_outlives_a_handler_that_fails(driver: Driver, lane: str) -> None:
    service = Service("fails", threads=1)
    if lane == "coroutine":

        @service.method(name="run")
        async def run_async(fail: bool) -> str:
            assert not fail
            return "well"
    else:

        @service.method(threaded=lane == "threaded")
        def run(fail: bool) -> str:
            assert not fail
            return "well"

    async with driver.pair(service) as (client, _):
        for _ in range(3):
            with pytest.raises(RemoteError):
                await client.call("fails.run", True)
            assert await client.call("fails.run", False) == "well"


async def test_reserved_methods_answer_on_every_server(driver: Driver) -> None:
    async with driver.pair(echo_service(), name="ann") as (client, server):
        await client.call("echo.add", 1)
        with pytest.raises(RemoteError):
            await client.call("echo.add", "x")
        ping, info, stats, health = [await client.call(f"mesh.{name}") for name in ("ping", "info", "stats", "health")]
    for answer in (ping, info, stats, health):
        assert (answer["name"], answer["id"], answer["version"]) == ("ann", server.peer_id, "1.2.3")
    assert ping["type"] == "mesh.v1.ping_response"
    assert info["description"] == "says what it hears"
    assert {entry["subject"] for entry in info["endpoints"]} == {"echo.echo", "echo.add", "echo.pause"}
    add = next(entry for entry in info["endpoints"] if entry["name"] == "add")
    assert add["metadata"]["signature"] == "echo.add(a: int, b: int = 10) -> int"
    counted = next(entry for entry in stats["endpoints"] if entry["name"] == "add")
    assert (counted["num_requests"], counted["num_errors"]) == (2, 1)
    assert "expected" in counted["last_error"]
    assert counted["p50_ns"] <= counted["p95_ns"] <= counted["p99_ns"]
    assert (health["status"], health["state"]) == ("SERVING", "SERVING")


async def test_several_services_share_a_server(driver: Driver) -> None:
    async with driver.pair(echo_service("one"), echo_service("two")) as (client, _):
        assert await client.call("one.add", 1, 1) == 2
        assert await client.call("two.add", 1, 1) == 2
        (view,) = client.servers()
    assert view.services == ("one", "two")


async def test_a_slow_inline_handler_does_not_make_its_server_look_dead(driver: Driver) -> None:
    # The server has a thread of its own: a loop that it stops would stop a client in the same loop too.
    async with Driver("sync").server(echo_service()) as server, driver.client(*server.endpoints) as client:
        assert await client.call("echo.pause", 0.3) == 0.3
        assert client.counters().moved == 0
