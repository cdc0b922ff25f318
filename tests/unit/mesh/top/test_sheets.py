"""Sheets: one server in detail, the columns to sort by, the help."""

from __future__ import annotations

import pytest
from rich.cells import cell_len

from mesh import AddressView
from mesh.top.board import Event
from mesh.top.columns import COLUMNS, STATES, Order
from mesh.top.rows import Row, Stats, row_of
from mesh.top.sheets import detail, help_sheet, sort_sheet
from tests.helpers.top import answer, view

EVIL = "\x1b[2J\x07\u202e\n"


def row(**fields: object) -> Row:
    """A server of two methods, one of which failed, and two addresses."""
    methods = [
        {
            "subject": "calc.add",
            "num_requests": 1000,
            "num_errors": 3,
            "last_error": "ValueError: no",
            "p50_ns": 2_000_000,
        },
        {"subject": "calc.sub", "num_requests": 0},
    ]
    told = Stats.read(answer(endpoints=methods, in_flight=2, capacity=4096, memory=48 << 20), told_at=0.0)
    tried = (AddressView("tcp://127.0.0.1:5001", "alive", ""), AddressView("tcp://10.0.0.1:1", "spare", "refused"))
    shown = view(**{"tried": tried, "txt": {"id": "id-1", "svc": "calc"}, **fields})
    return row_of(shown, told, met=True, rtts=(0.001, 0.002), now=0.25)


def text(row: Row, width: int = 100, events: tuple[Event, ...] = ()) -> str:
    return "\n".join(line.plain.rstrip() for line in detail(row, events, width))


def test_everything_about_a_server_is_there() -> None:
    assert text(row(note="it is slow")).splitlines() == [
        "calc-1  alive  calc",
        "it is slow",
        "",
        "rtt       2.00ms p50 1.00ms p99 2.00ms             in flight 2/4096, window 512",
        "calls     1000, -/s                                errors    3, -/s",
        "process   - % of a core, 48.0M                     up        1s",
        "version   1.0.0                                    speaks    mesh/1",
        "id        id-1                                     from      mdns",
        "heard     100ms ago                                told      250ms ago",
        "",
        "METHOD          CALLS  CALLS/S  ERRORS     P50     P95     P99  LAST ERROR",
        "calc.add         1000        -       3  2.00ms  0.00ms  0.00ms  ValueError: no",
        "calc.sub            0        -       0       -       -       -",
        "",
        "ADDRESSES",
        "tcp://127.0.0.1:5001  alive",
        "tcp://10.0.0.1:1      spare       refused",
        "",
        "TXT RECORD",
        "id=id-1",
        "svc=calc",
    ]


def test_its_own_events_are_there_the_newest_first() -> None:
    events = tuple(
        Event(f"10:00:0{number}", kind, peer_id, "calc-1", "why")
        for number, (kind, peer_id) in enumerate([("appeared", "id-1"), ("appeared", "id-2"), ("suspect", "id-1")])
    )
    assert text(row(), events=events).splitlines()[-3:] == [
        "EVENTS",
        "10:00:02  suspect      calc-1  why",
        "10:00:00  appeared     calc-1  why",
    ]


def test_what_is_not_known_is_said() -> None:
    unknown = text(row_of(view(state="waiting", txt={}), met=False))
    assert "it has told nothing of its methods" in unknown
    assert "nobody advertises it by mDNS" in unknown


@pytest.mark.parametrize("width", [1, 30, 79, 80, 200])
def test_the_figures_fit(width: int) -> None:
    figures = detail(row(), (), width)[2:]
    blank = next(number for number, line in enumerate(figures) if not line.plain)
    assert all(cell_len(line.plain) <= width for line in figures[:blank])


def test_text_of_a_server_cannot_reach_the_terminal() -> None:
    tried = (AddressView(EVIL, "spare", EVIL),)
    method = {"subject": EVIL, "num_requests": 1, "num_errors": 1, "last_error": EVIL}
    told = Stats.read(answer(endpoints=[method]), told_at=0.0)
    evil = view(
        name=EVIL, services=(EVIL,), note=EVIL, version=EVIL, proto=EVIL, sources=(EVIL,), tried=tried, txt={EVIL: EVIL}
    )
    event = Event("10:00:00", "suspect", "id-1", EVIL, EVIL)
    assert all(line.plain.isprintable() for line in detail(row_of(evil, told, met=True), (event,), 100))


@pytest.mark.parametrize("cursor", [0, 10, len(COLUMNS) - 1])
def test_the_cursor_is_always_in_sight(cursor: int) -> None:
    lines = sort_sheet(Order("rtt_s", down=True), cursor, 5)
    [at] = [line.plain for line in lines if line.spans and line.spans[-1].style == "reverse"]
    assert len(lines) == 5
    assert COLUMNS[cursor].title in at


def test_the_column_that_sorts_is_marked() -> None:
    lines = [line.plain for line in sort_sheet(Order("rtt_s", down=True), 0, 100)]
    assert [line.split()[1] for line in lines if line.startswith("▼")] == ["RTT"]
    assert len(lines) == len(COLUMNS)


def test_help_says_what_every_state_and_every_column_means() -> None:
    lines = [line.plain for line in help_sheet(80)]
    assert all(len(line) <= 80 for line in lines)
    first_words = {line.split("  ")[0] for line in lines}
    assert {*STATES, "q", "P", "D"} <= first_words
    assert {column.title for column in COLUMNS} - {"STATE"} <= first_words
