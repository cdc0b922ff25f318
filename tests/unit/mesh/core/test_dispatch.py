"""Calls: which server gets each, when it moves, what is never run twice, and how each ends."""

from __future__ import annotations

import msgspec
import pytest

from discovery.model import PeerAdded, PeerUpdated
from mesh.config import ClientConfig, Limits
from mesh.core.actions import Send
from mesh.core.calls import PendingCall
from mesh.core.events import Tick
from mesh.core.wire import Call, Cancel, Hello, Ping, Pong, Record, Reply, encode
from mesh.errors import (
    CallError,
    CallTimeout,
    ClosedError,
    LocalProtocolError,
    NoServer,
    OutcomeUnknown,
    Overloaded,
    RemoteError,
    Status,
)
from tests.unit.mesh.core.harness import Client, Far, assert_quiet, match, peer

CONFIG = ClientConfig(
    attempt_initial_s=0.1, attempt_min_s=0.05, attempt_patience=10.0, attempt_patience_min_s=1.0, ping_timeout_s=0.1
)


def holder(call: PendingCall, *fars: Far) -> Far:
    """Return the server that has the latest attempt of a call."""
    [far] = [far for far in fars if call.at is not None and far.conn_id == call.at.conn_id]
    return far


def other(far: Far, *fars: Far) -> Far:
    """Return the one of two servers that is not this one."""
    [rest] = [one for one in fars if one is not far]
    return rest


def results(call: PendingCall) -> list[str]:
    """Return how the attempts of a call ended."""
    return [attempt.result for attempt in (call.error.attempts if isinstance(call.error, CallError) else call.trace())]


def freeze(client: Client, far: Far, seconds: float = 0.5) -> None:
    """Let a server fall silent and the client notice."""
    far.frozen = True
    client.advance(seconds)


# -- the plain case


def test_a_call_goes_out_with_everything_and_its_answer_ends_it(client: Client) -> None:
    far = client.join("a", boot=77)
    call = client.call("calc.add", b"args", timeout=2.0, key=b"k", metadata={"m": "1"})
    [sent] = far.calls
    assert sent == Call(call.call_id, "calc.add", b"args", sent.deadline, 77, b"k", 1, {"m": "1"})
    client.advance(0.01)
    far.answer(call, b"5")
    assert (call.done, call.error, call.body, call.finished_at) == (True, None, b"5", client.now)
    [attempt] = call.trace()
    assert (attempt.peer_id, attempt.name, attempt.address, attempt.result) == (
        "a",
        "a",
        "tcp://10.0.0.1:5555",
        "answered",
    )
    assert attempt.elapsed_s == pytest.approx(0.01)
    assert far.cancels == []


def test_the_deadline_travels_in_the_clock_of_the_server(client: Client) -> None:
    far = client.join("a")
    client.call(timeout=2.0)
    theirs = (client.now + 5000.0 + 2.0) * 1000
    assert theirs <= far.calls[0].deadline <= theirs + 2


@pytest.mark.parametrize("rtt_s", [0.001, 0.08, 0.5])
def test_the_deadline_is_late_by_no_more_than_half_the_round_trip(client: Client, rtt_s: float) -> None:
    far = client.far("a")
    far.rtt_s = rtt_s
    client.feed(PeerAdded(far.peer))
    client.advance(0.6)
    client.call(timeout=2.0)
    theirs = (client.now + 5000.0 + 2.0) * 1000
    assert theirs - 1 <= far.calls[0].deadline <= theirs + rtt_s * 1000 + 2


def test_the_quickest_pong_sets_the_clock_and_another_boot_resets_it(client: Client) -> None:
    far = client.join("a")
    far.rtt_s = 0.09
    client.advance(5.0)
    client.call(timeout=2.0)
    theirs = (client.now + 5002.0) * 1000
    assert theirs <= far.calls[-1].deadline <= theirs + 2, "the first PONG took no time at all"
    far.boot = 5
    client.advance(1.5)
    client.call(timeout=2.0)
    assert far.calls[-1].boot == 5


@pytest.mark.parametrize("jump_s", [-3.0, 3.0])
def test_a_clock_that_has_jumped_is_learnt_again_from_the_next_pong(client: Client, jump_s: float) -> None:
    far = client.join("a")
    far.rtt_s = 0.02
    far.clock_ahead_s += jump_s
    client.advance(1.5)
    client.call(timeout=2.0)
    theirs = (client.now + far.clock_ahead_s + 2.0) * 1000
    assert theirs - 1 <= far.calls[-1].deadline <= theirs + 22


