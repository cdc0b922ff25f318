"""Rows: what a client sees, joined with what a server says, whatever it says."""

from __future__ import annotations

import math
from typing import Any

import pytest

from mesh.top.rows import Stats, filtered, row_of, totals_of
from tests.helpers.top import answer, stats, view


def read(**fields: object) -> Stats:
    """Return what is made of an answer with these fields."""
    told = Stats.read(answer(**fields), told_at=5.0, rtt_s=0.001)
    assert told is not None
    return told


def test_an_answer_is_summed_over_its_methods() -> None:
    methods = [
        {"num_requests": 10, "num_errors": 1, "p50_ns": 2_000_000, "p95_ns": 5_000_000, "p99_ns": 6_000_000},
        {"num_requests": 5, "num_errors": 2, "p50_ns": 1_000_000, "p95_ns": 9_000_000, "p99_ns": 9_500_000},
    ]
    told = read(uptime_s=7.5, cpu_s=1.5, memory=4096, in_flight=3, capacity=512, endpoints=methods)
    assert (told.told_at, told.rtt_s, told.uptime_s, told.cpu_s, told.memory) == (5.0, 0.001, 7.5, 1.5, 4096)
    assert (told.calls, told.errors, told.in_flight, told.capacity) == (15, 3, 3, 512)
    assert (told.p50_s, told.p95_s, told.p99_s) == (0.002, 0.009, 0.0095)


def test_methods_that_were_never_called_have_no_percentiles() -> None:
    told = read(endpoints=[{"num_requests": 0, "p50_ns": 5}])
    assert (told.p50_s, told.p95_s, told.p99_s) == (None, None, None)


@pytest.mark.parametrize(
    "garbage", [None, 7, [], "x", {}, {"uptime_s": "1"}, {"uptime_s": True}, {"uptime_s": math.nan}]
)
def test_an_answer_without_uptime_is_none(garbage: object) -> None:
    assert Stats.read(garbage, told_at=0.0) is None


@pytest.mark.parametrize(
    "endpoints",
    [None, 5, {"a": 1}, [None, 5, "x"], [{}], [{"num_requests": "many"}], [{"num_requests": math.inf}], [{1: 2}]],
)
def test_garbage_in_an_answer_counts_as_nothing(endpoints: object) -> None:
    told = read(in_flight=-4, capacity=None, cpu_s="much", memory=-1, endpoints=endpoints)
    assert (told.calls, told.errors, told.in_flight, told.capacity, told.p99_s) == (0, 0, 0, 0, None)
    assert (told.cpu_s, told.memory) == (None, None)
    methods = row_of(view(), told, met=True).methods
    assert all(method.calls == 0 and method.p99_s is None for method in methods)


def test_more_methods_than_anybody_has_are_cut() -> None:
    assert len(read(endpoints=[{"num_requests": 1}] * 5000).methods) == 1000


def test_each_method_has_its_own_figures_those_with_most_calls_first() -> None:
    def told(uptime_s: float, adds: int, subs: int) -> Stats:
        quick, failed = {"p50_ns": 1000, "p95_ns": 2000, "p99_ns": 3000}, {"num_errors": 2, "last_error": "no"}
        methods = [
            {"subject": "calc.add", "num_requests": adds, **quick},
            {"subject": "calc.sub", "num_requests": subs, **quick, **failed},
            {"subject": "calc.never", "num_requests": 0, **quick},
        ]
        return read(uptime_s=uptime_s, endpoints=methods)

    add, never, sub = "calc.add", "calc.never", "calc.sub"
    row = row_of(view(), told(12.0, 10, 50), told(10.0, 6, 0), met=True)
    assert [(method.name, method.calls, method.calls_per_s) for method in row.methods] == [
        (sub, 50, 25.0),
        (add, 10, 2.0),
        (never, 0, 0.0),
    ]
    assert [(method.errors, method.last_error, method.p99_s) for method in row.methods] == [
        (2, "no", 3e-6),
        (0, "", 3e-6),
        (0, "", None),
    ]
    assert [method.calls_per_s for method in row_of(view(), told(12.0, 1, 1), met=True).methods] == [None] * 3
    assert row_of(view(), met=True).methods == []


def test_round_trips_have_a_median_and_a_tail_and_the_last_ten_are_charted() -> None:
    row = row_of(view(), stats(), met=True, rtts=[number / 1000 for number in range(100, 0, -1)])
    assert (row.rtt_s, row.rtt_p50_s, row.rtt_p99_s) == (0.001, 0.05, 0.099)
    assert row.rtt_history_s == tuple(number / 1000 for number in range(10, 0, -1))
    assert row_of(view(), stats(), met=True).rtt_p50_s is None


