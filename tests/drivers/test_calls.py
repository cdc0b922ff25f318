"""Calls and requests: what goes in comes out, through either API."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mesh import (
    CallTimeout,
    ClientConfig,
    LocalProtocolError,
    NoServer,
    Overloaded,
    RemoteError,
    RemoteProtocolError,
    Request,
    Service,
    Status,
)
from tests.drivers.adapter import Driver
from tests.drivers.services import LATE_S, Gate, echo_service
from tests.helpers import PATIENCE_S, free_port

MIB = 1 << 20


async def test_arguments_go_by_position_and_by_name(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        assert await client.call("echo.add", 2, 3) == 5
        assert await client.call("echo.add", 2) == 12
        assert await client.call("echo.add", 2, b=3) == 5
        assert await client.call("echo.add", b=3, a=4) == 7


async def test_a_proxy_calls_the_methods_of_its_service(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        echo = client.service("echo")
        assert await echo.add(2, 3) == 5
        assert await echo.add(2, b=3) == 5
        assert await echo.add(2, 3, timeout=PATIENCE_S) == 5
        with pytest.raises(AttributeError):
            _ = echo.__deepcopy__


async def test_a_proxy_has_a_timeout_of_its_own(driver: Driver) -> None:
    async with driver.client() as client:
        with pytest.raises(NoServer) as caught:
            await client.service("echo", timeout=0.05).add(1)
    assert 0.05 <= caught.value.elapsed_s < 5.0, "not that of the client"


@pytest.mark.parametrize(
    "frames",
    [
        [b"one"],
        [b""],
        [b"", b""],
        [b"one", b"", b"three"],
        [b"small", b"x" * 9000, b"", b"y" * 9000],
        [b"n%d" % number for number in range(256)],
        [bytes(range(256))],
    ],
    ids=["one", "empty", "two empty", "three", "large among small", "256 frames", "every octet"],
)
async def test_frames_come_back_as_they_went(driver: Driver, frames: list[bytes]) -> None:
    async with driver.pair(echo_service()) as (client, _):
        reply = await client.request("echo.echo", frames)
    assert reply.frames == frames
    assert reply.body == frames[0]


async def test_a_body_without_a_frame_stays_one(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        reply = await client.request("echo.echo", [])
    assert (reply.frames, reply.body) == ([], b"")


@pytest.mark.parametrize("octets", [MIB, 20 * MIB], ids=["1 MiB", "20 MiB"])
async def test_large_bodies_come_back_whole(driver: Driver, octets: int) -> None:
    body = bytes(range(256)) * (octets // 256)
    async with driver.pair(echo_service()) as (client, _):
        reply = await client.request("echo.echo", body)
    assert reply.body == body


async def test_a_reply_tells_who_answered_and_how_it_went(driver: Driver) -> None:
    async with driver.pair(echo_service(), name="ann") as (client, server):
        reply = await client.request("echo.echo", b"hi")
    assert reply.peer_id == server.peer_id
    assert 0 < reply.elapsed_s < PATIENCE_S
    (attempt,) = reply.attempts
    assert (attempt.peer_id, attempt.name, attempt.address) == (server.peer_id, "ann", server.endpoints[0])
    assert attempt.result == "answered"
    assert 0 <= attempt.started_s <= attempt.started_s + attempt.elapsed_s <= reply.elapsed_s + 0.001


async def test_many_calls_in_flight_get_their_own_answers(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        sums = await asyncio.gather(*(client.call("echo.add", number, number) for number in range(64)))
        bodies = [b"%d" % number * (number % 7 * 2000) for number in range(64)]
        replies = await asyncio.gather(*(client.request("echo.echo", body) for body in bodies))
    assert sums == [2 * number for number in range(64)]
    assert [reply.body for reply in replies] == bodies


async def test_calls_in_flight_spread_over_several_servers(driver: Driver) -> None:
    one, two = Gate(), Gate()
    async with (
        driver.server(one.service()) as first,
        driver.server(two.service()) as second,
        driver.client(*first.endpoints, *second.endpoints) as client,
    ):
        await client.wait_for(2)
        calls = [asyncio.ensure_future(client.request("gate.wait", b"")) for _ in range(40)]
        await one.reached()
        await two.reached()
        one.opened.set()
        two.opened.set()
        replies = await asyncio.gather(*calls)
    assert {reply.peer_id for reply in replies} == {first.peer_id, second.peer_id}


async def test_peer_chooses_one_server_by_name_or_id(driver: Driver) -> None:
    async with (
        driver.server(echo_service(), name="ann") as ann,
        driver.server(echo_service(), name="bob") as bob,
        driver.client(*ann.endpoints, *bob.endpoints) as client,
    ):
        await client.wait_for(2)
        by_name = [await client.request("echo.echo", b"", peer="bob") for _ in range(8)]
        by_id = [await client.request("echo.echo", b"", peer=ann.peer_id) for _ in range(8)]
        with pytest.raises(NoServer, match=r"No server is called 'eve'; seen: .*ann"):
            await client.request("echo.echo", b"", peer="eve", timeout=0.05)
    assert {reply.peer_id for reply in by_name} == {bob.peer_id}
    assert {reply.peer_id for reply in by_id} == {ann.peer_id}


async def test_metadata_travels_with_the_call(driver: Driver) -> None:
    service = Service("meta")

    @service.method
    def read(request: Request) -> dict[str, str]:
        return dict(request.metadata)

    async with driver.pair(service) as (client, _):
        assert await client.call("meta.read", metadata={"traceparent": "00-é"}) == {"traceparent": "00-é"}
        assert await client.call("meta.read") == {}


async def test_equal_keys_run_once(driver: Driver) -> None:
    runs: list[bytes] = []
    service = Service("once")

    @service.method(raw=True)
    def run(request: Request) -> bytes:
        runs.append(request.key)
        return b"run %d" % len(runs)

    async with driver.pair(service) as (client, _):
        first = await client.request("once.run", b"a", key="order 1")
        again = await client.request("once.run", b"a", key=b"order 1")
        other = await client.request("once.run", b"a", key="order 2")
        with pytest.raises(RemoteError, match="same key but another method or body") as caught:
            await client.request("once.run", b"b", key="order 1")
    assert [first.body, again.body, other.body] == [b"run 1", b"run 1", b"run 2"]
    assert runs == [b"order 1", b"order 2"]
    assert caught.value.code is Status.INVALID_ARGUMENT


async def test_callers_of_one_key_share_its_run(driver: Driver) -> None:
    gate = Gate()
    async with driver.pair(gate.service()) as (client, _):
        calls = [asyncio.ensure_future(client.request("gate.wait", b"x", key="k")) for _ in range(5)]
        await gate.reached()
        gate.opened.set()
        replies = await asyncio.gather(*calls)
    assert [reply.body for reply in replies] == [b"x"] * 5
    assert gate.runs == 1


async def test_a_method_that_must_not_run_twice_gets_a_key_by_itself(driver: Driver) -> None:
    service = Service("pay")

    @service.method(idempotent=False)
    def key(request: Request) -> int:
        return len(request.key)

    async with driver.pair(service) as (client, _):
        assert await client.call("pay.key") > 0
        assert await client.call("mesh.health", idempotent=True) is not None


async def test_a_slow_answer_is_a_timeout_that_says_where_it_went(driver: Driver) -> None:
    gate = Gate()
    async with driver.pair(gate.service(), name="ann") as (client, server):
        with pytest.raises(CallTimeout, match=r"gate.wait: no answer within [\d.]+ s. Tried ann \(tcp") as caught:
            await client.request("gate.wait", b"x", timeout=LATE_S)
        gate.opened.set()
    assert isinstance(caught.value, TimeoutError)
    assert caught.value.method == "gate.wait"
    assert [attempt.peer_id for attempt in caught.value.attempts] == [server.peer_id]
    assert LATE_S <= caught.value.elapsed_s < 5.0 * LATE_S


async def test_the_configured_timeout_is_for_calls_without_their_own(driver: Driver) -> None:
    async with driver.client(config=ClientConfig(timeout_s=0.05)) as client:
        with pytest.raises(NoServer) as caught:
            await client.call("echo.add", 1)
    assert 0.05 <= caught.value.elapsed_s < ClientConfig().timeout_s


async def test_a_late_answer_is_counted_and_reaches_nobody(driver: Driver) -> None:
    gate = Gate()
    async with driver.pair(gate.service(), echo_service()) as (client, _):
        with pytest.raises(CallTimeout):
            await client.request("gate.wait", b"late", timeout=LATE_S)
        gate.opened.set()
        replies = [await client.request("echo.echo", b"now") for _ in range(3)]
        while client.counters().late_replies == 0:  # the answer is on its way; pytest-timeout is the deadline
            replies.append(await client.request("echo.echo", b"now"))
        assert client.counters().late_replies == 1
    assert {reply.body for reply in replies} == {b"now"}


async def test_a_call_waits_for_a_server_that_comes_later(driver: Driver) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    async with driver.client(endpoint, config=ClientConfig(dial_backoff_max_s=0.05)) as client:
        call = asyncio.ensure_future(client.call("echo.add", 1, 2))
        await asyncio.sleep(0)
        async with driver.server(echo_service(), bind=endpoint):
            assert await call == 3


async def test_a_raw_method_called_typed_and_a_typed_one_called_raw_say_so(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        with pytest.raises(RemoteError, match=r"echo\.add"):
            await client.request("echo.add", b"\xc1 no msgpack")
        service = Service("raw")
        service.method(name="junk", raw=True)(lambda request: b"\xc1")
        async with driver.server(service) as other, driver.client(*other.endpoints) as second:
            with pytest.raises(RemoteProtocolError, match="call it raw"):
                await second.call("raw.junk")


async def test_counters_count_calls(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        for _ in range(3):
            await client.call("echo.add", 1)
        counters = client.counters()
    assert (counters.calls, counters.moved, counters.garbage, counters.stray) == (3, 0, 0, 0)


async def test_two_clients_in_one_process_share_nothing(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (one, server):
        async with driver.client(*server.endpoints) as two:
            await two.call("echo.add", 1)
            await one.call("echo.add", 1)
            assert (one.counters().calls, two.counters().calls) == (1, 1)
        assert await one.call("echo.add", 1, 1) == 2


async def test_a_call_over_calls_max_is_refused_at_once(driver: Driver) -> None:
    gate = Gate()
    async with (
        driver.server(gate.service()) as server,
        driver.client(*server.endpoints, config=ClientConfig(calls_max=1)) as client,
    ):
        first = asyncio.ensure_future(client.request("gate.wait", b"first"))
        await gate.reached()
        with pytest.raises(Overloaded, match="1 calls open; calls_max is 1"):
            await client.request("gate.wait", b"second")
        gate.opened.set()
        assert (await first).body == b"first"


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"timeout": 0}, "timeout is 0; give seconds, more than 0"),
        ({"timeout": -1.0}, "timeout is -1.0; give seconds"),
        ({"timeout": True}, "timeout is True; give seconds"),
        ({"timeout": "1"}, "timeout is '1'; give seconds"),
        ({"timeout": float("nan")}, "timeout is nan; give seconds"),
        ({"key": ""}, "an idempotency key has 1 to 64 octets, not 0"),
        ({"key": "k" * 65}, "an idempotency key has 1 to 64 octets, not 65"),
        ({"metadata": {"a": 1}}, "metadata maps text to text; 'a' does not"),
        ({"metadata": {"a": "x" * 9000}}, "metadata of 9001 octets; metadata_max is 8192"),
    ],
)
async def test_options_that_cannot_be_used_are_named(driver: Driver, options: dict[str, Any], problem: str) -> None:
    async with driver.client() as client:
        for call in (client.call, client.request):
            with pytest.raises(ValueError, match=problem):  # ConfigError or LocalProtocolError
                await call("echo.echo", **options)


async def test_bodies_that_are_no_octets_are_named(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        with pytest.raises(LocalProtocolError, match=r"the body is a str; encode it"):
            await client.request("echo.echo", "text")  # type: ignore[arg-type]
        with pytest.raises(LocalProtocolError, match="frame 1 of the body is int; frames are bytes"):
            await client.request("echo.echo", [b"a", 1])  # type: ignore[list-item]
        with pytest.raises(LocalProtocolError, match="the body has 257 frames; frames_max is 256"):
            await client.request("echo.echo", [b""] * 257)
        with pytest.raises(LocalProtocolError, match=r"argument 1 \(object\) cannot be sent"):
            await client.call("echo.add", object())
        reply = await client.request("echo.echo", [bytearray(b"a"), memoryview(b"b")])  # type: ignore[list-item]
        assert reply.frames == [b"a", b"b"]