def test_a_refusal_as_too_late_has_the_clock_asked_for_at_once(client: Client) -> None:
    far = client.join("a")
    far.clock_ahead_s += 3.0
    call = client.call(timeout=2.0)
    far.refuse(call, Status.DEADLINE_EXCEEDED, after_ms=0)
    client.call(timeout=2.0)
    theirs = (client.now + far.clock_ahead_s + 2.0) * 1000
    assert theirs - 1 <= far.calls[-1].deadline <= theirs + 2


def test_a_refusal_as_another_process_has_its_boot_id_asked_for_at_once(client: Client) -> None:
    far = client.join("a")
    far.boot = 5
    far.refuse(client.call(), Status.UNAVAILABLE, after_ms=0)
    client.call()
    assert far.calls[-1].boot == 5


def test_the_clock_of_a_busy_server_is_asked_for_every_minute(client: Client) -> None:
    far = client.join("a")
    far.clock_ahead_s += 0.004
    for _ in range(130):
        far.answer(client.call())
        client.advance(0.5)
    client.call(timeout=2.0)
    theirs = (client.now + far.clock_ahead_s + 2.0) * 1000
    assert theirs - 1 <= far.calls[-1].deadline <= theirs + 2


@pytest.mark.parametrize("clock", [2**64 - 1, -(2**63), 2**63])
def test_a_clock_that_cannot_be_still_gives_calls_that_can_be_sent(client: Client, clock: int) -> None:
    far = client.join("a")
    _, ping = client.sent(Ping)[0]
    far.say(Pong(ping.nonce + 1, 7, clock, window=9))
    far.frozen = True
    client.advance(1.01)
    far.say(Pong(ping.nonce + 1, 7, clock, window=9))
    client.call()
    assert all(msgspec.msgpack.encode(call) for call in far.calls)
    assert encode([far.calls[-1]], Limits())


def test_a_call_for_nobody_waits_for_a_server_and_is_sent_when_one_is_there(client: Client) -> None:
    call = client.call()
    client.advance(1.0)
    far = client.join("a")
    assert [got.call_id for got in far.calls] == [call.call_id]
    far.answer(call)
    assert call.error is None


def test_calls_that_wait_leave_in_their_order(client: Client) -> None:
    calls = [client.call() for _ in range(5)]
    far = client.join("a")
    assert [got.call_id for got in far.calls] == [call.call_id for call in calls]


def test_a_call_that_is_past_its_deadline_is_not_sent_in_the_place_of_another() -> None:
    client = Client(ClientConfig(window_max=2))
    far = client.join("a")
    calls = [client.call(timeout=0.2 + number / 100) for number in range(20)]
    client.now += 1.0  # the client itself was stopped
    client.feed(Tick())
    assert all(isinstance(call.error, CallError) for call in calls)
    assert len(far.calls) == 2


def test_a_call_goes_only_to_servers_of_its_service(client: Client) -> None:
    client.join("a", services=["echo"])
    calc = client.join("b", services=["calc", "more"])
    for _ in range(10):
        client.call("calc.add")
    assert len(calc.calls) == 10


def test_the_reserved_service_is_that_of_every_server(client: Client) -> None:
    fars = [client.join("a", services=["echo"]), client.join("b", services=[])]
    for _ in range(20):
        client.call("mesh.ping")
    assert all(far.calls for far in fars)


@pytest.mark.parametrize("name", ["one", "id-1", "static:10.0.0.1:5555"])
def test_a_call_for_one_server_goes_to_it_by_name_id_or_key(client: Client, name: str) -> None:
    waiting = client.call(peer=name)
    client.join("id-0", address="10.0.0.9:1", name="zero")
    far = client.far("id-1", "10.0.0.1:5555", name="one")
    client.feed(PeerAdded(peer("static:10.0.0.1:5555", "10.0.0.1:5555", services=(), source="static")))
    call = client.call(peer=name)
    assert {got.call_id for got in far.calls} == {waiting.call_id, call.call_id}


def test_a_call_for_one_server_never_moves_to_another(client: Client) -> None:
    far, bystander = client.join("a"), client.join("b")
    call = client.call(peer="a", timeout=2.0)
    far.kill()
    client.advance(3.0)
    assert bystander.calls == []
    assert isinstance(call.error, CallTimeout)


# -- which server


def test_the_less_loaded_of_two_servers_gets_the_call(client: Client) -> None:
    one, two = client.join("a"), client.join("b")
    for _ in range(100):
        client.call()
    assert (len(one.calls), len(two.calls)) == (50, 50)


