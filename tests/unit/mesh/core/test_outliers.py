"""Servers that fail while others succeed are left aside for a while; new ones and those that are back start slowly."""

from __future__ import annotations

import pytest

from mesh.config import ClientConfig
from mesh.core.peers import Server
from mesh.errors import Status
from tests.unit.mesh.core.harness import Client, Far


def server_of(client: Client, far: Far) -> Server:
    """Return what the client knows of a server."""
    (server,) = [server for server in client.core._roster if server.identity == far.identity]
    return server


def run(client: Client, calls: int, *bad: Far, status: Status = Status.INTERNAL) -> dict[str, int]:
    """Make calls one after the other, which the bad servers fail; return how many each server got."""
    got = {far.identity: len(far.calls) for far in client.fars}
    for _ in range(calls):
        call = client.call()
        assert call.at is not None
        (far,) = [far for far in client.fars if far.conn_id == call.at.conn_id]
        client.advance(0.001)
        if far in bad:
            far.fail(call, status)
        else:
            far.answer(call)
    return {far.identity: len(far.calls) - got[far.identity] for far in client.fars}


def fleet(client: Client, count: int = 3) -> list[Far]:
    """Return servers that have answered some calls."""
    fars = [client.join(name) for name in "abcdefgh"[:count]]
    client.advance(2.0)
    run(client, 20 * count)
    return fars


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.INTERNAL, Status.UNAVAILABLE, Status.UNIMPLEMENTED])
def test_a_server_that_fails_while_others_succeed_gets_no_calls_for_a_second(client: Client, status: Status) -> None:
    bad, *_ = fleet(client)
    failed = run(client, 60, bad, status=status)["a"]
    assert 5 <= failed <= 8
    assert client.state("a") == "ejected"
    assert "fails while others succeed: left aside for 1 s" in client.notices()
    (view,) = [view for view in client.core.views(client.now) if view.name == "a"]
    assert view.note.startswith("67 % of its answers were failures; back in 0.9")
    assert run(client, 50, bad)["a"] == 0
    assert client.core.counters().ejections == 1


def test_errors_that_speak_of_the_request_eject_nobody(client: Client) -> None:
    bad, *_ = fleet(client)
    run(client, 100, bad, status=Status.INVALID_ARGUMENT)
    run(client, 100, bad, status=Status.NOT_FOUND)
    assert client.core.counters().ejections == 0


def test_where_all_fail_nobody_is_an_outlier(client: Client) -> None:
    fars = fleet(client)
    run(client, 200, *fars)
    assert client.core.counters().ejections <= 1, "one may be ahead of the others by chance at the very beginning"


def test_it_comes_back_slowly_and_is_left_aside_twice_as_long_if_it_still_fails(client: Client) -> None:
    bad, *_ = fleet(client)
    run(client, 60, bad)
    for seconds in (1.0, 2.0, 4.0):
        server = server_of(client, bad)
        assert server.ejected_s == seconds
        client.advance(seconds)
        assert client.state("a") == "alive"
        assert server.handicap == 8.0
        client.advance(1.1)
        failed = run(client, 60, bad)["a"]
        assert 2 <= failed <= 3, "it has to prove itself"
    assert server_of(client, bad).ejected_s == 8.0


def test_a_server_that_does_well_again_begins_anew(client: Client) -> None:
    bad, *_ = fleet(client)
    run(client, 60, bad)
    client.advance(2.1)
    run(client, 100, bad)
    assert server_of(client, bad).ejected_s == 2.0
    client.advance(25.0)
    run(client, 100)
    run(client, 100, bad)
    assert server_of(client, bad).ejected_s == 1.0


def test_the_time_has_a_bound() -> None:
    client = Client(ClientConfig(eject_max_s=3.0))
    bad, *_ = fleet(client)
    for _ in range(4):
        run(client, 60, bad)
        client.advance(4.1)
    assert server_of(client, bad).ejected_s == 3.0


@pytest.mark.parametrize(("count", "most"), [(1, 0), (2, 1), (3, 1), (4, 2), (8, 4)])
def test_no_more_than_half_of_the_servers_are_left_aside(client: Client, count: int, most: int) -> None:
    good, *bad = fleet(client, count)
    for _ in range(10):
        run(client, 40, *bad)
    ejected = [far for far in bad if client.state(far.identity) == "ejected"]
    assert len(ejected) <= most
    assert client.state(good.identity) == "alive"


def test_when_nobody_better_is_left_the_ejected_one_is_asked(client: Client) -> None:
    bad, good = fleet(client, 2)
    run(client, 60, bad)
    assert client.state("a") == "ejected"
    good.kill()
    call = client.call()
    bad.answer(call, b"better than nothing")
    assert call.body == b"better than nothing"


def test_another_process_at_its_place_is_not_blamed(client: Client) -> None:
    bad, *_ = fleet(client)
    run(client, 60, bad)
    bad.down()
    bad.boot += 1
    client.advance(0.5)
    assert client.state("a") == "alive"
    assert server_of(client, bad).failing == 0.0


def test_a_call_for_one_server_only_accuses_it_of_nothing(client: Client) -> None:
    bad, *_ = fleet(client)
    for _ in range(30):
        call = client.call(peer="a")
        bad.fail(call, Status.INTERNAL)
    assert client.state("a") == "alive"


def test_ejection_can_be_switched_off() -> None:
    client = Client(ClientConfig(eject_s=0))
    bad, *_ = fleet(client)
    run(client, 100, bad)
    assert client.core.counters().ejections == 0


def test_a_new_server_gets_its_share_step_by_step(client: Client) -> None:
    fleet(client, 2)
    new = client.join("new")
    shares = []
    for _ in range(4):
        calls = [client.call() for _ in range(90)]
        shares.append(sum(call.at is not None and call.at.conn_id == new.conn_id for call in calls))
        for call in calls:
            client.abandon(call)
        client.advance(0.34)
    assert shares == sorted(shares)
    assert shares[0] <= 10
    assert shares[-1] >= 20


def test_a_new_server_is_taken_to_be_no_faster_than_its_siblings(client: Client) -> None:
    old = client.join("old")
    for _ in range(30):
        call = client.call()
        client.advance(0.1)
        old.answer(call)
    new = client.join("new")
    assert server_of(client, new).latency_s == pytest.approx(0.1, rel=0.1)


def test_without_slow_start_a_new_server_is_at_once_as_good_as_any() -> None:
    client = Client(ClientConfig(slow_start_s=0))
    assert server_of(client, client.join("a")).handicap == 1.0
