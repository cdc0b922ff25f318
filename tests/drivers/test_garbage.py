"""A server to which anybody sends anything serves on."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import Iterator

import msgspec
import pytest
import zmq

from mesh import AsyncClient, NoServer
from mesh.config import Limits
from mesh.core.wire import MESH_PREFIX, Call, Ping, Reply, decode, encode
from mesh.io.link import ClientLink
from tests.drivers.adapter import Driver
from tests.drivers.services import echo_service
from tests.helpers import PATIENCE_S, async_wait_until

pytestmark = pytest.mark.network

LIMITS = Limits()


@contextlib.contextmanager
def dealer(endpoint: str) -> Iterator[zmq.Socket[bytes]]:
    """Yield a plain socket connected to a server."""
    with zmq.Context() as context, context.socket(zmq.DEALER) as sock:
        sock.linger = 0
        sock.connect(endpoint)
        yield sock


async def answer(sock: zmq.Socket[bytes]) -> list[bytes]:
    """Return the next message, which the server may need this loop to send."""
    await async_wait_until(lambda: sock.poll(0), what="an answer")
    return sock.recv_multipart()


async def garbage(client: AsyncClient) -> int:
    """Return how much garbage the server has counted."""
    count: int = (await client.call("mesh.stats"))["num_garbage"]
    return count


@pytest.mark.parametrize(
    ("frames", "problem"),
    [
        ([b"\xf1M"], "version None of the protocol; this side reads 1"),
        ([b"\xf1M\x02\x90"], "version 2 of the protocol; this side reads 1"),
        ([MESH_PREFIX], "a head that cannot be read"),
        ([MESH_PREFIX + b"\xc1"], "a head that cannot be read"),
        ([MESH_PREFIX + msgspec.msgpack.encode([[1, "no id"]])], "a head that cannot be read"),
        ([MESH_PREFIX + msgspec.msgpack.encode([[6, 1]]), b"body of nobody"], "1 body frames came"),
        ([MESH_PREFIX + msgspec.msgpack.encode([[1, 1, "a.b", 7]])], "a record refers to body 7"),
        ([MESH_PREFIX + msgspec.msgpack.encode([[6, 1]] * 1025)], "records_max: 1025 records"),
        ([MESH_PREFIX + bytes(LIMITS.head_max)], "head_max: a head of"),
    ],
    ids=["short", "version", "empty", "octets", "record", "extra body", "no body", "records", "head"],
)
async def test_a_message_that_cannot_be_read_is_answered_and_counted(
    driver: Driver, frames: list[bytes], problem: str
) -> None:
    async with driver.pair(echo_service()) as (client, server):
        with dealer(server.endpoints[0]) as sock:
            sock.send_multipart(frames)
            (reply,) = decode(await answer(sock), LIMITS).records
            assert isinstance(reply, Reply)
            assert reply.call_id == 0
            assert reply.detail is not None
            assert problem in reply.detail.message
            frames, _ = encode([Ping(5)], LIMITS)
            sock.send_multipart(frames)  # the connection lives on
            assert [type(record).__name__ for record in decode(await answer(sock), LIMITS).records] == ["Pong"]
        assert await garbage(client) == 1
        assert await client.call("echo.add", 1) == 11


@pytest.mark.parametrize(
    ("call", "limit"),
    [
        (Call(1, "m" * 256), "method_max: 256 octets; 255 are allowed"),
        (Call(1, "echo.echo", key=b"k" * 65), "key_max: 65 octets; 64 are allowed"),
        (Call(1, "echo.echo", metadata={"a": "b" * 9000}), "metadata_max: 9001 octets; 8192 are allowed"),
    ],
)
async def test_a_call_over_a_limit_gets_the_name_of_the_limit(driver: Driver, call: Call, limit: str) -> None:
    async with driver.pair(echo_service()) as (client, server):
        with dealer(server.endpoints[0]) as sock:
            sock.send_multipart(encode([call], LIMITS)[0])
            (reply,) = decode(await answer(sock), LIMITS).records
        assert isinstance(reply, Reply)
        assert reply.detail is not None
        assert (reply.call_id, reply.detail.message) == (1, limit)
        assert await client.call("echo.add", 1) == 11


async def test_random_frames_harm_nobody(driver: Driver) -> None:
    rng = random.Random(20)
    async with driver.pair(echo_service()) as (client, server):
        with dealer(server.endpoints[0]) as sock:
            for _ in range(300):
                frames = [rng.randbytes(rng.choice([0, 1, 3, 40])) for _ in range(rng.randrange(1, 5))]
                if rng.random() < 0.5:
                    frames[0] = MESH_PREFIX + frames[0]
                sock.send_multipart(frames)
            sock.send(b"PING")
            while (await answer(sock)) != [b"PONG"]:
                pass
        assert await garbage(client) > 50
        assert [await client.call("echo.add", number) for number in range(5)] == [10, 11, 12, 13, 14]


async def test_octets_that_are_no_zeromq_harm_nobody(driver: Driver) -> None:
    rng = random.Random(21)
    async with driver.pair(echo_service()) as (client, server):
        port = int(server.endpoints[0].rpartition(":")[2])
        for octets in (b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 64, rng.randbytes(4096), b""):
            with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as peer:
                peer.sendall(octets)
                assert await client.call("echo.add", len(octets)) == len(octets) + 10


async def test_a_server_that_talks_garbage_is_counted_and_not_used(driver: Driver) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as liar:
        liar.linger = 0
        port = liar.bind_to_random_port("tcp://127.0.0.1")
        async with (
            driver.server(echo_service()) as server,
            driver.client(*server.endpoints, f"tcp://127.0.0.1:{port}") as client,
        ):
            await async_wait_until(lambda: liar.poll(0))
            who, *_ = liar.recv_multipart()
            for frames in ([b"junk"], [MESH_PREFIX + b"\xc1"], [b"", b""], encode([Reply(1)], LIMITS)[0]):
                liar.send_multipart([who, *frames])
            await async_wait_until(lambda: client.counters().garbage == 3)
            replies = [await client.request("echo.echo", b"") for _ in range(10)]
            assert {reply.peer_id for reply in replies} == {server.peer_id}
            assert client.counters().late_replies == 0


@pytest.mark.parametrize("flood", [[b"junk"], [b"PONG"]], ids=["garbage", "pongs"])
async def test_a_flood_from_one_server_starves_no_other(driver: Driver, flood: list[bytes]) -> None:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as flooder:
        flooder.linger = 0
        port = flooder.bind_to_random_port("tcp://127.0.0.1")
        async with (
            driver.server(echo_service()) as server,
            driver.client(*server.endpoints, f"tcp://127.0.0.1:{port}") as client,
        ):
            await client.call("echo.add", 1)
            await async_wait_until(lambda: flooder.poll(0))
            who, *_ = flooder.recv_multipart()
            for _ in range(3000):
                with contextlib.suppress(zmq.Again):
                    flooder.send_multipart([who, *flood], zmq.NOBLOCK)
            answers = await asyncio.gather(*(client.call("echo.add", number) for number in range(20)))
    assert answers == [number + 10 for number in range(20)]


async def test_a_flood_without_end_stops_neither_other_calls_nor_the_clock(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    receive = ClientLink.receive
    async with driver.pair(echo_service()) as (client, _):
        await client.wait_for()
        monkeypatch.setattr(ClientLink, "receive", lambda link: receive(link) or (0, [b"junk"]))
        vain = asyncio.ensure_future(client.call("nobody.there", timeout=0.5))
        for number in range(10):
            assert await client.call("echo.add", number) == number + 10
        with pytest.raises(NoServer):
            await vain
        assert client.counters().stray > 0