def test_the_faster_of_two_servers_gets_most_calls(client: Client) -> None:
    slow, fast = client.join("a"), client.join("b")
    for _ in range(200):
        call = client.call()
        far = holder(call, slow, fast)
        client.advance(0.02 if far is slow else 0.001)
        far.answer(call)
    assert len(fast.calls) > 150


def test_many_servers_all_get_something() -> None:
    client = Client(seed=3)
    fars = [client.join(f"s{number}") for number in range(20)]
    for _ in range(400):
        client.call()
    assert min(len(far.calls) for far in fars) >= 10
    assert max(len(far.calls) for far in fars) <= 30


def test_the_same_seed_gives_the_same_choices() -> None:
    traces = []
    for _ in range(2):
        client = Client(seed=9)
        fars = [client.join(f"s{number}") for number in range(5)]
        for _ in range(50):
            client.call()
        traces.append([[call.call_id for call in far.calls] for far in fars])
    assert traces[0] == traces[1]


def test_a_full_window_lets_calls_wait_until_an_answer_makes_room(client: Client) -> None:
    far = client.join("a", window=2)
    calls = [client.call() for _ in range(4)]
    assert len(far.calls) == 2
    far.answer(calls[0])
    assert [got.call_id for got in far.calls] == [call.call_id for call in calls[:3]]


def test_a_window_that_grows_takes_what_waits(client: Client) -> None:
    far = client.join("a", window=1)
    for _ in range(4):
        client.call()
    far.window = 3
    far.pong()
    assert len(far.calls) == 3


def test_the_window_is_bounded_by_the_configuration() -> None:
    client = Client(ClientConfig(window_max=3))
    far = client.join("a", window=1000)
    for _ in range(5):
        client.call()
    assert len(far.calls) == 3


@pytest.mark.parametrize("how", ["abandoned", "expired"])
def test_a_call_nobody_waits_for_makes_room_at_once(client: Client, how: str) -> None:
    far = client.join("a", window=1)
    first = client.call(timeout=0.3)
    waiting = client.call()
    if how == "abandoned":
        client.abandon(first)
    else:
        client.advance(0.301)
    assert far.cancels == [first.call_id]
    assert [got.call_id for got in far.calls] == [first.call_id, waiting.call_id]


def test_a_draining_server_gets_nothing_and_keeps_what_it_has(client: Client) -> None:
    far = client.join("a")
    running = client.call()
    far.state = 1
    far.pong()
    waiting = client.call()
    assert client.state("a") == "draining"
    assert len(far.calls) == 1
    far.answer(running)
    assert running.error is None
    far.state = 0
    far.pong()
    assert far.calls[-1].call_id == waiting.call_id


# -- refusals


def test_a_server_without_room_is_left_alone_for_as_long_as_it_asks(client: Client) -> None:
    far, spare = client.join("a"), client.join("b")
    call = client.call(peer="a")
    far.refuse(call, after_ms=200)
    for _ in range(10):
        client.call()
    assert (len(far.calls), len(spare.calls)) == (1, 10)
    client.advance(0.201)
    assert far.calls[-1].call_id == call.call_id


def test_a_refused_call_goes_elsewhere_at_once(client: Client) -> None:
    fars = client.join("a"), client.join("b")
    call = client.call()
    far = holder(call, *fars)
    far.refuse(call)
    assert [got.call_id for got in other(far, *fars).calls] == [call.call_id]
    assert other(far, *fars).calls[0].attempt == 2


@pytest.mark.parametrize("status", [Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED, Status.CANCELLED])
def test_a_refusal_that_is_no_push_back_does_not_pause_the_server(client: Client, status: Status) -> None:
    far = client.join("a")
    far.refuse(client.call(), status, after_ms=0)
    client.call()
    assert len(far.calls) == 3


def test_a_server_that_always_refuses_is_not_asked_without_end() -> None:
    client = Client(ClientConfig(retry_min_per_s=10.0))
    far = client.join("a")
    call = client.call(timeout=5.0)
    asked = 0
    while not call.done:
        while len(far.calls) > asked:
            asked += 1
            far.refuse(call, Status.UNAVAILABLE, after_ms=0)
        client.advance(0.01)
    assert asked <= 160, "ten seconds of the floor are saved up, and five pass"
    assert isinstance(call.error, CallTimeout)


def test_a_call_that_everybody_refuses_ends_as_overloaded(client: Client) -> None:
    far = client.join("a")
    call = client.call(timeout=1.0)
    asked = 0
    while not call.done:
        while len(far.calls) > asked:
            asked += 1
            far.refuse(call, after_ms=100)
        client.advance(0.05)
    assert isinstance(call.error, Overloaded)
    assert "every server refused for want of room, for 1 s" in str(call.error)
    assert 5 <= asked <= 11


