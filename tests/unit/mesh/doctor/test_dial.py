"""How far a PING to an address comes: at real servers, and at what only looks like one."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import zmq

from discovery import Address
from mesh import Server, Service
from mesh.core.dialect import PING, PONG
from mesh.doctor import dial as module
from mesh.doctor.dial import dial
from mesh.doctor.observations import End, Try
from tests.helpers import free_port
from tests.helpers.zmtp import COMMAND, Listener, Zmtp, frame, greeting, message, ready


def dialled(port: int, proto: str = "mesh/1", timeout_s: float = 2.0, host: str = "127.0.0.1") -> Try:
    return asyncio.run(dial(Address(host, port), proto, timeout_s))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    service = Service("work", version="1.0.0")

    @service.method
    def rest() -> None:
        return None

    with Server(service, bind="tcp://127.0.0.1:0", name="dialled", realm="here", advertise=False) as server:
        yield server


def port_of(server: Server) -> int:
    return Address.parse(server.endpoints[0].removeprefix("tcp://")).port


def test_a_server_answers_and_says_who_it_is_and_what_its_clocks_show(server: Server) -> None:
    tried = dialled(port_of(server))
    answer = tried.answer
    assert tried.end is End.ANSWERED
    assert answer is not None
    assert (answer.name, answer.realm, answer.services, answer.state) == ("dialled", "here", ("work",), "SERVING")
    assert answer.host
    assert not answer.large_lost
    assert 0 < answer.rtt_s < 2
    assert tried.connect_s is not None
    # It is this process: its clocks are ours.
    assert answer.clock_offset_s == pytest.approx(0, abs=0.5)
    assert answer.wall_offset_s == pytest.approx(0, abs=2)


def test_a_server_answers_a_ping_of_the_freelance_protocol(server: Server) -> None:
    assert dialled(port_of(server), "flp").end is End.ANSWERED


def test_a_rep_server_is_reached_when_the_handshake_has_succeeded(server: Server) -> None:
    with zmq.Context() as context, context.socket(zmq.REP) as rep:
        port = rep.bind_to_random_port("tcp://127.0.0.1")
        assert dialled(port, "rep").end is End.ANSWERED
        assert dialled(port, timeout_s=0.2).end is End.STUCK
    tried = dialled(port_of(server), "rep")
    assert (tried.end, tried.why) == (End.UNREADABLE, "it is a ROUTER socket, and is advertised as REP")


def test_where_nobody_listens_it_is_refused() -> None:
    tried = dialled(free_port())
    assert (tried.end, tried.why, tried.connect_s) == (End.REFUSED, "Connection refused", None)


def test_a_name_that_nobody_has_is_no_host(monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(asyncio, "open_connection", unknown)
    tried = dialled(1, host="nix.test")
    assert (tried.end, tried.why) == (End.NO_HOST, "Name or service not known")


@pytest.mark.parametrize(
    ("error", "end"),
    [
        (OSError(101, "Connect call failed"), End.NO_ROUTE),
        (OSError(113, "Connect call failed"), End.UNREACHABLE),
        (TimeoutError(110, "Connect call failed"), End.NO_ANSWER),
        (TimeoutError(), End.NO_ANSWER),
    ],
)
def test_the_word_of_the_network_is_kept(monkeypatch: pytest.MonkeyPatch, error: OSError, end: End) -> None:
    async def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(asyncio, "open_connection", fail)
    assert dialled(1).end is end


@contextmanager
def impostor(talk: Callable[[Zmtp], None]) -> Iterator[int]:
    """A port at which the first connection is talked to like this, and then waits for its end."""

    def run() -> None:
        with listener.accept() as connection:
            talk(connection)
            connection.wait_cut()

    with Listener() as listener:
        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield listener.port
        finally:
            thread.join()


def say(*octets: bytes) -> Callable[[Zmtp], None]:
    return lambda connection: connection.sock.sendall(b"".join(octets))


ROUTER = greeting() + ready(b"ROUTER")


@pytest.mark.parametrize(
    ("octets", "end", "why"),
    [
        (b"", End.SILENT, ""),
        (greeting(), End.SILENT, ""),
        (b"SSH-2.0-OpenSSH_9.6\r\n", End.FOREIGN, "it says 'SSH-2.0-Op'"),
        (greeting(b"CURVE"), End.KEYS, "its mechanism is CURVE"),
        (greeting() + frame(b"\x05ERROR\x02no", COMMAND), End.UNREADABLE, "it ends the handshake with 'ERROR\\x02no'"),
        (greeting() + ready(b"PUB"), End.UNREADABLE, "it is a PUB socket, and servers are ROUTERs"),
        (ROUTER, End.STUCK, ""),
        (ROUTER + message([b"hello"]), End.UNREADABLE, "the first frame does not begin with the magic octets"),
        (ROUTER + frame(b"", claimed=1 << 40), End.UNREADABLE, "it sends a frame of 1099511627776 octets"),
    ],
)
def test_what_only_looks_like_a_server_is_told_apart(octets: bytes, end: End, why: str) -> None:
    with impostor(say(octets)) as port:
        tried = dialled(port, timeout_s=0.2)
    assert (tried.end, tried.why, tried.answer) == (end, why, None)
    assert tried.connect_s is not None


def test_a_connection_that_is_closed_at_once_is_told() -> None:
    with Listener() as listener:
        thread = threading.Thread(target=lambda: listener.accept().close())
        thread.start()
        assert dialled(listener.port).end is End.CLOSED
        thread.join()


def test_heartbeats_are_passed_over_and_another_word_than_pong_is_unreadable() -> None:
    def talk(connection: Zmtp) -> None:
        connection.shake(b"ROUTER")
        assert connection.receive() == [PING]
        connection.sock.sendall(frame(b"\x04PING\x00\x00", COMMAND))
        connection.send([PONG])

    with impostor(talk) as port:
        assert dialled(port, "flp").end is End.ANSWERED
    with impostor(say(ROUTER, message([b"PONK"]))) as port:
        assert dialled(port, "flp").end is End.UNREADABLE


def test_a_path_that_loses_large_packets_is_told(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    write = module._Conversation._write_frame
    monkeypatch.setattr(
        module._Conversation,
        "_write_frame",
        lambda self, body, flags: None if len(body) > 1400 else write(self, body, flags),
    )
    tried = dialled(port_of(server), timeout_s=0.2)
    assert tried.end is End.ANSWERED
    assert tried.answer is not None
    assert tried.answer.large_lost


@pytest.mark.parametrize("stats", [{}, {"started": 5, "uptime_s": 1}, {"started": "late"}, {"started": "2026-01-01"}])
def test_clocks_that_cannot_be_read_are_left_out(stats: dict[str, object]) -> None:
    assert module._wall_offset_s(stats) is None
