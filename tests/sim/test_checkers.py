"""Breaks the cores on purpose: a checker that finds nothing then proves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from mesh.config import ClientConfig, ServerConfig
from mesh.core.attempts import Attempts
from mesh.core.budget import RetryBudget
from mesh.core.calls import PendingCall
from mesh.core.dispatch import Dispatcher
from mesh.core.duplicates import DuplicateWindow
from mesh.core.links import Links
from mesh.core.peers import Connection, Server
from mesh.core.roster import Roster
from mesh.core.server import ServerCore
from mesh.core.wire import Reply
from mesh.sim import Bout, Faults, Handlers, Spread, Workload, World
from mesh.sim.checkers import leftovers, run_checked


def judged(faults: Faults | None = None, timeout_s: float = 2.0, per_s: float = 60.0, **traits: Any) -> str:
    """Return what is wrong with a world of three servers after five seconds of calls."""
    world = World(5, servers=3, clients=2, faults=faults, handlers=Handlers(Spread(0.005), threads=8), **traits)
    workload = Workload(calls=int(5 * per_s), per_s=per_s, timeout_s=timeout_s, once=0.5)
    return "\n".join(run_checked(world, workload))


CUTS = Faults(partition=Bout(0.2, Spread(0.3, 2.0)), spared=0)
PAUSES = Faults(pause=Bout(0.2, Spread(0.5, 3.0)), spared=1)
CRASHES = Faults(crash=Bout(0.1, Spread(0.2)), spared=1)


@pytest.mark.parametrize("faults", [CUTS, PAUSES, CRASHES])
def test_cores_as_they_are_break_nothing(faults: Faults) -> None:
    assert judged(faults) == ""


def test_call_that_runs_twice_on_one_server_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DuplicateWindow, "find", lambda self, key, now: None)
    monkeypatch.setattr(DuplicateWindow, "finish", lambda self, key, answer, now: [])
    assert "must not run twice and ran on" in judged(CUTS, timeout_s=6.0, per_s=300.0)


def test_call_that_runs_on_two_servers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    introduce = Roster._introduce

    def forget_what_must_run_once(roster: Roster, server: Server, hello: Any) -> None:
        introduce(roster, server, msgspec.structs.replace(hello, once=[]))

    monkeypatch.setattr(Roster, "_introduce", forget_what_must_run_once)
    assert "must not run twice and ran on" in judged(CRASHES, per_s=200.0)


def test_stale_run_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    on_call = ServerCore._on_call

    def believe_all_deadlines(core: ServerCore, client: bytes, envelope: Any, call: Any, now: float) -> None:
        on_call(core, client, envelope, msgspec.structs.replace(call, deadline=0), now)

    monkeypatch.setattr(ServerCore, "_on_call", believe_all_deadlines)
    monkeypatch.setattr(Attempts, "cancel", lambda self, call, conn: None)
    assert "after its deadline (clock error" in judged(PAUSES, timeout_s=0.3)


def test_wrong_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = Dispatcher.answered

    def mix_up(calls: Dispatcher, conn: Connection, replies: list[Reply], now: float) -> None:
        for reply in replies:
            mixed_up = msgspec.structs.replace(reply, call_id=next(iter(conn.inflight), reply.call_id))
            answered(calls, conn, [mixed_up], now)

    monkeypatch.setattr(Dispatcher, "answered", mix_up)
    assert "was answered with" in judged(Faults(delay=Spread(0.1, 0.1)))


def test_call_that_ends_twice_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    fail = Dispatcher._fail

    def fail_twice(calls: Dispatcher, call: PendingCall, *arguments: Any, **options: Any) -> None:
        fail(calls, call, *arguments, **options)
        calls._out.append(calls._out[-1])

    monkeypatch.setattr(Dispatcher, "_fail", fail_twice)
    assert "ended 2 times" in judged()


def test_call_that_ends_after_its_deadline_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    timer = Dispatcher.timer

    def be_late(calls: Dispatcher, call: PendingCall, now: float) -> None:
        if call.deadline <= now < call.deadline + 0.01:
            calls._timers.set(call, call.deadline + 0.01)
        else:
            timer(calls, call, now)

    monkeypatch.setattr(Dispatcher, "timer", be_late)
    assert "s after its deadline" in judged(Faults(crash=Bout(0.05, Spread(60.0))), timeout_s=0.5)


def test_call_that_never_ends_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = Dispatcher.answered

    def lose_some(calls: Dispatcher, conn: Connection, replies: list[Reply], now: float) -> None:
        answered(calls, conn, [reply for reply in replies if reply.call_id % 10], now)

    monkeypatch.setattr(Dispatcher, "answered", lose_some)
    monkeypatch.setattr(Dispatcher, "timer", lambda self, call, now: None)
    found = judged()
    assert "never ended" in found
    assert "open calls" in found


def test_call_that_fails_although_a_server_was_well_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dispatcher, "_move", lambda self, call, why, now, free: False)
    assert "may be repeated and ended with CallTimeout" in judged(PAUSES, timeout_s=0.5)


def test_window_that_is_overrun_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    place = Links.place

    def place_whatever_is_in_flight(links: Links, server: Server, now: float) -> None:
        window, server.window = server.window, 1_000_000
        place(links, server, now)
        server.window = window

    monkeypatch.setattr(Links, "place", place_whatever_is_in_flight)
    assert "its window is 1" in judged(Faults(delay=Spread(0.05)), server_config=ServerConfig(window=1))


def test_server_that_admits_too_much_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    admit = ServerCore._admit

    def admit_all(core: ServerCore, work: Any, now: float) -> None:
        core._config, config = ServerConfig(), core._config
        admit(core, work, now)
        core._config = config

    monkeypatch.setattr(ServerCore, "_admit", admit_all)
    slow = Faults(slow=Bout(0.05, Spread(10.0)), slow_factor=100.0)
    assert "has admitted" in judged(slow, server_config=ServerConfig(admitted_max=2))


def test_retries_beyond_the_budget_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def pay_always(budget: RetryBudget, now: float) -> bool:
        budget.spent += 100
        return True

    monkeypatch.setattr(RetryBudget, "withdraw", pay_always)
    slow = Faults(slow=Bout(0.05, Spread(10.0)), slow_factor=300.0)
    assert "its budget was" in judged(slow)


def test_call_that_waits_too_long_although_a_server_was_well_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Dispatcher, "_move", lambda self, call, why, now, free: False)
    monkeypatch.setattr(Dispatcher, "_hedge", lambda self, call, conn, now: False)
    assert " s of 3 s" in judged(PAUSES, timeout_s=3.0)


def test_more_attempts_at_a_time_than_one_and_its_hedge_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Attempts, "cancel", lambda self, call, conn: None)
    slow = Faults(slow=Bout(0.05, Spread(10.0)), slow_factor=800.0)
    assert "servers at a time" in judged(slow, timeout_s=9.0)


def test_more_than_a_fifth_of_the_calls_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RetryBudget, "withdraw", lambda self, now: True)
    monkeypatch.setattr(Dispatcher, "_patience_until", lambda self, call: call.sent_at)
    slow = Faults(slow=Bout(0.05, Spread(10.0)), slow_factor=100.0)
    assert "attempts were made for" in judged(slow, client_config=ClientConfig(retry_min_per_s=0.0))


def test_client_that_believes_every_answer_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """A liar answers calls that others have."""
    answered = Dispatcher.answered

    def find_anywhere(calls: Dispatcher, conn: Connection, replies: list[Reply], now: float) -> None:
        for reply in replies:
            call = calls.open.get(reply.call_id)
            if call is not None:
                conn.inflight.setdefault(call.call_id, call)
        answered(calls, conn, replies, now)

    monkeypatch.setattr(Dispatcher, "answered", find_anywhere)
    lies = Faults(lie=Bout(0.1, Spread(1.0)), spared=2)
    assert "was answered with b'a lie'" in judged(lies, per_s=300.0)


def test_client_that_never_dials_again_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Links, "server_timer", lambda self, server, now: None)
    assert "does not see s" in judged(CUTS)


def test_call_that_fails_when_everything_is_whole_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    requested = Dispatcher.requested

    def give_up_the_last_ones(calls: Dispatcher, event: Any, now: float) -> None:
        if calls.calls > 120:
            event.calls[0].deadline = now
        requested(calls, event, now)

    monkeypatch.setattr(Dispatcher, "requested", give_up_the_last_ones)
    assert "was made when everything was whole: CallTimeout" in judged(CRASHES, per_s=60.0)


def test_record_that_stays_for_ever_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Roster, "drop", lambda self, server: None)
    assert "servers; there are 3 servers" in judged(Faults(ghost=Bout(0.2, Spread(0.3))))


LEFT: list[tuple[str, Callable[[World], object]]] = [
    ("c1 is left with 1 open calls", lambda world: world.clients["c1"].core._dispatcher.open.update({1: _call()})),
    ("c1 is left with 1 queues", lambda world: world.clients["c1"].core._dispatcher._wait(_call())),
    ("c1 is left with 1 deadlines of calls", lambda world: world.clients["c1"].core._timers.set(_call(), 1e9)),
    ("s1 is left with 1 admitted calls", lambda world: setattr(world.servers["s1"].core, "admitted", 1)),
]


def _call() -> PendingCall:
    call = PendingCall("sim.echo", b"", 0, 0.0, 1e9)
    call.call_id = 1
    return call


@pytest.mark.parametrize(("complaint", "leave"), LEFT)
def test_what_is_left_behind_is_found(complaint: str, leave: Callable[[World], object]) -> None:
    world = World(1, servers=1)
    world.run(Workload(calls=5))
    assert leftovers(world) == []
    leave(world)
    assert complaint in leftovers(world)
