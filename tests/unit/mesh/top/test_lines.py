"""What programs get: every field of every row, and only those that were asked for."""

from __future__ import annotations

import csv
import json

from mesh import AddressView
from mesh.top.columns import COLUMNS, FIELDS, field_of
from mesh.top.lines import csv_lines, csv_titles, json_lines, table_lines
from mesh.top.rows import Row, Stats, row_of
from tests.helpers.top import answer, view


def row(**fields: object) -> Row:
    """A server of one method that was called twice, and failed once."""
    method = {"subject": "calc.add", "num_requests": 2, "num_errors": 1, "last_error": "no", "p50_ns": 1_234_567}
    told = Stats.read(answer(endpoints=[method]), told_at=0.0)
    tried = (AddressView("tcp://127.0.0.1:5001", "alive", ""), AddressView("tcp://10.0.0.1:1", "spare", "refused"))
    shown = view(tried=tried, txt={"id": "id-1", "svc": "calc"}, **fields)
    return row_of(shown, told, met=True, rtts=(0.0004201234,), now=0.25, time="2026-07-01T10:00:00.000+00:00")


def test_a_row_in_json_has_every_field() -> None:
    [line] = json_lines([row()])
    told = json.loads(line)
    assert list(told) == [field.key for field in FIELDS]
    assert (told["name"], told["services"], told["calls"], told["calls_per_s"]) == ("calc-1", ["calc"], 2, None)
    assert (told["rtt_s"], told["rtt_history_s"], told["age_s"]) == (0.00042, [0.00042], 0.25)
    assert told["methods"] == [
        {
            "name": "calc.add",
            "calls": 2,
            "calls_per_s": None,
            "errors": 1,
            "last_error": "no",
            "p50_s": 0.001235,
            "p95_s": 0.0,
            "p99_s": 0.0,
        }
    ]
    assert told["addresses"][1] == {"endpoint": "tcp://10.0.0.1:1", "state": "spare", "note": "refused"}
    assert told["txt"] == {"id": "id-1", "svc": "calc"}


def test_fields_that_were_asked_for_are_the_only_ones_in_that_order() -> None:
    fields = [field_of("state"), field_of("name")]
    assert list(json_lines([row()], fields)) == ['{"state": "alive", "name": "calc-1"}']
    assert csv_titles(fields) == "state,name"
    assert list(csv_lines([row()], fields)) == ["alive,calc-1"]
    assert list(table_lines([row()], fields)) == ["STATE     NAME", "alive     calc-1"]


def test_csv_has_every_column_and_quotes_what_has_a_comma() -> None:
    [line] = csv_lines([row(name='a, "b"', services=("calc", "text"))])
    [cells] = csv.reader([line])
    told = dict(zip(csv_titles().split(","), cells, strict=True))
    assert list(told) == [column.key for column in COLUMNS]
    assert (told["name"], told["services"], told["rtt_s"], told["calls_per_s"]) == (
        'a, "b"',
        "calc text",
        "0.00042",
        "",
    )


def test_a_table_for_a_pipe_has_all_usual_columns_and_cuts_no_line() -> None:
    titles, line = table_lines([row(note="no PONG within 1 s " * 3, name="n" * 60)])
    assert titles.split() == [column.title for column in COLUMNS if column.rank]
    assert line.startswith("n" * 60)
    assert line.endswith("no PONG within 1 s")


def test_a_table_where_there_is_nothing_but_ascii() -> None:
    assert all(line.isascii() for line in table_lines([row()], ascii_only=True))
