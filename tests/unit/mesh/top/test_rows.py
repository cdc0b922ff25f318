"""Rows: what a client sees, joined with what a server says, whatever it says."""

from __future__ import annotations

import math

import pytest

from mesh.top.rows import Stats, filtered, row_of, totals_of
from tests.helpers.top import answer, stats, view


def test_an_answer_is_summed_over_its_methods() -> None:
    read = Stats.read(
        answer(
            uptime_s=7.5,
            in_flight=3,
            capacity=4096,
            endpoints=[
                {"num_requests": 10, "num_errors": 1, "p50_ns": 2_000_000, "p95_ns": 5_000_000, "p99_ns": 6_000_000},
                {"num_requests": 5, "num_errors": 2, "p50_ns": 1_000_000, "p95_ns": 9_000_000, "p99_ns": 9_500_000},
            ],
        )
    )
    assert read == Stats(7.5, 15, 3, 3, 4096, p50_s=0.002, p95_s=0.009, p99_s=0.0095)


def test_methods_that_were_never_called_have_no_percentiles() -> None:
    read = Stats.read(answer(endpoints=[{"num_requests": 0, "p50_ns": 5}]))
    assert read is not None
    assert (read.p50_s, read.p95_s, read.p99_s) == (None, None, None)


@pytest.mark.parametrize(
    "garbage", [None, 7, [], "x", {}, {"uptime_s": "1"}, {"uptime_s": True}, {"uptime_s": math.nan}]
)
def test_an_answer_without_uptime_is_none(garbage: object) -> None:
    assert Stats.read(garbage) is None


@pytest.mark.parametrize(
    "endpoints",
    [None, 5, {"a": 1}, [None, 5, "x"], [{}], [{"num_requests": "many"}], [{"num_requests": math.inf}], [{1: 2}]],
)
def test_garbage_in_an_answer_counts_as_nothing(endpoints: object) -> None:
    read = Stats.read(answer(in_flight=-4, capacity=None, endpoints=endpoints))
    assert read is not None
    assert (read.calls, read.errors, read.in_flight, read.capacity, read.p99_s) == (0, 0, 0, 0, None)


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