def test_a_refused_call_that_had_to_wait_for_the_budget_is_watched_like_any_other() -> None:
    config = ClientConfig(retry_ratio=0.0, retry_min_per_s=1.0, attempt_initial_s=0.1, ping_interval_s=60.0)
    client = Client(config)
    far = client.join("a")
    while client.core._budget.withdraw(client.now):
        pass
    call = client.call(timeout=30.0)
    far.refuse(call, after_ms=10)
    client.advance(1.1)
    assert len(far.calls) == 2
    far.frozen = True
    spare = client.join("b")
    client.advance(2.0)
    assert [got.call_id for got in spare.calls] == [call.call_id], "overdue, asked, no sign of life, moved"


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.INVALID_ARGUMENT, Status.UNIMPLEMENTED, Status.INTERNAL])
def test_the_error_of_a_handler_ends_the_call(client: Client, status: Status) -> None:
    far = client.join("a")
    client.join("b")
    call = client.call(peer="a")
    far.fail(call, status, "no such order")
    assert isinstance(call.error, RemoteError)
    assert (call.error.code, call.error.type, call.error.message, call.error.method) == (
        status,
        "ValueError",
        "no such order",
        "calc.add",
    )
    assert results(call) == [f"{status.name}: no such order"]


def test_a_status_of_a_later_version_is_unknown(client: Client) -> None:
    far = client.join("a")
    call = client.call()
    far.say(Reply(call.call_id, 99))
    assert isinstance(call.error, RemoteError)
    assert call.error.code is Status.UNKNOWN


# -- lost links


def test_a_lost_link_moves_its_calls_at_once(client: Client) -> None:
    fars = client.join("a"), client.join("b")
    calls = [client.call() for _ in range(10)]
    fars[0].kill()
    assert len(fars[1].calls) == 10
    for call in calls:
        fars[1].answer(call)
    assert all(call.error is None for call in calls)
    assert client.core.counters().retries_paid == 0, "the first attempt has left no load behind"


def test_a_call_without_another_server_waits_for_the_same_one(client: Client) -> None:
    far = client.join("a")
    call = client.call()
    far.down()
    client.advance(0.2)
    assert [got.call_id for got in far.calls] == [call.call_id] * 2
    far.answer(call, b"late but there")
    assert call.body == b"late but there"
    assert results(call) == ["link lost, connection reset", "answered"]


def test_what_was_never_written_is_sent_elsewhere_even_if_it_must_run_once(client: Client) -> None:
    fars = client.join("a"), client.join("b")
    call = client.call(once=True)
    far = holder(call, *fars)
    far.refusing = True
    far.down(unsent=[call])
    assert [got.call_id for got in other(far, *fars).calls] == [call.call_id]
    other(far, *fars).answer(call)
    assert results(call) == ["never sent, connection reset", "answered"]


def test_what_must_run_once_is_asked_of_the_same_process_again_with_the_same_key(client: Client) -> None:
    fars = client.join("a"), client.join("b")
    call = client.call(once=True)
    far = holder(call, *fars)
    far.down()
    assert other(far, *fars).calls == []
    client.advance(0.2)
    assert [got.key for got in far.calls] == [call.key] * 2
    assert len(call.key) >= 16
    far.answer(call)
    assert call.error is None


def test_what_must_run_once_has_an_unknown_outcome_when_its_process_was_restarted(client: Client) -> None:
    far = client.join("a")
    call = client.call(once=True)
    far.boot += 1
    far.down()
    client.advance(0.2)
    assert isinstance(call.error, OutcomeUnknown)
    assert len(far.calls) == 1
    assert "it may or may not have run, and must not run twice" in str(call.error)


def test_what_must_run_once_has_an_unknown_outcome_when_another_server_is_there_now(client: Client) -> None:
    far = client.join("a", address="10.0.0.1:1")
    call = client.call(once=True)
    client.fars.remove(far)
    new = client.far("b", "10.0.0.1:1")
    far.down()
    client.advance(0.2)
    assert isinstance(call.error, OutcomeUnknown)
    assert new.calls == []


def test_what_must_run_once_has_an_unknown_outcome_when_nobody_listens_any_more(client: Client) -> None:
    far = client.join("a")
    client.join("b")
    call = client.call(once=True, peer="a", timeout=60.0)
    far.kill()
    assert not call.done
    client.advance(0.2)
    assert isinstance(call.error, OutcomeUnknown)


def test_what_must_run_once_waits_for_a_server_that_is_cut_off_until_its_deadline(client: Client) -> None:
    far = client.join("a")
    call = client.call(once=True, timeout=3.0)
    far.frozen = True
    far.down()
    client.advance(2.9)
    assert not call.done
    client.advance(0.2)
    assert isinstance(call.error, OutcomeUnknown)


