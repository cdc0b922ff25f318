"""What each socket option is for: each test fails, or its program dies, without the option it is about."""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from mesh.config import Limits
from mesh.core.peers import FLP, MESH, REP
from mesh.errors import ConfigError
from mesh.io.link import AddressInUse, ClientLink, LinkEvent, Sent, ServerLink
from tests.helpers import PATIENCE_S, free_port, spawn, wait_until
from tests.helpers.zmtp import dial

pytestmark = pytest.mark.network

SMALL = Limits(body_max=1024, head_max=4096, inline_max=512)
"""Limits under which a frame of more than 8 KiB is giant."""


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.needs(why="needs the address ::1", met=_has_ipv6)


class Dialler:
    """A ClientLink, the descriptors it wants watched, and the events it has given."""

    def __init__(self, limits: Limits) -> None:
        self.descriptors: list[int] = []
        self.events: list[tuple[int, LinkEvent, str]] = []
        self.link = ClientLink(limits, 1.0, 0.0, 0.0, self._on_descriptor)

    def _on_descriptor(self, descriptor: int, watch: bool) -> None:
        if watch:
            self.descriptors.append(descriptor)
        else:
            self.descriptors.remove(descriptor)

    def dial(self, conn_id: int, endpoint: str, proto: str = MESH) -> None:
        """Dial and wait until the handshake is done."""
        assert self.link.connect(conn_id, endpoint, proto, local=True) == ""
        self.wait_for(conn_id, LinkEvent.UP)

    def wait_for(self, conn_id: int, kind: LinkEvent) -> str:
        """Return why, once this event has come."""

        def look() -> list[str]:
            self.events += self.link.events()
            return [why or "-" for number, event, why in self.events if (number, event) == (conn_id, kind)]

        return wait_until(look, what=f"{kind} of {conn_id}")[0]

    def send(self, conn_id: int, *frames: bytes) -> Sent:
        return self.link.send(conn_id, frames)


@pytest.fixture
def dialler() -> Iterator[Dialler]:
    dialler = Dialler(SMALL)
    yield dialler
    dialler.link.close()
    assert dialler.descriptors == []


@contextlib.contextmanager
def serving(port: int = 0, limits: Limits = SMALL) -> Iterator[tuple[ServerLink, str]]:
    """Yield a server's link and where it listens."""
    endpoint = f"tcp://127.0.0.1:{port or free_port()}"
    link = ServerLink(limits)
    try:
        link.bind(endpoint, endpoint)
        yield link, endpoint
    finally:
        link.close()


@contextlib.contextmanager
def raw(kind: int, **options: object) -> Iterator[zmq.Socket[bytes]]:
    """Yield a plain ZeroMQ socket."""
    with zmq.Context() as context, context.socket(kind) as sock:
        sock.linger = 0
        for name, value in options.items():
            sock.setsockopt(getattr(zmq, name), value)  # type: ignore[arg-type]
        yield sock