def test_who_is_silent_says_for_how_long_where_there_is_no_better_reason() -> None:
    def note(**fields: Any) -> str:
        return row_of(view(last_seen_s=4.06, **fields), met=True).note

    assert note(state="suspect") == note(state="dead") == "no sign of life for 4.1s"
    assert note(state="dead", note="connection refused") == "connection refused"
    assert note() == ""
    assert row_of(view(state="waiting", last_seen_s=None), met=True).note == ""


def test_a_row_knows_how_old_its_figures_are() -> None:
    assert row_of(view(), stats(told_at=3.0), met=True, now=3.25).age_s == 0.25


def test_the_processor_is_shared_among_what_happened_between_two_answers() -> None:
    def percent(before: float | None, after: float | None) -> float | None:
        told, earlier = stats(uptime_s=12.0, cpu_s=after), stats(uptime_s=10.0, cpu_s=before)
        return row_of(view(), told, earlier, met=True).cpu_percent

    assert percent(1.0, 1.5) == 25.0
    assert percent(None, 1.5) is percent(1.0, None) is None


def test_rates_are_differences_by_the_servers_own_clock() -> None:
    row = row_of(view(), stats(uptime_s=12.0, calls=150, errors=4), stats(uptime_s=10.0, calls=100, errors=1), met=True)
    assert (row.calls_per_s, row.errors_per_s) == (25.0, 1.5)


@pytest.mark.parametrize(
    "before", [None, stats(uptime_s=10.0), stats(uptime_s=5.0, calls=900), stats(uptime_s=5.0, errors=9)]
)
def test_there_is_no_rate_without_two_answers_of_one_life(before: Stats | None) -> None:
    row = row_of(view(), stats(uptime_s=10.0), before, met=True)
    assert (row.calls_per_s, row.errors_per_s) == (None, None)


def test_a_suspect_shows_what_it_said_last_but_no_rate() -> None:
    row = row_of(view(state="suspect"), stats(uptime_s=2.0, calls=9), stats(uptime_s=1.0), met=True)
    assert (row.calls, row.calls_per_s) == (9, None)


@pytest.mark.parametrize(
    ("state", "met", "shown"),
    [
        ("alive", True, "alive"),
        ("draining", True, "draining"),
        ("dead", True, "dead"),
        ("waiting", True, "dead"),
        ("connecting", True, "dead"),
        ("proving", True, "dead"),
        ("connecting", False, "unverified"),
        ("proving", False, "unverified"),
        ("waiting", False, "advertised"),
        ("ignored", False, "ignored"),
    ],
)
def test_states_say_what_they_mean_to_people(state: str, met: bool, shown: str) -> None:
    assert row_of(view(state=state), None, None, met=met).state == shown


def test_a_dead_server_shows_nothing_that_it_said() -> None:
    row = row_of(view(state="waiting"), stats(), None, met=True)
    assert (row.calls, row.errors, row.in_flight, row.capacity, row.p99_s, row.uptime_s) == (None,) * 6


def test_totals_leave_out_who_is_gone_or_of_another_realm() -> None:
    def row(state: str, *services: str) -> object:
        return row_of(view(state=state, services=services), stats(uptime_s=2.0, calls=7), stats(uptime_s=1.0), met=True)

    rows = [row("alive", "a"), row("alive", "a", "b"), row("waiting", "c"), row("ignored", "d"), row("gone", "e")]
    totals = totals_of(rows)  # type: ignore[arg-type]
    assert (totals.servers, dict(totals.states), totals.services) == (3, {"alive": 2, "dead": 1}, 3)
    assert (totals.calls_per_s, totals.errors_per_s, totals.in_flight) == (14.0, 0.0, 0)
    assert totals_of([]).calls_per_s is None


def test_a_filter_wants_every_word_somewhere() -> None:
    one = row_of(view(name="Calc-1", services=("calc",), address="tcp://10.0.0.7:1"), None, None, met=True)
    two = row_of(view(name="text-1", services=("text",), address="tcp://10.0.0.8:1"), None, None, met=True)
    assert filtered([one, two], "") == [one, two]
    assert filtered([one, two], "CALC alive") == [one]
    assert filtered([one, two], "10.0.0") == [one, two]
    assert filtered([one, two], "calc dead") == []
