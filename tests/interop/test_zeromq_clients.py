"""Stock ZeroMQ clients, written from the specifications, call our server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
import zmq

from mesh import Request, Server, ServerConfig, Service
from mesh.config import Limits
from mesh.core.wire import Call, Hello, Ping, Pong, Reply, decode, encode
from tests.helpers import wait_until

pytestmark = pytest.mark.network

LIMITS = Limits()


@pytest.fixture
def server() -> Iterator[Server]:
    """A server whose default method gives back what it gets, with one word before."""
    service = Service("echo")

    @service.method(raw=True)
    def echo(request: Request) -> list[bytes]:
        return [b"OK", *request.frames]

    with Server(service, bind="tcp://127.0.0.1:0", advertise=False) as server:
        yield server


@contextlib.contextmanager
def socket(kind: int) -> Iterator[zmq.Socket[bytes]]:
    """Yield a stock socket that does not wait for ever."""
    with zmq.Context() as context, context.socket(kind) as sock:
        sock.linger = 0
        sock.rcvtimeo = sock.sndtimeo = 20_000
        yield sock


def test_a_req_client_sends_a_body_and_gets_one(server: Server) -> None:
    with socket(zmq.REQ) as client:
        client.connect(server.endpoints[0])
        for number in range(3):
            client.send(b"body %d" % number)
            assert client.recv_multipart() == [b"OK", b"body %d" % number]
        client.send_multipart([b"several", b"", b"frames"])
        assert client.recv_multipart() == [b"OK", b"several", b"", b"frames"]


def test_a_req_client_asks_for_a_pong(server: Server) -> None:
    with socket(zmq.REQ) as client:
        client.connect(server.endpoints[0])
        client.send(b"PING")
        assert client.recv_multipart() == [b"PONG"]


def test_a_req_client_speaks_mesh(server: Server) -> None:
    with socket(zmq.REQ) as client:
        client.connect(server.endpoints[0])
        client.send_multipart(encode([Call(7, "echo.echo", b"x" * 10_000)], LIMITS)[0])
        (reply,) = decode(client.recv_multipart(), LIMITS).records
        assert isinstance(reply, Reply)
        assert (reply.call_id, reply.status, reply.body) == (7, 0, [b"OK", b"x" * 10_000])
        client.send_multipart(encode([Ping(3, hello=True)], LIMITS)[0])
        hello, pong = decode(client.recv_multipart(), LIMITS).records
        assert isinstance(hello, Hello)
        assert isinstance(pong, Pong)
        assert (hello.name, hello.services, pong.nonce) == (server.name, ["echo"], 3)


def test_a_req_client_is_told_when_there_is_no_default_method() -> None:
    service = Service("two")
    for name in ("one", "other"):
        service.method(name=name, raw=True)(lambda request: request.frames)
    with Server(service, bind="tcp://127.0.0.1:0", advertise=False) as server, socket(zmq.REQ) as client:
        client.connect(server.endpoints[0])
        client.send(b"x")
        assert client.recv().startswith(b"ERROR UNIMPLEMENTED: this server has no default method")


def test_the_default_method_is_chosen_by_name() -> None:
    service = Service("two")
    for name in ("one", "other"):
        service.method(name=name, raw=True)(lambda request: request.method.encode())
    config = ServerConfig(default_method="two.other")
    with (
        Server(service, bind="tcp://127.0.0.1:0", advertise=False, config=config) as server,
        socket(zmq.REQ) as client,
    ):
        client.connect(server.endpoints[0])
        client.send(b"x")
        assert client.recv() == b"two.other"


def test_a_handler_that_fails_is_told_to_a_plain_client_in_words() -> None:
    service = Service("fails")

    @service.method(raw=True)
    def run(request: Request) -> bytes:
        raise ValueError("no")

    with Server(service, bind="tcp://127.0.0.1:0", advertise=False) as server, socket(zmq.REQ) as client:
        client.connect(server.endpoints[0])
        client.send(b"x")
        assert client.recv_multipart() == [b"ERROR UNKNOWN: no"]


# RFC 10/FLP: "the client SHALL use a ROUTER socket and connect to all servers"; a server's identity is its public
# endpoint; a ping is one frame, as is a pong; a request is a control frame and the body, and so is the reply.


def flp_connect(client: zmq.Socket[bytes], endpoint: str) -> None:
    """Connect to a server and wait until its endpoint can be used as the address of messages."""
    client.setsockopt(zmq.ROUTER_MANDATORY, 1)
    client.setsockopt(zmq.PROBE_ROUTER, 1)
    client.connect(endpoint)

    def pings() -> bool:
        with contextlib.suppress(zmq.ZMQError):  # EHOSTUNREACH: the server has not yet said who it is
            client.send_multipart([endpoint.encode(), b"PING"])
            return True
        return False

    wait_until(pings)
    assert client.recv_multipart() == [endpoint.encode(), b"PONG"]


def test_a_client_written_from_rfc_10_pings_and_calls(server: Server) -> None:
    (endpoint,) = server.endpoints
    with socket(zmq.ROUTER) as client:
        flp_connect(client, endpoint)
        client.send_multipart([endpoint.encode(), b"PING"])
        assert client.recv_multipart() == [endpoint.encode(), b"PONG"]
        client.send_multipart([endpoint.encode(), b"control", b"body"])
        assert client.recv_multipart() == [endpoint.encode(), b"control", b"OK", b"body"]


@pytest.mark.parametrize("control", [b"PING", b"PONG", b"\x00", b"c" * 300, b"\xf1 not M"])
def test_the_control_frame_comes_back_as_it_was(server: Server, control: bytes) -> None:
    (endpoint,) = server.endpoints
    with socket(zmq.ROUTER) as client:
        flp_connect(client, endpoint)
        client.send_multipart([endpoint.encode(), control, b"body", b"", b"more"])
        assert client.recv_multipart() == [endpoint.encode(), control, b"OK", b"body", b"", b"more"]


def test_the_dialect_of_the_guides_model_three(server: Server) -> None:
    # flcliapi.py: the agent sends [endpoint, sequence, body…] and takes the reply whose sequence is the latest.
    (endpoint,) = server.endpoints
    with socket(zmq.ROUTER) as client:
        flp_connect(client, endpoint)
        for sequence in (b"1", b"2", b"3"):
            client.send_multipart([endpoint.encode(), sequence, b"random name"])
            frm, answered, *reply = client.recv_multipart()
            assert (frm, answered, reply) == (endpoint.encode(), sequence, [b"OK", b"random name"])


def test_a_dealer_speaks_all_dialects(server: Server) -> None:
    with socket(zmq.DEALER) as client:
        client.connect(server.endpoints[0])
        client.send(b"PING")
        assert client.recv_multipart() == [b"PONG"]
        client.send_multipart([b"", b"as a REQ socket does"])
        assert client.recv_multipart() == [b"", b"OK", b"as a REQ socket does"]
        client.send_multipart([b"control", b"as 10/FLP does"])
        assert client.recv_multipart() == [b"control", b"OK", b"as 10/FLP does"]
        client.send_multipart(encode([Call(1, "echo.echo", b"a"), Call(2, "echo.echo", b"b")], LIMITS)[0])
        replies: list[Reply] = []
        while len(replies) < 2:  # in one message, or each in its own
            replies += [
                answer for answer in decode(client.recv_multipart(), LIMITS).records if isinstance(answer, Reply)
            ]
        assert [(reply.call_id, reply.body) for reply in replies] == [(1, [b"OK", b"a"]), (2, [b"OK", b"b"])]


def test_a_probe_is_ignored(server: Server) -> None:
    with socket(zmq.DEALER) as client:
        client.setsockopt(zmq.PROBE_ROUTER, 1)
        client.connect(server.endpoints[0])
        client.send(b"")
        client.send(b"PING")
        assert client.recv_multipart() == [b"PONG"]
