"""Load with callers that wait, and at a pace that answers do not influence."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any, cast

from mesh import NoServer, RemoteError, Reply, Status
from mesh.cli.load import Load, Plan
from tests.helpers import async_wait_until


class Answer:
    """Stands for a reply."""

    peer_id = "s1"


def asking(seconds: float, opened: list[int] | None = None) -> Callable[[], Awaitable[Reply]]:
    """Return a call that takes so long; `opened` gets how many are open when each begins."""
    now_open = 0

    async def ask() -> Reply:
        nonlocal now_open
        now_open += 1
        if opened is not None:
            opened.append(now_open)
        await asyncio.sleep(seconds)
        now_open -= 1
        return cast(Reply, Answer())

    return ask


def run(ask: Callable[[], Awaitable[Reply]], **plan: Any) -> Load:
    load = Load(ask, Plan(**{"concurrency": 1, "rate": 0.0, "duration_s": math.inf, **plan}))
    asyncio.run(load.run())
    return load


def test_callers_make_one_call_after_the_other() -> None:
    opened: list[int] = []
    load = run(asking(0.005, opened), concurrency=3, count=10)
    assert (load.tally.calls, load.tally.failed, load.missed) == (10, 0, 0)
    assert opened[:3] == [1, 2, 3]
    assert max(opened) == 3
    assert load.servers == {"s1": 10}
    assert load.tally.latencies.least_s >= 0.004
    assert load.done() == 1.0


def test_no_call_begins_after_the_time_and_the_last_one_is_waited_for() -> None:
    load = run(asking(0.04), duration_s=0.06)
    assert load.tally.calls in (1, 2)
    assert load.tally.elapsed_s >= 0.06


def test_failures_are_counted_by_kind() -> None:
    errors = iter([NoServer("nobody"), RemoteError("bad", code=Status.NOT_FOUND), NoServer("again")])

    async def ask() -> Reply:
        raise next(errors)

    load = run(ask, count=3)
    assert load.tally.errors == {"NoServer": 2, "RemoteError NOT_FOUND": 1}
    assert load.tally.first_error == "nobody"
    assert load.tally.latencies.count == 0


def test_a_pace_is_kept_however_slow_the_answers_are() -> None:
    opened: list[int] = []
    load = run(asking(0.1, opened), rate=200.0, duration_s=0.2, concurrency=100)
    assert load.tally.calls + load.missed == 40
    assert max(opened) > 10


def test_a_call_that_had_to_wait_for_its_turn_is_charged_for_that() -> None:
    load = run(asking(0.03), rate=100.0, count=6, concurrency=1)
    # Due at 0, 10, 20 ... ms, and ended at 30, 60, 90 ... ms.
    assert load.tally.calls == 6
    assert load.tally.latencies.most_s >= 0.12
    assert load.lateness.most_s >= 0.09


def test_calls_whose_turn_never_came_are_missed() -> None:
    load = run(asking(0.3), rate=50.0, duration_s=0.1, concurrency=1)
    assert (load.tally.calls, load.missed, load.full) == (1, 4, True)
    load = run(asking(0.3), rate=50.0, duration_s=0.1, count=3, concurrency=1)
    assert (load.tally.calls, load.missed) == (1, 2)


def test_a_load_that_is_stopped_counts_what_has_ended() -> None:
    async def stopped(**plan: Any) -> Load:
        load = Load(asking(0.02), Plan(**{"rate": 0.0, "duration_s": math.inf, **plan}))
        running = asyncio.create_task(load.run())
        await async_wait_until(lambda: load.tally.calls >= 5)
        load.stop()
        await running
        return load

    for load in (asyncio.run(stopped(concurrency=5)), asyncio.run(stopped(concurrency=5, rate=500.0))):
        assert load.stopped
        assert (load.tally.calls >= 5, load.tally.failed) == (True, 0)