@contextlib.contextmanager
def silent_listener() -> Iterator[str]:
    """Yield the endpoint of somebody who accepts connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def received(server: ServerLink) -> tuple[bytes, list[bytes]]:
    message = wait_until(server.receive, what="a message")
    assert message is not None
    return message


def test_an_event_that_comes_before_the_first_look_wakes(dialler: Dialler) -> None:
    with serving() as (_, endpoint):
        dialler.link.connect(1, endpoint, MESH, local=True)
        # Nobody looks at the monitor before its descriptor is readable: that is what the descriptor is for.
        monitor = dialler.descriptors[1]
        assert select.select([monitor], [], [], 2.0)[0] == [monitor]
        dialler.wait_for(1, LinkEvent.UP)


def test_whoever_takes_a_connection_and_says_nothing_is_told_from_nobody(dialler: Dialler) -> None:
    with silent_listener() as endpoint:
        dialler.link.connect(1, endpoint, MESH, local=True)
        dialler.wait_for(1, LinkEvent.REACHED)


def test_a_message_for_a_server_that_is_gone_does_not_reach_its_successor(dialler: Dialler) -> None:
    events = zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED
    with raw(zmq.DEALER, RECONNECT_IVL=1) as redialling, redialling.get_monitor_socket(events) as seen:
        seen.rcvtimeo = int(PATIENCE_S * 1000)
        with serving() as (server, endpoint):
            dialler.dial(1, endpoint)
            redialling.connect(endpoint)
            seen.recv_multipart()
            assert dialler.send(1, b"one") is Sent.OK
            assert received(server)[1] == [b"one"]
        assert dialler.wait_for(1, LinkEvent.DOWN) == "disconnected"
        seen.recv_multipart()  # else it may write what it sends to the connection that is gone
        redialling.disable_monitor()
        dialler.send(1, b"stale")
        redialling.send(b"from one that redials by itself")
        with serving(int(endpoint.rpartition(":")[2])) as (successor, _):
            assert received(successor)[1] == [b"from one that redials by itself"]
            dialler.link.disconnect(1)
            dialler.dial(2, endpoint)
            assert dialler.send(2, b"two") is Sent.OK
            assert received(successor)[1] == [b"two"]


def test_a_full_pipe_is_told_from_one_that_has_drained(dialler: Dialler) -> None:
    with serving() as (server, endpoint):
        dialler.dial(1, endpoint)
        for number in range(40):
            # The pipe is empty, for the server has the message before; libzmq would say EAGAIN half of the time.
            assert dialler.send(1, b"%d" % number) is Sent.OK
            assert received(server)[1] == [b"%d" % number]


def test_a_pipe_takes_one_message_and_no_more(dialler: Dialler) -> None:
    with silent_listener() as endpoint:
        dialler.link.connect(1, endpoint, MESH, local=True)
        assert dialler.send(1, b"head", b"body") is Sent.OK
        assert dialler.send(1, b"head", b"body") is Sent.FULL


def test_what_was_queued_for_a_connection_is_dropped_with_it(dialler: Dialler) -> None:
    port = free_port()
    endpoint = f"tcp://127.0.0.1:{port}"
    dialler.link.connect(1, endpoint, MESH, local=True)
    assert dialler.send(1, b"queued") is Sent.OK
    assert dialler.wait_for(1, LinkEvent.DOWN) == "connection refused"
    dialler.link.disconnect(1)
    with serving(port) as (server, _):
        dialler.dial(2, endpoint)
        assert dialler.send(2, b"new") is Sent.OK
        assert received(server)[1] == [b"new"]


def test_a_connection_that_was_taken_down_or_never_made_is_unreachable(dialler: Dialler) -> None:
    with serving() as (_, endpoint):
        dialler.dial(1, endpoint)
        dialler.link.disconnect(1)
        dialler.link.disconnect(1)
        assert dialler.send(1, b"x") is Sent.UNREACHABLE
    assert dialler.send(99, b"x") is Sent.UNREACHABLE


def test_twenty_dials_of_one_server_each_have_an_id_of_their_own(dialler: Dialler) -> None:
    with serving() as (server, endpoint):
        for number in range(1, 21):
            dialler.dial(number, endpoint)
            assert dialler.send(number, b"%d" % number) is Sent.OK
            client, frames = received(server)
            assert frames == [b"%d" % number]
            assert server.send(client, [b"back"]) is Sent.OK
            assert wait_until(dialler.link.receive) == (number, [b"back"])
            dialler.link.disconnect(number)


def test_libzmq_ends_a_process_that_uses_a_routing_id_twice() -> None:
    program = (
        "import zmq; c = zmq.Context(); a = c.socket(zmq.ROUTER); b = c.socket(zmq.ROUTER);"
        "port = b.bind_to_random_port('tcp://127.0.0.1');"
        "[(a.setsockopt(zmq.CONNECT_ROUTING_ID, b'same'), a.connect(f'tcp://127.0.0.1:{port}')) for _ in range(2)]"
    )
    with spawn([sys.executable, "-c", program]) as process:
        assert process.wait() < 0


def test_a_server_that_sends_a_giant_frame_is_cut(dialler: Dialler) -> None:
    with raw(zmq.ROUTER) as server:
        port = server.bind_to_random_port("tcp://127.0.0.1")
        dialler.dial(1, f"tcp://127.0.0.1:{port}")
        dialler.send(1, b"hello")
        client, _ = server.recv_multipart()
        server.send_multipart([client, b"x" * 8192])
        assert wait_until(dialler.link.receive) == (1, [b"x" * 8192])
        server.send_multipart([client, b"x" * 8193])
        dialler.wait_for(1, LinkEvent.DOWN)
        assert dialler.link.receive() is None


def test_a_client_that_sends_a_giant_frame_is_cut_and_the_server_serves_on() -> None:
    with serving() as (server, endpoint), raw(zmq.DEALER, RECONNECT_IVL=-1) as giant, raw(zmq.DEALER) as other:
        monitor = giant.get_monitor_socket(zmq.EVENT_DISCONNECTED)
        giant.connect(endpoint)
        giant.send(b"x" * 8193)
        assert monitor.poll(5000)
        giant.disable_monitor()
        monitor.close(0)
        other.connect(endpoint)
        other.send(b"small")
        assert received(server)[1] == [b"small"]


def test_a_client_cannot_take_the_place_of_another() -> None:
    with (
        serving() as (server, endpoint),
        raw(zmq.DEALER, ROUTING_ID=b"me") as victim,
        raw(zmq.DEALER, ROUTING_ID=b"me") as thief,
    ):
        victim.connect(endpoint)
        victim.send(b"from the victim")
        client, _ = received(server)
        thief.connect(endpoint)
        thief.send(b"from the thief")
        thief.send(b"again")
        victim.send(b"a witness that came later")
        assert received(server)[1] == [b"a witness that came later"]
        assert server.send(client, [b"for the victim"]) is Sent.OK
        assert victim.poll(5000)
        assert not thief.poll(0)


def test_an_answer_to_a_client_that_is_gone_is_seen_to_be_lost() -> None:
    with serving() as (server, endpoint):
        with raw(zmq.DEALER) as client:
            client.connect(endpoint)
            client.send(b"hello")
            who, _ = received(server)
        wait_until(lambda: server.send(who, [b"answer"]) is Sent.UNREACHABLE)


def test_the_last_answers_of_a_server_leave_although_it_closes() -> None:
    with raw(zmq.DEALER) as client:
        with serving() as (server, endpoint):
            client.connect(endpoint)
            client.send(b"hello")
            who, _ = received(server)
            assert server.send(who, [bytes(8 << 20)]) is Sent.OK  # more than the kernel takes at once
            assert server.send(who, [b"last"]) is Sent.OK
        for octets in (8 << 20, 4):
            assert client.poll(20_000)
            assert len(client.recv()) == octets


def test_a_server_whose_clients_do_not_read_closes_soon() -> None:
    with raw(zmq.DEALER, RCVHWM=1, RCVBUF=4096) as client:
        with serving() as (server, endpoint):
            client.connect(endpoint)
            client.send(b"hello")
            who, _ = received(server)
            while server.send(who, [bytes(50_000)]) is Sent.OK:
                pass
            began = time.monotonic()
        assert time.monotonic() - began < PATIENCE_S


def test_a_rep_server_that_is_not_there_gets_nothing_queued(dialler: Dialler) -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    dialler.link.connect(1, endpoint, REP, local=True)
    assert dialler.send(1, b"id", b"", b"body") is Sent.FULL
    dialler.wait_for(1, LinkEvent.DOWN)


def test_rep_servers_answer_on_sockets_of_their_own(dialler: Dialler) -> None:
    with raw(zmq.REP) as one, raw(zmq.REP) as two:
        for conn_id, server in ((1, one), (2, two)):
            dialler.dial(conn_id, f"tcp://127.0.0.1:{server.bind_to_random_port('tcp://127.0.0.1')}", REP)
            assert dialler.send(conn_id, b"id", b"", b"q%d" % conn_id) is Sent.OK
        for server in (one, two):
            server.send(server.recv() + b"!")
        answers: list[tuple[int, list[bytes]]] = []

        def are_here() -> bool:
            answers.extend(dialler.link.receive_plain(64))
            return len(answers) == 2

        wait_until(are_here)
    assert sorted(answers) == [(1, [b"id", b"", b"q1!"]), (2, [b"id", b"", b"q2!"])]


def test_closing_waits_for_no_peer_that_does_not_read() -> None:
    dialler = Dialler(SMALL)
    with silent_listener() as endpoint:
        dialler.link.connect(1, endpoint, FLP, local=True)
        assert dialler.send(1, b"unread") is Sent.OK
        began = time.monotonic()
        dialler.link.close()
        assert time.monotonic() - began < PATIENCE_S


def test_an_endpoint_that_cannot_be_dialled_is_said_to_be_so(dialler: Dialler) -> None:
    assert "cannot dial tcp://127.0.0.1: " in dialler.link.connect(1, "tcp://127.0.0.1", MESH, local=True)
    assert dialler.send(1, b"x") is Sent.UNREACHABLE


@needs_ipv6
def test_ipv6_is_dialled_and_bound(dialler: Dialler) -> None:
    server = ServerLink(SMALL)
    endpoint = f"tcp://[::1]:{free_port()}"
    try:
        server.bind(endpoint, endpoint)
        dialler.dial(1, endpoint)
        assert dialler.send(1, b"six") is Sent.OK
        assert received(server)[1] == [b"six"]
    finally:
        server.close()


@pytest.mark.slow
def test_a_tcp_peer_that_says_nothing_is_cut_after_two_seconds() -> None:
    with serving() as (_, endpoint):
        port = int(endpoint.rpartition(":")[2])
        peer = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S)
        with peer:
            began = time.monotonic()
            while peer.recv(1024):  # our greeting, then the end
                pass
            assert 1.0 < time.monotonic() - began < PATIENCE_S


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ("tcp://192.0.2.77:5555", "this host has no such address; bind tcp://"),
        ("tcp://127.0.0.1", "it does not parse; write tcp://HOST:PORT"),
        ("no-such-transport://x", "it does not parse; write tcp://HOST:PORT"),
    ],
)
def test_what_cannot_be_bound_is_said_with_a_remedy(endpoint: str, problem: str) -> None:
    link = ServerLink(SMALL)
    try:
        with pytest.raises(ConfigError, match=f"cannot bind {endpoint}: {problem}"):
            link.bind(endpoint, endpoint)
    finally:
        link.close()


def test_a_port_in_use_is_an_error_of_its_own() -> None:
    with serving() as (_, endpoint):
        second = ServerLink(SMALL)
        try:
            with pytest.raises(AddressInUse, match="the port is in use; choose another one, or port 0"):
                second.bind(endpoint, endpoint)
        finally:
            second.close()


def test_a_client_that_reads_none_of_its_answers_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.io.link._UNREAD_MS", 300)
    with serving() as (server, endpoint), dial(int(endpoint.rpartition(":")[2]), b"DEALER") as client:
        client.send([b"what is there to read?"])
        routing_id, _ = received(server)
        while server.send(routing_id, [bytes(100_000)]) is Sent.OK:
            pass
        wait_until(lambda: server.send(routing_id, [b""]) is Sent.UNREACHABLE, what="the cut")


@pytest.fixture
def void() -> Iterator[str]:
    """An endpoint that takes no connection and refuses none: its queue is full."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(3):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def dials_under_way(endpoint: str) -> int:
    """Return how many sockets of this host try to connect to a port; ours are of IPv6, whatever they dial."""
    port = f":{int(endpoint.rpartition(':')[2]):04X}"
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path("/proc/net", table).read_text().splitlines()]
    return sum(row[2].endswith(port) and row[3] == "02" for row in rows)  # SYN_SENT


def test_the_end_of_a_dial_is_not_taken_for_that_of_the_next_one(dialler: Dialler, void: str) -> None:
    [(monitor, _)] = dialler.link._monitors
    before = dials_under_way(void)
    assert dialler.link.connect(1, void, MESH, local=True) == ""
    wait_until(lambda: dials_under_way(void) > before)
    dialler.link.disconnect(1)
    assert dialler.link.connect(2, void, MESH, local=True) == ""
    monitor.poll(1000)  # libzmq tells of the end of most dials, not of all
    assert list(dialler.link.events()) == []


def test_who_gave_up_a_dial_hears_first_that_nobody_answered(dialler: Dialler, void: str) -> None:
    assert dialler.link.connect(1, void, MESH, local=True) == ""
    [(monitor, _)] = dialler.link._monitors
    assert not monitor.poll(1100), "the timeout of the core is one second"
