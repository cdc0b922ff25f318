"""Records of local ZeroMQ clients."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import zmq
import zmq.asyncio

from mesh import ConfigError
from mesh.spool.listen import ipc
from mesh.spool.listen.ipc import Ipc
from tests.helpers import async_wait_until
from tests.unit.mesh.spool.listen.desk import Desk, running

pytestmark = pytest.mark.network


@contextlib.asynccontextmanager
async def dialled(listener: Ipc, kind: int) -> AsyncIterator[zmq.asyncio.Socket]:
    """Yield a stock socket that is connected to it and gives up after five seconds."""
    with zmq.asyncio.Context() as context, context.socket(kind) as sock:
        sock.linger = 0
        sock.rcvtimeo = sock.sndtimeo = 5000
        sock.connect(listener.endpoint)
        yield sock


def test_a_req_client_is_answered_when_its_record_is_durable(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Desk()
        listener = Ipc(f"ipc://{tmp_path}/s", desk)
        async with running(listener), dialled(listener, zmq.REQ) as client:
            desk.open.clear()
            await client.send_multipart([b"w.i", b"body"])
            await async_wait_until(lambda: desk.asked)
            assert not await client.poll(0)
            desk.open.set()
            assert await client.recv_multipart() == [b"OK", b"1"]
            await client.send_multipart([b"w.i", b"", "größe".encode()])
            assert await client.recv_multipart() == [b"OK", b"2"]
            await client.send(b"PING")
            assert await client.recv_multipart() == [b"PONG"]
        assert desk.asked == [("w.i", "", 1), ("w.i", "größe", 1)]
        assert desk.bodies == [b"body", b""]
        assert listener.counts() == {"received": 2, "refused": 0, "pending": 0}

    asyncio.run(main())


def test_a_dealer_has_many_on_their_way_and_each_answer_names_its_request(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ipc, "_PENDING_MAX", 300)

    async def main() -> None:
        desk = Desk()
        listener = Ipc(f"ipc://{tmp_path}/s", desk)
        async with running(listener), dialled(listener, zmq.DEALER) as client:
            desk.open.clear()
            for number in range(2000):
                await client.send_multipart([b"%d" % number, b"w.i", b"body %d" % number])
            await async_wait_until(lambda: len(desk.asked) == 300)
            desk.open.set()
            answers = [await client.recv_multipart() for _ in range(2000)]
        assert [frames[0] for frames in answers] == [b"%d" % number for number in range(2000)]
        assert {frames[1] for frames in answers} == {b"OK"}
        assert desk.bodies == [b"body %d" % number for number in range(2000)]

    asyncio.run(main())


REFUSED = [
    ([b"w.i"], b"a request has two or three frames, METHOD BODY [STREAM], and not 1"),
    ([b"w.i", b"", b"", b""], b"a request has two or three frames, METHOD BODY [STREAM], and not 4"),
    ([b"warehouse", b""], b"'warehouse' is no method; write SERVICE.METHOD, such as warehouse.ingest"),
    ([b"\xff", b""], b"METHOD and STREAM are UTF-8; the order is METHOD BODY [STREAM]"),
]


@pytest.mark.parametrize(("frames", "sentence"), REFUSED)
def test_what_cannot_be_taken_is_refused_in_a_sentence(tmp_path: Path, frames: list[bytes], sentence: bytes) -> None:
    async def main() -> None:
        desk = Desk()
        listener = Ipc(f"ipc://{tmp_path}/s", desk)
        async with running(listener), dialled(listener, zmq.REQ) as client:
            await client.send_multipart(frames)
            assert await client.recv_multipart() == [b"ERROR", sentence]
        assert desk.asked == []

    asyncio.run(main())


def test_a_client_that_leaves_without_its_answer_holds_up_nobody(tmp_path: Path) -> None:
    async def main() -> None:
        desk = Desk()
        listener = Ipc(f"ipc://{tmp_path}/s", desk)
        async with running(listener):
            desk.open.clear()
            async with dialled(listener, zmq.REQ) as gone:
                await gone.send_multipart([b"w.i", b"one"])
                await async_wait_until(lambda: desk.asked)
            desk.open.set()
            async with dialled(listener, zmq.REQ) as client:
                await client.send_multipart([b"w.i", b"two"])
                assert (await client.recv_multipart())[0] == b"OK"
        assert desk.bodies == [b"one", b"two"]

    asyncio.run(main())


def test_the_file_of_one_who_is_no_more_is_replaced(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/s")

    async def main() -> None:
        listener = Ipc(f"ipc://{tmp_path}/s", Desk())
        async with running(listener), dialled(listener, zmq.REQ) as client:
            await client.send_multipart([b"w.i", b""])
            assert (await client.recv_multipart())[0] == b"OK"

    asyncio.run(main())


def test_nothing_of_somebody_else_is_taken_away(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")

    async def main() -> None:
        with pytest.raises(ConfigError, match="there is a file that is no socket"):
            Ipc(f"ipc://{tmp_path}/file", Desk()).open()
        with pytest.raises(ConfigError, match="no/such cannot be written"):
            Ipc(f"ipc://{tmp_path}/no/such/s", Desk()).open()
        async with running(Ipc(f"ipc://{tmp_path}/s", Desk())):
            with pytest.raises(ConfigError, match="somebody does already"):
                Ipc(f"ipc://{tmp_path}/s", Desk()).open()

    asyncio.run(main())
    assert (tmp_path / "file").read_text() == "precious"


@pytest.mark.parametrize("endpoint", ["", "ipc://", "tcp://127.0.0.1:1", "ipc:///" + "x" * 107])
def test_what_is_no_endpoint_is_named(endpoint: str) -> None:
    with pytest.raises(ConfigError, match="it does not parse; write ipc://PATH"):
        Ipc(endpoint, Desk())
