"""How soon a silent server is noticed by the calls it holds."""

from __future__ import annotations

import pytest

from mesh.core.dialect import PONG
from mesh.core.events import Received, Tick
from mesh.core.wire import Ping
from mesh.errors import Status
from tests.unit.mesh.core.harness import Client


def test_a_server_that_froze_right_after_a_pong_loses_its_calls_as_soon_as_any_other(client: Client) -> None:
    froze = client.join("a")
    earlier = client.call()
    client.advance(0.05)
    call = client.call()
    client.advance(0.05)  # the earlier call is overdue, so the server is asked, and answers at once
    froze.frozen = True
    other = client.join("b")
    client.advance(0.25)  # the call is overdue 0.05 s later; the PING has 0.1 s
    assert [record.call_id for record in other.calls] == [earlier.call_id, call.call_id]


@pytest.mark.parametrize("proto", ["mesh/1", "flp"])
def test_a_server_that_froze_for_long_is_suspected_as_soon_as_any_other_when_it_freezes_again(
    client: Client, proto: str
) -> None:
    server = client.join("a", proto=proto)
    server.frozen = True
    client.advance(3.0)
    assert client.state("a") == "dead"
    server.frozen = False
    if proto == "flp":
        for _ in range(4):
            client.feed(Received(server.conn_id, [PONG]))
    else:
        for _, ping in client.sent(Ping)[1:]:  # the first one proved the connection
            server.pong(ping.nonce)
    assert client.state("a") == "alive"
    server.frozen = True
    client.call(plain=True)
    client.advance(0.25)
    assert client.state("a") == "suspect"
    client.vanish(server)


def test_a_moved_attempt_that_was_stopped_by_its_cancellation_does_not_end_the_call(client: Client) -> None:
    froze = client.join("a")
    call = client.call()
    froze.frozen = True
    other = client.join("b")
    client.advance(0.25)
    assert froze.cancels == [call.call_id]
    froze.frozen = False
    froze.refuse(call, Status.CANCELLED, after_ms=0)
    assert not call.done
    other.answer(call, b"sum")
    assert (call.error, call.body) == (None, b"sum")


def test_a_client_that_was_itself_late_accuses_nobody_at_once() -> None:
    client = Client()
    server = client.join("a")
    server.frozen = True
    call = client.call(timeout=60.0)
    client.advance(0.15)  # the PING is out
    assert client.state("a") == "alive"
    client.now += 10.0  # the process was stopped, or its loop was busy
    client.feed(Tick())
    assert client.state("a") == "alive"
    server.thaw()
    server.pong()
    client.advance(0.2)
    assert client.state("a") == "alive"
    server.answer(call)
    assert call.error is None


def test_being_late_excuses_a_silent_server_once_for_each_ping() -> None:
    client = Client()
    server = client.join("a")
    server.frozen = True
    client.call(timeout=60.0)
    for _ in range(12):  # a client that is late every time
        deadline = client.core.deadline()
        assert deadline is not None
        client.now = deadline + 0.05
        client.feed(Tick())
    assert client.state("a") == "dead"
