"""Percentiles and histograms of many latencies."""

from __future__ import annotations

import itertools
import random

import pytest

from mesh.cli.latencies import Bar, Latencies


def of(*seconds: float) -> Latencies:
    latencies = Latencies()
    for one in seconds:
        latencies.record(one)
    return latencies


def test_without_any_there_is_nothing_to_say() -> None:
    assert (Latencies().percentile_s(0.5), Latencies().mean_s(), Latencies().histogram(9)) == (None, None, [])


def test_percentiles_are_by_nearest_rank_within_one_percent() -> None:
    latencies = of(*(number / 1000 for number in range(100, 0, -1)))
    for share in (0.01, 0.5, 0.95, 0.99):
        assert latencies.percentile_s(share) == pytest.approx(share / 10, rel=0.01)
    assert (latencies.percentile_s(1.0), latencies.least_s, latencies.most_s) == (0.1, 0.001, 0.1)
    assert latencies.mean_s() == pytest.approx(0.0505)
    assert of(0.3).percentile_s(0.5) == 0.3
    assert of(0.0, 1e-9).percentile_s(0.5) == pytest.approx(0.0, abs=1e-6)


def test_memory_is_bounded_by_the_spread_and_not_by_the_number() -> None:
    rng = random.Random(1)
    latencies = of(*(rng.lognormvariate(-6.0, 1.0) for _ in range(50_000)))
    assert len(latencies._counts) < 1000
    assert latencies.count == 50_000


def test_bars_hold_everything_once_and_a_late_answer_has_its_own() -> None:
    rng = random.Random(1)
    latencies = of(*(rng.uniform(0.001, 0.004) for _ in range(999)), 2.0)
    bars = latencies.histogram(10)
    assert 9 <= len(bars) <= 11
    assert sum(bar.count for bar in bars) == 1000
    assert (bars[0].from_s, bars[-1].to_s) == (latencies.least_s, 2.0)
    assert all(one.to_s == other.from_s for one, other in itertools.pairwise(bars))
    assert bars[-1].count <= 5
    ratios = [bar.to_s / bar.from_s for bar in bars[1:-2]]
    assert max(ratios) == pytest.approx(min(ratios), rel=1e-6)


def test_equal_latencies_are_one_bar() -> None:
    assert of(0.5, 0.5, 0.5).histogram(10) == [Bar(0.5, 0.5, 3)]