def test_what_must_run_once_stays_where_it_is_when_its_server_falls_silent(client: Client) -> None:
    fars = client.join("a"), client.join("b")
    call = client.call(once=True, timeout=5.0)
    far = holder(call, *fars)
    freeze(client, far, 2.0)
    assert other(far, *fars).calls == []
    far.thaw()
    far.answer(call)
    assert call.error is None


def test_a_method_declared_not_idempotent_is_learnt_from_the_hello(client: Client) -> None:
    fars = client.join("a", once=["calc.pay"]), client.join("b", once=["calc.pay"])
    call = client.call("calc.pay")
    far = holder(call, *fars)
    assert far.calls[0].key == call.key != b""
    far.kill()
    client.advance(0.5)
    assert isinstance(call.error, OutcomeUnknown)
    assert other(far, *fars).calls == []


def test_the_caller_may_say_that_a_method_can_be_repeated(client: Client) -> None:
    fars = client.join("a", once=["calc.pay"]), client.join("b", once=["calc.pay"])
    call = client.call("calc.pay", once=False)
    far = holder(call, *fars)
    far.kill()
    assert len(other(far, *fars).calls) == 1


def test_the_key_of_the_caller_is_kept(client: Client) -> None:
    far = client.join("a")
    client.call(once=True, key=b"order-7")
    assert far.calls[0].key == b"order-7"


def test_keys_differ_between_calls_and_between_clients() -> None:
    keys = set()
    for seed in (1, 2):
        client = Client(seed=seed)
        far = client.join("a")
        for _ in range(3):
            client.call(once=True)
        keys |= {call.key for call in far.calls}
    assert len(keys) == 6


# -- silence and slowness


def test_an_overdue_call_asks_for_a_sign_of_life_and_moves_without_one() -> None:
    client = Client(CONFIG)
    fars = client.join("a"), client.join("b")
    call = client.call()
    far = holder(call, *fars)
    far.frozen = True
    client.advance(CONFIG.attempt_initial_s + CONFIG.ping_timeout_s + 0.01)
    spare = other(far, *fars)
    assert [got.call_id for got in spare.calls] == [call.call_id]
    assert far.cancels == [call.call_id]
    spare.answer(call)
    assert results(call) == ["no sign of life", "answered"]
    assert client.core.counters().moved == 1


def test_a_server_that_answers_pings_keeps_an_overdue_call_until_patience_ends() -> None:
    client = Client(CONFIG)
    fars = client.join("a"), client.join("b")
    call = client.call()
    far = holder(call, *fars)
    client.advance(CONFIG.attempt_patience_min_s - 0.01)
    assert other(far, *fars).calls == []
    client.advance(0.02)
    assert len(other(far, *fars).calls) == 1
    assert far.cancels == [call.call_id]


def test_a_call_leaves_a_server_that_keeps_it_while_there_is_time_for_another() -> None:
    client = Client(CONFIG)
    fars = client.join("a"), client.join("b")
    slow = client.call()
    client.advance(0.4)
    holder(slow, *fars).answer(slow)
    call = client.call(timeout=5.0)
    far = holder(call, *fars)
    client.advance(2.5)
    assert far.cancels == [], "ten times as long as the other call took has not passed"
    client.advance(2.4)
    other(far, *fars).answer(call)
    assert call.error is None


def test_patience_with_a_server_shrinks_when_others_have_become_quick() -> None:
    client = Client(CONFIG)
    fars = client.join("a"), client.join("b")
    slow = client.call(timeout=60.0)
    client.advance(0.9)
    holder(slow, *fars).answer(slow)
    call = client.call(timeout=60.0)
    far = holder(call, *fars)
    client.advance(4.0)
    assert far.cancels == [], "every call took a second: nothing is wrong yet"
    for _ in range(60):
        quick = client.call(timeout=60.0)
        holder(quick, *fars).answer(quick)
    client.advance(3.0)
    assert far.cancels == [call.call_id]


def test_patience_with_a_server_does_not_grow_while_answers_come_late() -> None:
    client = Client(CONFIG)
    fars = client.join("a"), client.join("b")
    call, late = client.call(), client.call()
    far = holder(call, *fars)
    client.advance(0.9)
    holder(late, *fars).answer(late)
    client.advance(0.2)
    assert far.cancels == [call.call_id]


