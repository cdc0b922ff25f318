"""Latencies in bounded memory."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from mesh.core.stats import BOUNDS_S, Histogram, Smoothed


def test_without_records_every_percentile_is_zero() -> None:
    assert Histogram().percentile_s(0.99) == 0.0


@pytest.mark.parametrize("scale_s", [2e-6, 1e-3, 0.5, 60.0])
@pytest.mark.parametrize("share", [0.0001, 0.5, 0.95, 0.99, 1.0])
def test_a_percentile_is_exact_within_ten_percent(scale_s: float, share: float) -> None:
    rng = random.Random(7)
    durations = sorted(scale_s * rng.lognormvariate(0, 1) + 1e-6 for _ in range(5000))
    histogram = Histogram()
    for duration in durations:
        histogram.record(duration)
    exact = durations[max(0, int(share * len(durations)) - 1)]
    assert exact * 0.999 <= histogram.percentile_s(share) <= exact * 1.1
    assert histogram.count == 5000
    assert histogram.total_s == pytest.approx(sum(durations))
    assert histogram.max_s == durations[-1]


@pytest.mark.parametrize("duration_s", [-1.0, 0.0, 1e-9, 1e-6])
def test_what_is_too_short_to_measure_is_the_least_that_can_be_told(duration_s: float) -> None:
    histogram = Histogram()
    histogram.record(duration_s)
    assert 0.0 < histogram.percentile_s(0.5) <= 1.1e-6
    assert histogram.max_s >= 0.0


def test_nothing_recorded_takes_no_room() -> None:
    tracemalloc.start()
    try:
        kept = [Histogram() for _ in range(100)]
        octets, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert octets / len(kept) < 200


def test_what_is_longer_than_everything_is_told_as_the_longest() -> None:
    histogram = Histogram()
    histogram.record(1e6)
    assert histogram.percentile_s(0.5) <= 1e6
    assert histogram.max_s == 1e6


def test_the_first_sample_is_believed_and_half_doubted() -> None:
    smoothed = Smoothed()
    smoothed.add(0.1)
    assert (smoothed.value_s, smoothed.deviation_s) == (0.1, 0.05)
    assert smoothed.bound_s() == pytest.approx(0.3)


def test_a_steady_value_is_reached_with_a_bound_close_above() -> None:
    smoothed = Smoothed()
    smoothed.add(1.0)
    for _ in range(100):
        smoothed.add(0.1)
    assert smoothed.value_s == pytest.approx(0.1, rel=0.01)
    assert 0.1 <= smoothed.bound_s() < 0.11
    assert smoothed.count == 101


def test_durations_are_counted_exactly_by_the_bounds_of_others() -> None:
    rng = random.Random(7)
    durations = [*BOUNDS_S, *(rng.lognormvariate(-3, 2) for _ in range(1000))]
    histogram = Histogram()
    for duration in durations:
        histogram.record(duration)
    assert histogram.at_most() == [
        *(sum(duration <= bound for duration in durations) for bound in BOUNDS_S),
        len(durations),
    ]


def test_without_records_nothing_is_counted_by_them() -> None:
    assert Histogram().at_most() == [0] * (len(BOUNDS_S) + 1)
