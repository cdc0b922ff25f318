"""A second attempt at another server while the first is still out: when it is made, who wins, and the loser."""

from __future__ import annotations

import pytest

from mesh.config import ClientConfig
from mesh.core.calls import PendingCall
from mesh.core.profile import MethodProfile
from mesh.errors import CallError, CallTimeout, RemoteError, Status
from tests.unit.mesh.core.harness import Client, Far, assert_quiet

CONFIG = ClientConfig(attempt_min_s=0.05, hedge_slack_s=0.01)


@pytest.fixture
def client() -> Client:
    """A client that hedges."""
    return Client(CONFIG)


def at(call: PendingCall, *fars: Far) -> Far:
    """Return the server that has the latest attempt."""
    [far] = [far for far in fars if call.at is not None and far.conn_id == call.at.conn_id]
    return far


def practise(client: Client, *fars: Far, calls: int = 40, took_s: float = 0.002) -> None:
    """Let a method become known: it takes two milliseconds."""
    for _ in range(calls):
        call = client.call()
        client.advance(took_s)
        at(call, *fars).answer(call)
    for far in fars:
        far.records.clear()


def pair(client: Client) -> tuple[Far, Far]:
    """Return two servers that know their trade."""
    fars = client.join("a"), client.join("b")
    client.advance(2.0)  # they have started slowly
    practise(client, *fars)
    return fars


def split(call: PendingCall, a: Far, b: Far) -> tuple[Far, Far]:
    """Return the server of the first attempt and the one of the second."""
    second = at(call, a, b)
    return (b if second is a else a), second


def over(client: Client) -> None:
    """Take the servers away and assert that nothing is left."""
    client.vanish(*client.fars)
    assert_quiet(client)


def history(call: PendingCall) -> list[str]:
    """Return how its attempts ended."""
    return [attempt.result for attempt in (call.error.attempts if isinstance(call.error, CallError) else call.trace())]


def test_a_late_answer_is_asked_for_a_second_time_and_the_first_answer_counts(client: Client) -> None:
    a, b = pair(client)
    call = client.call()
    client.advance(0.011)
    assert len(a.calls) + len(b.calls) == 1, "95 % of the answers come within 2 ms, and then there are 10 ms of slack"
    client.advance(0.005)
    first, second = split(call, a, b)
    assert [sent.attempt for sent in (*first.calls, *second.calls)] == [1, 2]
    second.answer(call, b"second")
    assert (call.body, call.done, history(call)) == (b"second", True, ["another server was faster", "answered"])
    assert first.cancels == [call.call_id]
    assert second.cancels == []
    counters = client.core.counters()
    assert (counters.hedged, counters.hedges_won, counters.retries_paid) == (1, 1, 1)
    first.answer(call)
    assert client.core.counters().late_replies == 1
    over(client)


def test_the_first_attempt_may_still_win(client: Client) -> None:
    a, b = pair(client)
    call = client.call()
    client.advance(0.02)
    first, second = split(call, a, b)
    first.answer(call, b"first")
    assert (call.body, history(call)) == (b"first", ["another server was faster", "answered"])
    assert second.cancels == [call.call_id]
    assert client.core.counters().hedges_won == 0
    over(client)


def test_a_call_is_hedged_once_only(client: Client) -> None:
    fars = [client.join(name) for name in "abc"]
    client.advance(2.0)
    practise(client, *fars)
    call = client.call(timeout=0.5)
    client.advance(0.4)
    assert sum(len(far.calls) for far in fars) == 2
    client.advance(0.2)
    assert isinstance(call.error, CallTimeout)
    assert history(call) == ["no answer in time", "no answer"]
    assert sum(far.cancels.count(call.call_id) for far in fars) == 2
    over(client)


@pytest.mark.parametrize("once", [True, None])
def test_what_must_not_run_twice_is_never_hedged(client: Client, once: bool | None) -> None:
    declared = () if once else ("calc.add",)
    a, b = client.join("a", once=declared), client.join("b", once=declared)
    client.advance(2.0)
    practise(client, a, b)
    client.call(once=once)
    client.advance(0.5)
    assert len(a.calls) + len(b.calls) == 1


def test_no_hedge_goes_to_a_server_that_says_it_must_not_be_repeated(client: Client) -> None:
    a = client.join("a")
    client.advance(2.0)
    practise(client, a)
    b = client.join("b", once=("calc.add",))
    client.advance(2.0)
    a.load = 0
    call = client.call()
    while at(call, a, b) is not a:  # only a first attempt at a leaves b for the second
        b.answer(call)
        call = client.call()
    b.records.clear()
    client.advance(0.04)
    assert b.calls == []


