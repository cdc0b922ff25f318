"""Figures: short, and of three digits that count."""

from __future__ import annotations

import pytest

from mesh.top.figures import age_text, count_text, latency_text, octets_text, plain, rate_text, sparkline


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (None, "-"),
        (0.0, "0"),
        (0.04, "0.0"),
        (12.34, "12.3"),
        (99.96, "100"),
        (999.4, "999"),
        (9999.4, "9999"),
        (12345.0, "12.3k"),
        (2.5e6, "2.5M"),
        (1e20, "100000P"),
    ],
)
def test_rates_are_short(rate: float | None, shown: str) -> None:
    assert rate_text(rate) == shown


def test_counts_have_no_fraction_as_long_as_they_are_small() -> None:
    assert [count_text(count) for count in (None, 0, 9999, 10_000)] == ["-", "0", "9999", "10.0k"]


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (None, "-"),
        (0, "0B"),
        (999, "999B"),
        (1000, "1.0K"),
        (48 << 20, "48.0M"),
        (1000 << 20, "1.0G"),
        (5 << 40, "5.0T"),
    ],
)
def test_octets_are_counted_in_powers_of_two(octets: int | None, shown: str) -> None:
    assert octets_text(octets) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (None, "-"),
        (0.0, "0.00ms"),
        (0.00042, "0.42ms"),
        (0.009994, "9.99ms"),
        (0.009996, "10.0ms"),
        (0.0999, "99.9ms"),
        (0.25, "250ms"),
        (0.9996, "1.0s"),
        (12.34, "12.3s"),
        (130.0, "2m10s"),
    ],
)
def test_latencies_keep_three_digits(seconds: float | None, shown: str) -> None:
    assert latency_text(seconds) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, "-"), (9.9, "9s"), (61.0, "1m01s"), (3600.0, "1h00m"), (90_000.0, "1d01h"), (8.64e7, "1000d00h")],
)
def test_ages_have_two_units(seconds: float | None, shown: str) -> None:
    assert age_text(seconds) == shown


def test_a_sparkline_has_a_bar_for_each_value_up_to_the_greatest() -> None:
    assert sparkline([0.0, 1.0, 7.0]) == "▁▂█"
    assert sparkline([0.0, 0.0]) == "▁▁"
    assert sparkline([]) == ""


def test_our_own_signs_have_a_form_in_ascii() -> None:
    assert plain("NAME▲ ● ▁█ ↑↓ → ── x").isascii()
    assert plain("計") == "計"