@pytest.mark.parametrize("timeout", [5.0, 0.5], ids=["moved", "expired"])
def test_a_server_that_keeps_calls_without_an_answer_hardly_gets_any(timeout: float) -> None:
    client = Client(CONFIG)
    hung, good = client.join("a"), client.join("b")
    for _ in range(40):
        call = client.call(timeout=timeout)
        client.advance(0.001)
        if holder(call, hung, good) is hung:
            client.advance(1.1)  # out of patience, or past the deadline
        if not call.done:
            good.answer(call)
    assert len(hung.calls) <= 2, "half of the calls, if it were taken for as fast as the other one"


def test_the_first_answer_of_several_attempts_wins() -> None:
    client = Client(CONFIG)
    fars = client.join("a"), client.join("b")
    call = client.call()
    first = holder(call, *fars)
    client.advance(1.01)
    second = other(first, *fars)
    assert len(second.calls) == 1
    first.answer(call, b"first")
    assert (call.body, call.error) == (b"first", None)
    assert second.cancels == [call.call_id]
    assert results(call) == ["no answer in time", "another server was faster", "answered"]
    second.answer(call, b"second")
    assert call.body == b"first"
    assert client.core.counters().late_replies == 1


def test_an_error_of_an_earlier_attempt_ends_the_call_and_the_later_one() -> None:
    client = Client(CONFIG)
    fars = client.join("a"), client.join("b")
    call = client.call()
    first = holder(call, *fars)
    client.advance(1.01)
    second = other(first, *fars)
    first.fail(call)
    assert isinstance(call.error, RemoteError)
    assert second.cancels == [call.call_id]
    second.answer(call)
    assert client.core.counters().late_replies == 1
    client.vanish(*fars)
    assert_quiet(client)


def test_a_refusal_of_an_earlier_attempt_changes_nothing() -> None:
    client = Client(CONFIG)
    fars = client.join("a"), client.join("b")
    call = client.call()
    first = holder(call, *fars)
    client.advance(1.01)
    first.refuse(call, Status.CANCELLED, after_ms=0)
    assert not call.done
    other(first, *fars).answer(call)
    assert call.error is None


def test_a_lost_link_of_an_earlier_attempt_changes_nothing() -> None:
    client = Client(CONFIG)
    fars = client.join("a"), client.join("b")
    call = client.call()
    first = holder(call, *fars)
    client.advance(1.01)
    first.kill()
    assert not call.done
    other(first, *fars).answer(call)
    assert call.error is None


def test_an_answer_twice_is_late_once(client: Client) -> None:
    far = client.join("a")
    call = client.call()
    far.answer(call, b"1")
    far.answer(call, b"2")
    far.answer(999)
    assert call.body == b"1"
    assert client.core.counters().late_replies == 2


def test_an_answer_from_a_server_that_never_had_the_call_is_late(client: Client) -> None:
    fars = client.join("a"), client.join("b")
    call = client.call()
    other(holder(call, *fars), *fars).answer(call, b"forged")
    assert not call.done
    assert client.core.counters().late_replies == 1


def test_an_answer_that_makes_room_does_not_send_its_own_call_again() -> None:
    client = Client(CONFIG)
    one = client.join("a", window=1)
    call = client.call()
    client.advance(0.9)
    two = client.join("b")
    client.advance(0.2)
    assert len(two.calls) == 1, "patience with the first is over"
    two.frozen = True
    blocker = client.call(peer="a")
    client.advance(2.0)
    assert client.state("b") == "dead"
    one.answer(call, b"mine")
    assert call.body == b"mine"
    assert [got.call_id for got in one.calls] == [call.call_id, blocker.call_id]


def test_the_time_of_an_attempt_adapts_to_the_method() -> None:
    client = Client(CONFIG)
    far = client.join("a")
    for _ in range(30):
        call = client.call("calc.slow")
        client.advance(0.5)
        far.answer(call)
    call = client.call("calc.slow")
    far.frozen = True
    spare = client.join("b")
    client.advance(0.49)
    assert spare.calls == [], "this method takes half a second"
    client.advance(0.5)
    assert [got.call_id for got in spare.calls] == [call.call_id]


def test_when_every_server_is_slow_retries_stay_within_the_budget() -> None:
    client = Client(ClientConfig(retry_ratio=0.2, retry_min_per_s=0.0, attempt_patience=2, attempt_patience_min_s=0.2))
    fars = [client.join(f"s{number}") for number in range(3)]
    for _ in range(60):
        client.call(timeout=1.0)
        client.advance(0.02)
    client.advance(1.0)
    attempts = sum(len(far.calls) for far in fars)
    assert 60 < attempts <= 1.2 * 60 + 1