@pytest.mark.parametrize(
    "config",
    [ClientConfig(hedge_ratio=0), ClientConfig(retry_ratio=0, retry_min_per_s=0)],
    ids=["switched off", "no budget"],
)
def test_without_a_share_or_a_budget_nothing_is_hedged(config: ClientConfig) -> None:
    client = Client(config)
    a, b = pair(client)
    client.call()
    client.advance(0.04)
    assert len(a.calls) + len(b.calls) == 1


def test_a_method_that_is_not_known_well_enough_is_not_hedged(client: Client) -> None:
    a, b = client.join("a"), client.join("b")
    client.advance(2.0)
    practise(client, a, b, calls=19)
    client.call()
    client.advance(0.04)
    assert len(a.calls) + len(b.calls) == 1


def test_hedges_stay_within_their_share_of_the_calls(client: Client) -> None:
    pair(client)
    calls = [client.call() for _ in range(400)]
    client.advance(0.04)
    assert 1 <= client.core.counters().hedged <= 0.1 * (400 + 40) + 1
    for call in calls:
        client.abandon(call)
    over(client)


def test_a_caller_that_leaves_stops_both_attempts(client: Client) -> None:
    a, b = pair(client)
    call = client.call()
    client.advance(0.02)
    client.abandon(call)
    assert a.cancels == b.cancels == [call.call_id]
    over(client)


def test_when_one_of_two_servers_is_lost_the_other_still_answers(client: Client) -> None:
    for lost in (0, 1):
        fars = pair(client)
        call = client.call()
        client.advance(0.02)
        both = split(call, *fars)
        both[lost].kill()
        assert not call.done
        assert len(both[1 - lost].calls) == 1, "it has the call already"
        both[1 - lost].answer(call)
        assert (call.error, call.attempts) == (None, 2)
        over(client)


def test_when_one_of_two_servers_refuses_the_other_still_answers(client: Client) -> None:
    for refuses in (0, 1):
        fars = pair(client)
        call = client.call()
        client.advance(0.02)
        both = split(call, *fars)
        both[refuses].refuse(call, Status.UNAVAILABLE, after_ms=0)
        assert not call.done
        assert len(both[1 - refuses].calls) == 1
        both[1 - refuses].answer(call)
        assert (call.error, call.attempts) == (None, 2)
        over(client)


def test_an_error_of_either_ends_the_call(client: Client) -> None:
    for fails in (0, 1):
        fars = pair(client)
        call = client.call()
        client.advance(0.02)
        both = split(call, *fars)
        both[fails].fail(call)
        assert isinstance(call.error, RemoteError)
        assert both[1 - fails].cancels == [call.call_id]
        over(client)


def test_a_hedge_whose_server_falls_silent_gives_way_to_the_first_attempt(client: Client) -> None:
    a, b = pair(client)
    call = client.call()
    client.advance(0.02)
    first, second = split(call, a, b)
    second.frozen = True
    client.advance(0.4)
    assert client.state(second.identity) in ("suspect", "dead")
    assert at(call, a, b) is first
    assert len(first.calls) == 1, "it was not sent there again"
    first.answer(call)
    assert call.error is None
    over(client)


def test_both_silent_and_one_back_answers_what_it_has(client: Client) -> None:
    a, b = pair(client)
    call = client.call(timeout=20.0)
    client.advance(0.02)
    first, second = split(call, a, b)
    first.frozen = second.frozen = True
    client.advance(2.0)
    first.thaw()
    client.advance(2.0)
    assert len(first.calls) == 1
    first.answer(call)
    assert call.error is None
    over(client)


def test_a_server_that_lost_the_race_counts_as_slow(client: Client) -> None:
    a, b = pair(client)
    call = client.call()
    client.advance(0.02)
    first, second = split(call, a, b)
    second.answer(call)
    (slow,) = [server for server in client.core._roster if server.name == first.identity]
    assert slow.latency_s > 0.005


def test_the_percentile_follows_the_method() -> None:
    profile = MethodProfile("a.b", 0.1)
    for sample in range(2000):
        profile.add(0.001 * (1 + sample % 100))
    assert 0.08 <= profile.p95_s <= 0.12, "95 % of 1 to 100 ms"
    for _ in range(50):
        profile.add(1.0)
    assert profile.p95_s >= 1.0


def test_a_method_that_always_takes_the_same_time_is_not_hedged(client: Client) -> None:
    fars = client.join("a"), client.join("b")
    client.advance(2.0)
    practise(client, *fars, calls=300, took_s=0.2)
    assert client.core.counters().hedged <= 1


def test_a_call_that_was_made_before_its_method_was_known_is_hedged_when_it_is_overdue(client: Client) -> None:
    a, b = client.join("a"), client.join("b")
    client.advance(2.0)
    early = client.call()
    first = at(early, a, b)
    for _ in range(25):
        call = client.call()
        client.advance(0.001)
        at(call, a, b).answer(call)
    assert early.attempts == 1
    client.advance(0.1)
    assert early.attempts == 2
    assert at(early, a, b) is not first
