"""Connections within bounds."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import time
from typing import Any

import pytest

from mesh.gateway.connection import Crowd
from mesh.gateway.server import bind
from mesh.gateway.settings import GatewaySettings
from tests.helpers import PATIENCE_S, wait_until
from tests.helpers.http import ask, connected, say
from tests.helpers.leaks import open_sockets
from tests.unit.mesh.gateway.conftest import Open

HEAD = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n"
CALL = b"POST /v1/call/work/frames HTTP/1.1\r\nhost: localhost\r\n"


def test_who_says_nothing_is_told_so_and_shown_out(open_gateway: Open) -> None:
    port = open_gateway(head_timeout_s=0.1)
    for pieces in ((), (HEAD,), (b"GET",)):
        with connected(port) as connection:
            said = say(connection, *pieces)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert json.loads(said.partition(b"\r\n\r\n")[2])["code"] == "DEADLINE_EXCEEDED"


def test_an_octet_now_and_then_is_no_head(open_gateway: Open) -> None:
    port = open_gateway(head_timeout_s=0.3)
    began = time.monotonic()
    with connected(port) as connection, contextlib.suppress(ConnectionError):
        connection.settimeout(0.05)
        while time.monotonic() < began + 10.0:
            connection.sendall(b"x")
            with contextlib.suppress(TimeoutError):
                if connection.recv(10) == b"HTTP/1.1 4":
                    break
    assert time.monotonic() - began < 5.0


def test_a_body_that_does_not_come_is_not_waited_for(open_gateway: Open) -> None:
    port = open_gateway(body_timeout_s=0.1)
    with connected(port) as connection:
        assert say(connection, CALL + b"content-length: 5\r\n\r\nabc").startswith(b"HTTP/1.1 408 ")


def test_a_connection_without_a_request_is_kept_for_a_while_and_closed_in_silence(open_gateway: Open) -> None:
    port = open_gateway(idle_timeout_s=0.1, head_timeout_s=60.0)
    with connected(port) as connection:
        said = say(connection, HEAD + b"\r\n")
    assert said.count(b"HTTP/1.1 ") == 1
    assert said.endswith(b"ok\n")


def test_the_head_of_the_next_request_has_its_own_time(open_gateway: Open) -> None:
    port = open_gateway(head_timeout_s=0.1, idle_timeout_s=60.0)
    with connected(port) as connection:
        said = say(connection, HEAD + b"\r\n", HEAD)
    assert [part[:4] for part in said.split(b"HTTP/1.1 ")[1:]] == [b"200 ", b"408 "]


def ok(connection: socket.socket) -> bool:
    """Ask how the gateway is, and tell whether it says that all is well."""
    connection.sendall(HEAD + b"\r\n")
    said = b""
    while not said.endswith(b"ok\n"):
        piece = connection.recv(1000)
        if not piece:
            return False
        said += piece
    return True


def test_where_there_are_too_many_the_one_goes_that_was_waited_for_longest(open_gateway: Open) -> None:
    port = open_gateway(connections_max=3)
    with connected(port) as first, connected(port) as second, connected(port) as third:
        assert [ok(connection) for connection in (first, second, third)] == [True] * 3
        assert ok(first)  # so that the second is waited for longest
        with connected(port) as fourth:
            assert ok(fourth)
            assert second.recv(1000) == b""  # as soon as it has had its time to speak
            assert [ok(connection) for connection in (first, third)] == [True] * 2


def test_requests_that_stand_behind_each_other_are_answered_in_order(open_gateway: Open) -> None:
    port = open_gateway()
    calls = b"".join(CALL + b"content-length: 1\r\n\r\n%d" % number for number in range(5))
    with connected(port) as connection:
        said = say(connection, calls + HEAD + b"connection: close\r\n\r\n")
    assert [part[-1:] for part in said.split(b"HTTP/1.1 200 ")[1:]] == [b"0", b"1", b"2", b"3", b"4", b"\n"]


def test_a_long_head_behind_another_request_is_refused(open_gateway: Open) -> None:
    port = open_gateway()
    with connected(port) as connection:
        said = say(connection, HEAD + b"\r\n" + HEAD + b"x: " + b"y" * 20_000 + b"\r\n\r\n")
    assert b"HTTP/1.1 431 " in said


def test_a_body_in_one_piece_with_its_head_is_not_taken_for_a_long_head(open_gateway: Open) -> None:
    port = open_gateway()
    with connected(port) as connection:
        said = say(connection, CALL + b"connection: close\r\ncontent-length: 40000\r\n\r\n" + b"x" * 40_000)
    assert said.startswith(b"HTTP/1.1 200 ")


def test_a_caller_that_expects_100_is_told_to_go_on(open_gateway: Open) -> None:
    port = open_gateway(body_max=10)
    with connected(port) as connection:
        connection.sendall(CALL + b"connection: close\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\n")
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert say(connection, b"abc").endswith(b"abc")
    with connected(port) as connection:
        connection.sendall(CALL + b"expect: 100-continue\r\ncontent-length: 11\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")


def wait_for_cut(connection: socket.socket, quiet: int) -> None:
    """Return when the gateway has closed its end, after it has begun to answer; `quiet`: sockets without either."""
    assert select.select([connection], [], [], PATIENCE_S)[0]
    wait_until(lambda: len(open_sockets()) <= quiet + 1, what="the cut")


def test_who_reads_nothing_is_cut_and_who_reads_slowly_is_not(open_gateway: Open) -> None:
    port = open_gateway(write_timeout_s=0.5)
    quiet = len(open_sockets())
    asked = (
        b"POST /v1/call/work/much HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 8\r\n\r\n20000000"
    )
    with connected(port) as connection:
        connection.sendall(asked)
        read = 0
        while piece := connection.recv(1 << 17):
            read += len(piece)
            time.sleep(0.005)  # so that all of it takes longer than that
    assert read > 20_000_000
    with connected(port) as connection:
        connection.sendall(asked)
        wait_for_cut(connection, quiet)


def test_larger_bodies_have_one_room_and_give_it_back(open_gateway: Open) -> None:
    port = open_gateway(bodies_max=300_000)
    for _ in range(5):
        assert ask(port, "/v1/call/work/frames", b"x" * 200_000).status == 200
    refused = ask(port, "/v1/call/work/frames", b"x" * 400_000)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    refused = ask(port, "/v1/call/work/much", b"400000")
    assert (refused.status, refused.json["code"]) == (503, "RESOURCE_EXHAUSTED")
    assert ask(port, "/v1/call/work/much", b"200000").status == 200


def test_readers_of_events_are_bounded(open_gateway: Open) -> None:
    port = open_gateway(streams_max=1)
    with connected(port) as connection:
        connection.sendall(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        wait_until(lambda: b"what happens" in connection.recv(4096))
        assert ask(port, "/v1/events").status == 503
    wait_until(lambda: _opens(port), what="room for another reader")


def _opens(port: int) -> bool:
    with connected(port) as connection:
        connection.sendall(b"GET /v1/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
        return connection.recv(100).startswith(b"HTTP/1.1 200 ")


class Caller:
    """What a crowd sees of a connection."""

    now = 0.0
    patience_s = 60.0

    def __init__(self) -> None:
        self.waited_since = 0.0
        self.loop = self
        self.said = ""

    def time(self) -> float:
        return Caller.now

    def show_out(self) -> None:
        self.said = "408"

    def turn_away(self) -> None:
        self.said = "503"


def crowd_of(count: int, connections_max: int) -> tuple[Any, list[Any]]:
    """Return a crowd that so many entered at once, and them."""
    Caller.now = 100.0
    crowd: Any = Crowd(GatewaySettings(connections_max=connections_max))
    callers = [Caller() for _ in range(count)]
    for caller in callers:
        crowd.enter(caller)
    return crowd, callers


def test_nobody_is_shown_out_before_what_he_said_was_read() -> None:
    crowd, callers = crowd_of(4, connections_max=2)
    assert [caller.said for caller in callers] == [""] * 4
    crowd, callers = crowd_of(2, connections_max=2)
    Caller.now += 1.0
    crowd.enter(Caller())
    assert [caller.said for caller in callers] == ["408", ""]


def test_beyond_twice_as_many_the_one_goes_that_is_waited_for_longest_all_the_same() -> None:
    _, callers = crowd_of(5, connections_max=2)
    assert [caller.said for caller in callers] == ["408", "", "", "", ""]


def test_where_all_are_busy_newcomers_are_told_to_come_again() -> None:
    crowd, callers = crowd_of(4, connections_max=2)
    for caller in callers:
        crowd.work_for(caller)
    newcomer = Caller()
    crowd.enter(newcomer)
    assert newcomer.said == "503"
    assert {caller.said for caller in callers} == {""}


def test_who_is_cut_with_several_requests_open_is_no_fault(
    open_gateway: Open, caplog: pytest.LogCaptureFixture
) -> None:
    port = open_gateway(write_timeout_s=0.5)
    quiet = len(open_sockets())
    asked = b"POST /v1/call/work/much HTTP/1.1\r\nhost: localhost\r\ncontent-length: 8\r\n\r\n20000000"
    with connected(port) as connection:
        connection.sendall(asked * 3)
        wait_for_cut(connection, quiet)
    assert ask(port, "/healthz").status == 200
    assert caplog.records == []


def test_what_is_written_is_sent_at_once() -> None:
    with bind(GatewaySettings(port=0)) as listening:
        # asyncio turns Nagle's algorithm off (RFC 896) where the protocol is named, and nowhere else.
        assert listening.proto == socket.IPPROTO_TCP