def test_a_slow_but_alive_server_keeps_its_call_while_the_budget_is_empty() -> None:
    client = Client(ClientConfig(retry_ratio=0.0, retry_min_per_s=0.0, attempt_patience_min_s=0.2))
    fars = client.join("a"), client.join("b")
    call = client.call(timeout=10.0)
    far = holder(call, *fars)
    client.advance(5.0)
    assert other(far, *fars).calls == []
    far.answer(call)
    assert call.error is None


def test_a_call_that_waits_for_the_budget_looks_for_it_ever_more_rarely() -> None:
    client = Client(ClientConfig(retry_ratio=0.0, retry_min_per_s=0.0, ping_interval_s=60.0))
    client.join("a")
    client.join("b")
    client.call(timeout=30.0)
    until, looks = client.now + 20.0, 0
    while (due := client.core.deadline()) is not None and due <= until:
        client.advance(due - client.now)
        looks += 1
    assert 5 < looks < 30


def test_calls_of_a_dead_server_move_whatever_the_budget() -> None:
    client = Client(ClientConfig(retry_ratio=0.0, retry_min_per_s=0.0))
    fars = client.join("a"), client.join("b")
    call = client.call(timeout=10.0)
    far = holder(call, *fars)
    freeze(client, far, 1.0)
    assert len(other(far, *fars).calls) == 1


def test_a_call_at_a_dead_server_moves_to_the_next_that_comes() -> None:
    client = Client(CONFIG)
    far = client.join("a")
    call = client.call(timeout=10.0)
    freeze(client, far, 2.0)
    assert client.state("a") == "dead"
    new = client.join("b")
    assert [got.call_id for got in new.calls] == [call.call_id]


def test_a_call_may_come_back_to_a_server_that_lost_it() -> None:
    client = Client(CONFIG)
    one = client.join("a")
    call = client.call(timeout=20.0)
    freeze(client, one, 2.0)
    two = client.join("b")
    freeze(client, two, 2.0)
    one.thaw()
    client.advance(1.5)
    assert [len(far.calls) for far in (one, two)] == [2, 1]
    one.down(unsent=[call])
    client.advance(0.1)
    one.answer(call)
    assert results(call) == ["no sign of life", "no sign of life", "never sent, connection reset", "answered"]


def test_a_call_that_waits_for_better_is_answered_by_its_old_server_after_all() -> None:
    client = Client(CONFIG)
    far = client.join("a")
    call = client.call(timeout=10.0)
    freeze(client, far, 2.0)
    far.thaw()
    far.answer(call)
    assert call.error is None
    assert len(far.calls) == 1
    assert client.core._dispatcher._queues == {}


# -- how a call ends without its answer


def test_without_any_server_the_error_says_that_none_was_seen(client: Client) -> None:
    call = client.call(timeout=0.5)
    client.advance(0.49)
    assert not call.done
    client.advance(0.02)
    assert isinstance(call.error, NoServer)
    assert str(call.error) == (
        "calc.add: no server within 0.5 s. No server was seen at all: "
        "is one running, on this network and in this realm?"
    )
    assert (call.error.method, call.error.call_id, call.error.attempts) == ("calc.add", call.call_id, ())
    assert call.error.elapsed_s == pytest.approx(0.5)


def test_without_a_usable_server_the_error_says_which_were_seen_in_which_state(client: Client) -> None:
    far = client.far("a", name="one")
    far.refusing = True
    client.feed(PeerAdded(far.peer))
    call = client.call(timeout=0.5)
    client.advance(1.0)
    assert "Seen: one (tcp://10.0.0.1:5555) waiting, connection refused." in str(call.error)


@pytest.mark.parametrize("silent", [False, True])
def test_a_server_that_has_the_call_and_does_not_answer_is_a_timeout(client: Client, silent: bool) -> None:
    far = client.join("a")
    far.frozen = silent
    call = client.call(timeout=0.5)
    client.advance(0.51)
    assert isinstance(call.error, CallTimeout)
    assert results(call) == ["no answer"]
    assert far.cancels == [call.call_id]
    assert "calc.add: no answer within 0.5 s. Tried a (tcp://10.0.0.1:5555) after 0.500 s: no answer." in str(
        call.error
    )


def test_an_answer_after_the_deadline_is_late(client: Client) -> None:
    far = client.join("a")
    call = client.call(timeout=0.1)
    client.advance(0.2)
    far.answer(call)
    assert isinstance(call.error, CallTimeout)
    assert client.core.counters().late_replies == 1


def test_an_abandoned_call_is_cancelled_and_never_finished(client: Client) -> None:
    far = client.join("a")
    call = client.call()
    assert client.abandon(call) == [Send(far.conn_id, [match(Cancel, call_id=call.call_id)])]
    assert client.finished == []
    assert client.abandon(call) == []


