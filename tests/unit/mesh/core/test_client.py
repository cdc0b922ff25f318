"""What a client does with messages: of mesh servers, of 10/FLP and REP servers, and of nobody it knows."""

from __future__ import annotations

import pytest

from discovery.model import PeerAdded
from mesh.config import ClientConfig
from mesh.core.actions import Connect, SendFrames
from mesh.core.dialect import PING
from mesh.core.events import Received, Tick
from mesh.core.methods import INLINE, MethodInfo
from mesh.core.wire import MESH_PREFIX, Ping, encode
from mesh.errors import CallTimeout, NoServer, OutcomeUnknown, RemoteError, Status
from tests.unit.mesh.core.harness import Client, Far, Pair, assert_quiet, match


def control(far: Far, number: int = -1) -> bytes:
    """Return the control frame of a call that a plain server got."""
    return far.frames[number][0]


# -- garbage


@pytest.mark.parametrize(
    "frames",
    [
        [],
        [b""],
        [b"PONG"],
        [MESH_PREFIX],
        [MESH_PREFIX + b"\xc1"],
        [b"\xf1M\x02\x90"],
        [b"x", b"y"],
        encode([Ping(1)], ClientConfig().limits)[0] + [b"body"],
    ],
)
def test_garbage_of_a_server_becomes_a_counter_and_a_notice(client: Client, frames: list[bytes]) -> None:
    far = client.join("a", name="one")
    call = client.call()
    client.feed(Received(far.conn_id, frames))
    assert client.core.counters().garbage == 1
    assert client.notices().splitlines()[-1].startswith("one (tcp://10.0.0.1:5555): ")
    far.answer(call)
    assert call.error is None


def test_garbage_is_no_sign_of_life(client: Client) -> None:
    far = client.join("a")
    far.frozen = True
    client.advance(1.2)
    assert client.state("a") == "suspect"
    client.feed(Received(far.conn_id, [b"garbage"]))
    assert client.state("a") == "suspect"


def test_messages_of_unknown_connections_are_stray(client: Client) -> None:
    client.feed(Received(99, [b"x"]))
    assert client.core.counters().stray == 1


def test_time_never_goes_back(client: Client) -> None:
    client.feed(Tick())
    client.now -= 1
    with pytest.raises(AssertionError, match="time went back"):
        client.feed(Tick())


# -- 10/FLP servers


def test_an_flp_server_is_proven_by_its_pong(client: Client) -> None:
    far = client.join("old", proto="flp")
    assert client.took(Connect) == [match(Connect, proto="flp")]
    assert client.took(SendFrames) == [SendFrames(far.conn_id, [PING], 0)]
    assert client.state("old") == "alive"


def test_an_flp_server_gets_a_control_frame_and_the_body(client: Client) -> None:
    far = client.join("old", proto="flp")
    one = client.call(body=b"body", plain=True)
    two = client.call(body=[b"a", b"b"], plain=True)
    empty = client.call(body=[], plain=True)
    assert [frames[1:] for frames in far.frames] == [[b"body"], [b"a", b"b"], [b""]]
    assert len({frames[0] for frames in far.frames}) == 3
    client.feed(Received(far.conn_id, [control(far, 1), b"x", b"y"]))
    client.feed(Received(far.conn_id, [control(far, 0), b"z"]))
    assert (one.body, two.body, empty.done) == (b"z", [b"x", b"y"], False)


def test_an_flp_server_never_gets_a_typed_call(client: Client) -> None:
    far = client.join("old", proto="flp")
    call = client.call(timeout=0.5)
    client.advance(0.6)
    assert far.frames == []
    assert isinstance(call.error, NoServer)
    assert "old speaks flp and takes only raw requests: use request(), or --raw." in str(call.error)


def test_a_typed_call_passes_by_the_plain_servers_of_a_mixed_service(client: Client) -> None:
    old, new = client.join("old", proto="flp"), client.join("new")
    for _ in range(20):
        client.call()
        client.call(plain=True)
    assert (len(new.calls) >= 20, len(old.frames) > 0, len(new.calls) + len(old.frames)) == (True, True, 40)


def test_an_flp_server_that_falls_silent_loses_its_calls(client: Client) -> None:
    far = client.join("old", proto="flp")
    call = client.call(plain=True)
    far.frozen = True
    spare = client.join("new")
    client.advance(0.5)
    assert [got.call_id for got in spare.calls] == [call.call_id]
    client.feed(Received(far.conn_id, [control(far), b"late"]))
    assert call.body == b"late", "its answer would still do"


def test_a_call_that_must_run_once_has_an_unknown_outcome_when_a_plain_server_is_lost(client: Client) -> None:
    far = client.join("old", proto="flp")
    call = client.call(plain=True, once=True)
    far.down()
    assert isinstance(call.error, OutcomeUnknown)


def test_a_call_never_written_to_a_plain_server_is_sent_again(client: Client) -> None:
    far = client.join("old", proto="flp")
    call = client.call(plain=True, once=True)
    far.down(unsent=[call])
    client.advance(0.2)
    assert len(far.frames) == 2


