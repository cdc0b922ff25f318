"""What lies over the table: one server in detail, the columns to sort by, and the help. Lines of any number."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.text import Text

from mesh.top.board import Event
from mesh.top.columns import COLUMNS, STATES, Order, field_of
from mesh.top.figures import ABSENT, count_text, latency_text, rate_text
from mesh.top.rows import Method, Row
from mesh.top.table import FAINT, GAP, STATE_STYLES, clean, fit

__all__ = ["detail", "event_lines", "help_sheet", "sort_sheet"]

_HEADING = "bold cyan"
_EVENT_STYLES = {"appeared": "green", "back": "green", "failed over": "yellow", **STATE_STYLES}
_METHOD_WIDTHS = (7, 7, 6, 6, 6, 6)
_METHOD_TITLES = ("CALLS", "CALLS/S", "ERRORS", "P50", "P95", "P99")
_NAME_MIN, _NAME_MAX = 12, 32
_SPARE = ("spare", "waiting")

_KEYS = (
    ("↑ ↓  j k", "select a server; also Page Up, Page Down, Home, End"),
    ("Enter", "look closer at it: its methods, addresses and TXT record"),
    ("Escape", "back; drop the filter; select none"),
    ("s", "choose the column to sort by; < and > (← →) take the next one"),
    ("r", "reverse the order"),
    ("/", "filter while you type: each word must occur somewhere in a row; Enter keeps it"),
    ("p  Space", "pause: the screen stands still; the figures of the pause are not lost"),
    ("P", "ask the selected server for a sign of life"),
    ("D", "drain it: it finishes the calls that it has and takes no more; of one that drains: take it back"),
    ("q", "quit"),
)


def detail(row: Row, events: Iterable[Event], width: int) -> list[Text]:
    """Return everything about one server."""
    lines = [_identity(row), *_wrapped(row.note, width, STATE_STYLES.get(row.state, ""))]
    lines += [Text(), *_pairs(row, width), Text(), *_methods(row.methods, width)]
    lines += [Text(), Text("ADDRESSES", _HEADING)]
    size = max((len(address.endpoint) for address in row.addresses), default=0)
    for address in row.addresses:
        style = "green" if address.state == "alive" else "" if address.state in _SPARE else "yellow"
        line = Text.assemble(clean(address.endpoint).ljust(size), GAP, (f"{address.state:<10}", style))
        lines.append(line.append(f"{GAP}{clean(address.note)}", FAINT))
    lines += [Text(), Text("TXT RECORD", _HEADING)]
    lines += [Text.assemble((clean(key), FAINT), "=", clean(value)) for key, value in row.txt.items()]
    if not row.txt:
        lines.append(Text("nobody advertises it by mDNS", FAINT))
    happened = [event for event in events if event.peer_id == row.peer_id]
    if happened:
        lines += [Text(), Text("EVENTS", _HEADING), *event_lines(happened[::-1])]
    return lines


def sort_sheet(order: Order, cursor: int, room: int) -> list[Text]:
    """Return the columns to choose from, as many as there is room for around the cursor."""
    lines = []
    for number, column in enumerate(COLUMNS):
        arrow = ("▼" if order.down else "▲") if column.key == order.key else " "
        line = Text.assemble(f"{arrow} ", (f"{column.title:<11}", "bold"), (f"{GAP}{column.meaning}", FAINT))
        if number == cursor:
            line.stylize("reverse")
        lines.append(line)
    first = min(max(0, cursor - room // 2), max(0, len(lines) - room))
    return lines[first : first + room]


def help_sheet(width: int) -> list[Text]:
    """Return what the keys do and what the states mean."""
    lines = [Text("KEYS", _HEADING)]
    for key, meaning in _KEYS:
        lines += _explained(key, meaning, width, "bold")
    lines += [Text(), Text("STATES", _HEADING)]
    for state, meaning in STATES.items():
        lines += _explained(state, meaning, width, STATE_STYLES.get(state, FAINT))
    lines += [Text(), Text("COLUMNS", _HEADING)]
    for column in COLUMNS:
        if column.key != "state":
            lines += _explained(column.title, column.meaning, width, "bold")
    return lines


def event_lines(events: Sequence[Event]) -> list[Text]:
    """Return one line of the log for each event."""
    size = max((cell_len(clean(event.name)) for event in events), default=0)
    return [
        Text.assemble(
            (f"{event.clock}{GAP}", FAINT),
            (f"{event.kind:<11}{GAP}", _EVENT_STYLES.get(event.kind, FAINT)),
            (fit(clean(event.name), min(size, _NAME_MAX)), "bold"),
            (f"{GAP}{clean(event.detail)}", FAINT),
        )
        for event in events
    ]


def _identity(row: Row) -> Text:
    line = Text.assemble((clean(row.name), "bold"), GAP, (row.state, STATE_STYLES.get(row.state, FAINT)), GAP)
    return line.append(clean(", ".join(row.services)))


def _pairs(row: Row, width: int) -> list[Text]:
    """Return the figures with their names, in as many columns as there is room for."""
    shown = {
        "rtt": f"{_text('rtt_s', row)} p50 {_text('rtt_p50_s', row)} p99 {_text('rtt_p99_s', row)}",
        "in flight": f"{_text('in_flight', row)}, window {row.window}",
        "calls": f"{_text('calls', row)}, {rate_text(row.calls_per_s)}/s",
        "errors": f"{_text('errors', row)}, {rate_text(row.errors_per_s)}/s",
        "process": f"{rate_text(row.cpu_percent)} % of a core, {_text('memory', row)}",
        "up": _text("uptime_s", row),
        "version": row.version or ABSENT,
        "speaks": row.proto,
        "id": row.peer_id,
        "from": _text("sources", row),
        "heard": f"{latency_text(row.last_seen_s)} ago" if row.last_seen_s is not None else ABSENT,
        "told": f"{latency_text(row.age_s)} ago" if row.age_s is not None else ABSENT,
    }
    cells = [Text.assemble((f"{name:<10}", FAINT), clean(value)) for name, value in shown.items()]
    across = 2 if width >= 80 else 1
    size = (width - len(GAP) * (across - 1)) // across
    lines = []
    for start in range(0, len(cells), across):
        for cell in cells[start : start + across]:
            cell.truncate(size, pad=True)
        lines.append(Text(GAP).join(cells[start : start + across]))
    return lines


def _text(key: str, row: Row) -> str:
    return field_of(key).text(row)


def _methods(methods: Sequence[Method], width: int) -> list[Text]:
    size = min(_NAME_MAX, max([_NAME_MIN, *(len(method.name) for method in methods)]))
    titles = [
        fit("METHOD", size),
        *(title.rjust(cells) for title, cells in zip(_METHOD_TITLES, _METHOD_WIDTHS, strict=True)),
    ]
    lines = [Text(GAP.join([*titles, "LAST ERROR"]), _HEADING)]
    for method in methods:
        figures = (
            count_text(method.calls),
            rate_text(method.calls_per_s),
            count_text(method.errors),
            latency_text(method.p50_s),
            latency_text(method.p95_s),
            latency_text(method.p99_s),
        )
        written = [figure.rjust(cells) for figure, cells in zip(figures, _METHOD_WIDTHS, strict=True)]
        line = Text(GAP.join([fit(clean(method.name), size), *written]))
        if method.errors:
            line.append(f"{GAP}{clean(method.last_error)}", "red")
        lines.append(line)
    if not methods:
        lines.append(Text("it has told nothing of its methods", FAINT))
    return lines


def _explained(word: str, meaning: str, width: int, style: str) -> list[Text]:
    first, *more = _fill(meaning, width - 14)
    return [Text.assemble((f"{word:<12}", style), GAP, first), *(Text(" " * 14 + part) for part in more)]


def _wrapped(text: str, width: int, style: str) -> list[Text]:
    return [Text(line, style) for line in _fill(clean(text), width)] if text else []


def _fill(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(20, width)) or [""]
