"""Columns: how values are written and sorted."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from mesh.top.columns import COLUMNS, FIELDS, STATES, Field, Order, field_of, in_order
from mesh.top.rows import Row, row_of
from tests.helpers.top import stats, view


def row(name: str = "a", **fields: object) -> Row:
    return row_of(view(name=name, peer_id=name), stats(**fields), stats(uptime_s=9.0), met=True)


def text(key: str, row: Row) -> str:
    return next(column for column in COLUMNS if column.key == key).text(row)


def test_calls_in_flight_are_shown_with_how_many_the_server_admits() -> None:
    assert text("in_flight", row(in_flight=3, capacity=4096)) == "3/4096"
    assert text("in_flight", row_of(view(), met=True)) == "-"


def test_what_is_not_known_is_a_dash() -> None:
    absent = row_of(view(state="waiting", rtt_s=None, services=(), address="", sources=(), version=""), met=False)
    texts = {column.key: column.text(absent) for column in COLUMNS}
    told = ("name", "state", "rtt_history_s", "peer_id", "proto", "window", "last_seen_s")
    assert {text for key, text in texts.items() if key not in told} == {"-"}


def test_a_field_is_found_by_its_key_and_by_its_title() -> None:
    assert field_of("calls_per_s") is field_of("CALLS/S") is field_of("calls/s")
    assert field_of("RTT").key == "rtt_s"
    with pytest.raises(ValueError, match="there is no field 'foo'; take one of name, state"):
        field_of("foo")


def test_names_and_titles_of_fields_are_never_confused() -> None:
    names = [name for field in FIELDS for name in {field.key, field.title.casefold()} if name]
    assert len(names) == len(set(names))


def test_every_field_of_a_row_is_documented_and_no_other() -> None:
    fields = {field.key for field in FIELDS}
    inner = {"told", "before", "faded"}
    assert fields == {field.name for field in dataclasses.fields(Row)} - inner | {"methods"}
    readme = (Path(__file__).parents[4] / "README.md").read_text(encoding="utf-8")
    for field in FIELDS:
        assert f"| `{field.key}` | {field.title} | {field.meaning} |" in readme
    assert "; ".join(f"`{state}`: {meaning}" for state, meaning in STATES.items()) in " ".join(readme.split())


def test_an_order_is_read_from_a_field_with_or_without_a_minus() -> None:
    assert Order.parse("calls_per_s") == Order("calls_per_s", down=False)
    assert Order.parse("-err/s") == Order("errors_per_s", down=True)
    with pytest.raises(ValueError, match="there is no field 'foo'"):
        Order.parse("-foo")
    with pytest.raises(ValueError, match="'txt' has no order; take one of name, state"):
        Order.parse("txt")


def test_orders_go_round_in_both_directions_and_numbers_are_sorted_downwards() -> None:
    keys = [column.key for column in COLUMNS]
    order, seen = Order(), []
    for _ in COLUMNS:
        order = order.step(1)
        seen.append((order.key, order.down))
    assert [key for key, _ in seen] == [*keys[1:], "name"]
    assert ("calls_per_s", True) in seen
    assert ("state", False) in seen
    assert Order().step(-1).key == keys[-1]


def test_numbers_in_names_are_numbers() -> None:
    names = ["node-1", "node-2", "node-10", "Node-11", "node-11b", "x", "²"]
    assert [row.name for row in in_order([row(name) for name in reversed(names)], Order())] == names


def test_states_are_sorted_by_how_much_they_need_somebodys_eyes() -> None:
    rows = [row_of(view(name=state, state=state), met=True) for state in ("alive", "draining", "dead", "suspect")]
    assert [row.name for row in in_order(rows, Order("state"))] == ["dead", "suspect", "draining", "alive"]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda column: column.key)
def test_rows_can_be_sorted_by_every_column(column: Field) -> None:
    rows = [row("a", calls=1), row("b", calls=2), row_of(view(name="c"), met=True)]
    assert len(in_order(rows, Order(column.key))) == len(in_order(rows, Order(column.key, down=True))) == 3


def test_rows_without_a_value_come_last_either_way_and_equal_ones_by_name() -> None:
    rows = [row("b", calls=5), row("none", uptime_s=9.0), row("c", calls=7), row("a", calls=5)]
    assert [r.name for r in in_order(rows, Order.parse("calls/s"))] == ["a", "b", "c", "none"]
    assert [r.name for r in in_order(rows, Order.parse("-calls/s"))] == ["c", "a", "b", "none"]