@pytest.mark.parametrize(
    "frames", [[b"body"], [b"short", b"body"], [b"ninebytes", b"body"], [b""], [b"", b""], [b"PONG", b"x"]]
)
@pytest.mark.parametrize("proto", ["flp", "rep"])
def test_what_is_no_answer_of_a_plain_server_is_garbage(client: Client, frames: list[bytes], proto: str) -> None:
    far = client.join("old", proto=proto)
    client.feed(Received(far.conn_id, frames))
    assert client.core.counters().garbage == 1


def test_an_answer_to_nobody_of_a_plain_server_is_late(client: Client) -> None:
    far = client.join("old", proto="flp")
    client.feed(Received(far.conn_id, [b"\xff" * 8, b"body"]))
    assert client.core.counters().late_replies == 1


# -- REP servers


def test_a_rep_server_is_used_after_its_handshake_and_never_pinged(client: Client) -> None:
    far = client.join("rep", proto="rep")
    assert client.took(Connect) == [match(Connect, proto="rep")]
    call = client.call(body=b"hello", plain=True)
    assert [frames[1:] for frames in far.frames] == [[b"", b"hello"]]
    client.advance(30.0)
    assert client.took(SendFrames) == [match(SendFrames, call_id=call.call_id)]
    assert isinstance(call.error, CallTimeout)


def test_an_answer_of_a_rep_server_has_an_envelope(client: Client) -> None:
    far = client.join("rep", proto="rep")
    calls = [client.call(plain=True) for _ in range(2)]
    client.feed(Received(far.conn_id, [control(far, 0), b"", b"one"]))
    client.feed(Received(far.conn_id, [control(far, 1), b"", b"a", b"b"]))
    assert [call.body for call in calls] == [b"one", [b"a", b"b"]]


def test_a_rep_server_that_does_not_answer_loses_the_call_when_patience_ends(client: Client) -> None:
    client.join("rep", proto="rep")
    call = client.call(plain=True)
    spare = client.join("new")
    client.advance(1.1)
    assert [got.call_id for got in spare.calls] == [call.call_id]


def test_plain_servers_leave_nothing_behind(client: Client) -> None:
    fars = client.join("old", proto="flp"), client.join("rep", proto="rep")
    for _ in range(4):
        client.call(plain=True, timeout=0.5)
    client.advance(1.0)
    client.vanish(*fars)
    assert_quiet(client)


def test_a_protocol_nobody_knows_is_dialled_as_mesh(client: Client) -> None:
    client.feed(PeerAdded(client.far("a", proto="carrier-pigeon").peer))
    assert client.took(Connect) == [match(Connect, proto="mesh/1")]


# -- with a real server core


def test_both_cores_understand_each_other() -> None:
    pair = Pair()
    call = pair.call(body=b"2 3", timeout=2.0)
    [work] = pair.works
    assert work.frames == [b"2 3"]
    assert work.deadline == pytest.approx(pair.client.now + 2.0, abs=0.002)
    pair.answer(b"5")
    assert call.body == b"5"
    assert (pair.client.names(), pair.server.idle()) == (["one"], True)


def test_the_window_of_the_server_is_what_the_client_keeps_to() -> None:
    pair = Pair()
    calls = [pair.call() for _ in range(600)]
    assert len(pair.works) == 1
    assert pair.server.admitted == 512
    while pair.works:
        pair.answer()
    assert all(call.done and call.error is None for call in calls)


def test_a_server_thawed_after_its_callers_gave_up_runs_nothing_stale() -> None:
    pair = Pair()
    pair.client.call(timeout=0.5)
    stale = list(pair.client.actions)
    pair.client.actions.clear()
    pair.cut = True
    pair.advance(1.0)
    pair.cut = False
    pair.client.actions[:0] = stale
    pair.pass_on()
    assert pair.works == []
    assert pair.server.expired == 1


def test_an_abandoned_call_is_not_run_if_it_waited() -> None:
    pair = Pair()
    pair.call()
    waiting = pair.call()
    pair.client.abandon(waiting)
    pair.pass_on()
    pair.answer()
    assert pair.works == []
    assert pair.client.core.counters().late_replies == 1


def test_an_unknown_method_is_an_error_at_once() -> None:
    pair = Pair()
    call = pair.call("calc.sub")
    assert isinstance(call.error, RemoteError)
    assert call.error.code is Status.UNIMPLEMENTED
    assert "unknown method calc.sub" in call.error.message


def test_a_method_that_must_run_once_runs_once_over_a_lost_link() -> None:
    pair = Pair({"calc.pay": MethodInfo(INLINE, idempotent=False)})
    call = pair.call("calc.pay")
    assert (call.once, len(pair.works)) == (True, 1)
    again = pair.call("calc.pay", key=call.key)
    assert len(pair.works) == 1, "joined"
    pair.answer(b"paid")
    assert (call.body, again.body) == (b"paid", b"paid")
    replayed = pair.call("calc.pay", key=call.key)
    assert (replayed.body, len(pair.works)) == (b"paid", 0)