def test_an_abandoned_call_that_waits_is_forgotten(client: Client) -> None:
    call = client.call()
    client.abandon(call)
    far = client.join("a")
    assert far.calls == []


def test_one_call_more_than_calls_max_is_refused_at_once() -> None:
    client = Client(ClientConfig(calls_max=2))
    calls = [client.call() for _ in range(3)]
    assert [call.done for call in calls] == [False, False, True]
    assert isinstance(calls[2].error, Overloaded)
    assert "calls_max is 2" in str(calls[2].error)
    client.abandon(calls[0])
    assert not client.call().done


def test_a_body_beyond_what_the_server_takes_is_refused_here(client: Client) -> None:
    far = client.join("a", body_max=10)
    call = client.call(body=b"x" * 11)
    assert isinstance(call.error, LocalProtocolError)
    assert str(call.error) == "calc.add: a body of 11 octets; a takes 10 (body_max)."
    client.call(body=b"x" * 10)
    client.call(body=[b"x" * 10, b"y" * 10])
    assert len(far.calls) == 2, "the limit is that of a frame"


def test_closing_ends_every_call_and_refuses_new_ones(client: Client) -> None:
    far = client.join("a", window=1)
    calls = [client.call() for _ in range(3)]
    watch = client.watch(5)
    client.stop()
    assert all(isinstance(call.error, ClosedError) for call in calls)
    assert isinstance(watch.error, ClosedError)
    assert len(far.calls) == 1, "what waited must not leave now"
    assert isinstance(client.call().error, ClosedError)
    assert isinstance(client.watch().error, ClosedError)
    assert client.conns == {}


def test_a_watch_ends_when_enough_servers_of_a_service_are_alive(client: Client) -> None:
    watch = client.watch(2, "calc")
    client.join("a")
    client.join("b", services=["echo"])
    assert not watch.done
    client.join("c")
    assert (watch.done, watch.error) == (True, None)
    assert client.watch(2, "calc").done
    assert client.watch(3).done


def test_a_draining_server_is_none_to_wait_for(client: Client) -> None:
    far = client.join("a")
    far.state = 1
    far.pong()
    watch = client.watch()
    assert not watch.done
    far.state = 0
    far.pong()
    assert watch.done


@pytest.mark.parametrize(
    ("count", "service", "sentence"),
    [
        (1, "echo", "No server of echo within 0.5 s. "),
        (2, "calc", "Fewer than 2 servers of calc within 0.5 s. Seen: a (tcp://10.0.0.1:5555) alive."),
        (3, "", "Fewer than 3 servers within 0.5 s. Seen: a (tcp://10.0.0.1:5555) alive."),
    ],
)
def test_a_watch_that_ends_in_vain_says_what_was_seen(client: Client, count: int, service: str, sentence: str) -> None:
    client.join("a")
    watch = client.watch(count, service, timeout=0.5)
    client.advance(0.6)
    assert isinstance(watch.error, NoServer)
    assert str(watch.error).startswith(sentence)


def test_a_service_that_is_no_longer_advertised_or_renamed_is_followed(client: Client) -> None:
    far = client.far("a", services=[])
    client.feed(PeerAdded(peer("static:1", far.address, services=(), source="static")))
    call = client.call()
    far.say(Hello("a", "a", "default", ["calc"], []))
    assert [got.call_id for got in far.calls] == [call.call_id]
    client.feed(PeerUpdated(peer("static:1", far.address, services=("other",), source="static")))
    client.call()
    assert len(far.calls) == 2, "what a server says of itself is the truth"


def test_garbage_of_a_server_is_counted_and_harms_nothing(client: Client) -> None:
    far = client.join("a")
    call = client.call()
    records: list[Record] = [
        Reply(0, 3),
        Call(1, "m"),
        Cancel(call.call_id),
        Reply(2**63),
        Pong(12345, 0, 0, 77, -1, -1),
    ]
    far.say(*records)
    far.window, far.state = 512, 0
    far.pong()
    far.answer(call)
    assert call.error is None
    assert client.core.counters().unknown_records == 2


def test_a_moved_attempt_that_is_refused_later_stands_once_in_the_history(client: Client) -> None:
    a, b = client.join("a"), client.join("b")
    call = client.call()
    first = holder(call, a, b)
    freeze(client, first)
    assert holder(call, a, b) is other(first, a, b)
    first.thaw()
    first.refuse(call, Status.CANCELLED, after_ms=0)
    other(first, a, b).answer(call)
    assert results(call) == ["no sign of life", "answered"]
