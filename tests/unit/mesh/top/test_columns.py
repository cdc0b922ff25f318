"""Columns: how values are written and sorted."""

from __future__ import annotations

import pytest

from mesh.top.columns import COLUMNS, Order, in_order, rate_text
from mesh.top.rows import Row, row_of
from tests.helpers.top import stats, view


def row(name: str = "a", **fields: object) -> Row:
    return row_of(view(name=name, peer_id=name), stats(**fields), stats(uptime_s=9.0), met=True)


def text(key: str, row: Row) -> str:
    return next(column for column in COLUMNS if column.key == key).text(row)


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


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
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
def test_latencies_keep_three_digits(seconds: float, shown: str) -> None:
    assert text("p99", row(p99_s=seconds)) == shown


@pytest.mark.parametrize(
    ("seconds", "shown"), [(9.9, "9s"), (61.0, "1m01s"), (3600.0, "1h00m"), (90_000.0, "1d01h"), (8.64e7, "1000d00h")]
)
def test_ages_have_two_units(seconds: float, shown: str) -> None:
    assert text("uptime", row(uptime_s=seconds)) == shown


def test_calls_in_flight_are_shown_with_how_many_the_server_admits() -> None:
    assert text("flight", row(in_flight=3, capacity=4096)) == "3/4096"
    assert text("flight", row_of(view(), None, None, met=True)) == "-"


def test_an_order_is_read_from_a_field_with_or_without_a_minus() -> None:
    assert Order.parse("calls") == Order("calls", down=False)
    assert Order.parse("-errors/s") == Order("errors/s", down=True)
    with pytest.raises(ValueError, match="there is no column 'foo'; take one of name, state"):
        Order.parse("-foo")


def test_the_next_order_goes_round_and_sorts_numbers_downwards() -> None:
    order, seen = Order(), []
    for _ in COLUMNS:
        order = order.next()
        seen.append((order.key, order.down))
    assert [key for key, _ in seen] == [*(column.key for column in COLUMNS[1:]), "name"]
    assert ("calls", True) in seen
    assert ("state", False) in seen


def test_rows_without_a_value_come_last_either_way_and_equal_ones_by_name() -> None:
    rows = [row("b", calls=5), row("none", uptime_s=9.0), row("c", calls=7), row("a", calls=5)]
    assert [r.name for r in in_order(rows, Order.parse("calls"))] == ["a", "b", "c", "none"]
    assert [r.name for r in in_order(rows, Order.parse("-calls"))] == ["c", "a", "b", "none"]
