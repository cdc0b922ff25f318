"""Our client calls stock ZeroMQ servers: a ROUTER written from RFC 10/FLP, and a REP socket."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

import pytest
import zmq

from discovery import Address, MdnsAdvertiser, Peer
from mesh import CallTimeout, Client, ClientConfig, NoServer
from tests.helpers import PATIENCE_S, free_port, wait_until

pytestmark = pytest.mark.network

CONFIG = ClientConfig(dial_backoff_max_s=0.05, ping_interval_s=0.1, attempt_initial_s=0.05, attempt_patience_min_s=0.05)
"""Short pauses, so that failover is quick."""


def serve_flp(server: zmq.Socket[bytes], name: bytes) -> None:
    """Answer one message as RFC 10 says."""
    client, *frames = server.recv_multipart()
    if frames == [b"PING"]:
        server.send_multipart([client, b"PONG"])
    else:
        control, *body = frames
        server.send_multipart([client, control, name, *body])


def serve_rep(server: zmq.Socket[bytes], name: bytes) -> None:
    """Answer one request."""
    server.send_multipart([name, *server.recv_multipart()])


class Stock:
    """A stock server in a thread of its own."""

    def __init__(self, proto: str, name: str, port: int = 0) -> None:
        self.proto = proto
        self.name = name
        self.port = port or free_port()
        self._freezing = threading.Event()
        self._frozen = threading.Event()
        self._ended = threading.Event()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,))
        self._thread.start()
        assert ready.wait(PATIENCE_S)

    @property
    def endpoint(self) -> str:
        return f"tcp://127.0.0.1:{self.port}?proto={self.proto}&service=old&name={self.name}"

    def freeze(self) -> None:
        """Take no more messages, though whatever is sent arrives."""
        self._freezing.set()
        assert self._frozen.wait(PATIENCE_S)

    def kill(self) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self, ready: threading.Event) -> None:
        flp = self.proto == "flp"
        serve: Callable[[zmq.Socket[bytes], bytes], None] = serve_flp if flp else serve_rep
        with zmq.Context() as context, context.socket(zmq.ROUTER if flp else zmq.REP) as server:
            server.linger = 0
            server.bind(f"tcp://127.0.0.1:{self.port}")
            ready.set()
            while not self._ended.is_set() and not self._freezing.is_set():
                if server.poll(10):
                    serve(server, self.name.encode())
            self._frozen.set()
            self._ended.wait(3 * PATIENCE_S)


@contextlib.contextmanager
def stock(proto: str, name: str, port: int = 0) -> Iterator[Stock]:
    """Yield a stock server that runs."""
    server = Stock(proto, name, port)
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(params=["flp", "rep"])
def proto(request: pytest.FixtureRequest) -> str:
    """Return the protocol of the server: each test runs with both."""
    return str(request.param)


def calling(*servers: Stock) -> Client:
    return Client([server.endpoint for server in servers], discover=False, config=CONFIG)


def test_a_stock_server_is_called(proto: str) -> None:
    with stock(proto, "ann") as server, calling(server) as client:
        for body in ([b"hello"], [b"", b"x"], [b"a", b"b" * 100_000, b""], [b""]):
            assert client.request("old.anything", body).frames == [b"ann", *body]
        (view,) = client.servers()
    assert (view.name, view.proto, view.state, view.services) == ("ann", proto, "alive", ("old",))


def test_a_body_without_a_frame_arrives_as_an_empty_one(proto: str) -> None:
    with stock(proto, "ann") as server, calling(server) as client:
        assert client.request("old.anything", []).frames == [b"ann", b""]


def test_a_stock_server_takes_only_raw_requests(proto: str) -> None:
    with stock(proto, "ann") as server, calling(server) as client:
        client.wait_for()
        with pytest.raises(NoServer, match=rf"ann speaks {proto} and takes only raw requests"):
            client.call("old.anything", 1, timeout=0.05)


def test_a_stock_server_that_died_is_called_again_after_its_restart(proto: str) -> None:
    with stock(proto, "first") as server, calling(server) as client:
        assert client.request("old.x", b"1").body == b"first"
        server.kill()
        wait_until(lambda: [view.state for view in client.servers()] != ["alive"])
        with stock(proto, "second", server.port):
            reply = client.request("old.x", b"2", timeout=PATIENCE_S)
    assert reply.frames == [b"second", b"2"]


def test_a_call_moves_from_a_stock_server_that_dies_to_another(proto: str) -> None:
    with stock(proto, "one") as one, stock(proto, "two") as two, calling(one, two) as client:
        client.wait_for(2)
        one.kill()
        replies = [client.request("old.x", b"%d" % number) for number in range(10)]
    assert {reply.body for reply in replies} == {b"two"}


def test_a_call_moves_from_a_stock_server_that_hangs_to_another(proto: str) -> None:
    with stock(proto, "one") as one, stock(proto, "two") as two, calling(one, two) as client:
        client.wait_for(2)
        one.freeze()
        replies = [client.request("old.x", b"%d" % number, timeout=PATIENCE_S) for number in range(3)]
    assert {reply.body for reply in replies} == {b"two"}


def test_a_stock_server_that_never_answers_is_a_timeout(proto: str) -> None:
    with stock(proto, "ann") as server, calling(server) as client:
        client.wait_for()
        server.freeze()
        with pytest.raises(CallTimeout, match="Tried ann"):
            client.request("old.x", b"1", timeout=0.2)


def test_a_stock_server_is_found_by_mdns(proto: str) -> None:
    with stock(proto, "ann") as server, MdnsAdvertiser(["127.0.0.1"]) as advertiser:
        address = Address("127.0.0.1", server.port)
        service = f"stock-{proto}"
        advertiser.start(Peer(f"stock{server.port}", "ann", (service,), (address,), {"proto": proto}))
        with Client(config=CONFIG) as client:
            assert client.request(f"{service}.x", b"1").frames == [b"ann", b"1"]
            (view,) = [view for view in client.servers() if service in view.services]
    assert (view.proto, view.sources) == (proto, ("mdns",))


def test_stock_servers_of_both_kinds_share_the_calls() -> None:
    with stock("flp", "one") as one, stock("rep", "two") as two, calling(one, two) as client:
        client.wait_for(2)
        assert client.request("old.x", b"", peer="one").body == b"one"
        assert client.request("old.x", b"", peer="two").body == b"two"
