"""From rows to something that rich prints: fits any width and height, wraps nothing, trusts no text of a server."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mesh.top.board import Event, Screen
from mesh.top.columns import COLUMNS, Column, Order, in_order, rate_text
from mesh.top.controls import Controls
from mesh.top.rows import Row, filtered

__all__ = ["View", "table"]

_GAP = "  "
_STATE_STYLES = {
    "alive": "green",
    "suspect": "yellow",
    "draining": "cyan",
    "ejected": "yellow",
    "dead": "bold red",
    "unverified": "magenta",
    "advertised": "magenta",
}
_EVENT_STYLES = {
    "appeared": "green",
    "back": "green",
    "suspect": "yellow",
    "lost": "bold red",
    "draining": "cyan",
    "ejected": "yellow",
}
_FAINT_STATES = ("gone", "ignored")
_KEYS = (("q", "quit"), ("p", "pause"), ("s", "sort by the next column"), ("r", "reverse"), ("/", "filter"))
_BARS = "▁▂▃▄▅▆▇█"
_BARS_ASCII = "_.-=+*%#"


class View:
    """The whole screen, made for the width and height that it is printed at.

    Args:
        screen: What there is to show.
        controls: How it is looked at.
        realm: Name of the mesh, for the header.
    """

    def __init__(self, screen: Screen, controls: Controls, realm: str) -> None:
        self._screen = screen
        self._controls = controls
        self._realm = realm

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield as many lines as there is room for."""
        width, height = options.max_width, options.height or console.height
        controls = self._controls
        rows = in_order(filtered(self._screen.rows, controls.filter), controls.order)
        # Two lines of header, a blank one, the titles, and the last line, which says what the keys do.
        room = max(1, height - 5)
        events = self._events(min(len(self._screen.events), max(room - len(rows) - 1, room // 3)), room)
        shown = rows[: room - len(events)]
        if len(shown) < len(rows):
            shown = shown[:-1]
        lines = [self._summary(), self._pace(width, ascii_only=options.ascii_only), Text()]
        lines += table(shown, controls.order, width)
        if len(shown) < len(rows):
            lines.append(Text(f"and {len(rows) - len(shown)} more: filter them, or sort what matters up", "dim"))
        elif not rows:
            lines.append(Text(self._nothing(), "dim"))
        lines += [Text()] * (height - 1 - len(lines) - len(events))
        lines += events
        for line in [*lines[: height - 1], self._last_line()]:
            line.truncate(width)
            line.no_wrap = True
            yield line

    def _summary(self) -> Text:
        totals = self._screen.totals
        line = Text.assemble(("mesh-top", "bold"), f"{_GAP}{self._screen.clock}{_GAP}realm {_clean(self._realm)}{_GAP}")
        line.append(f"{totals.servers} server{'' if totals.servers == 1 else 's'}")
        for state, count in totals.states.items():
            line.append(f", {count} {state}", _STATE_STYLES.get(state, ""))
        line.append(f"{_GAP}{totals.services} service{'' if totals.services == 1 else 's'}")
        if self._screen.strangers:
            line.append(f"{_GAP}{self._screen.strangers} more in other realms", "dim")
        return line

    def _pace(self, width: int, *, ascii_only: bool) -> Text:
        totals = self._screen.totals
        line = Text(f"calls/s {rate_text(totals.calls_per_s):>5}{_GAP}errors/s ")
        line.append(f"{rate_text(totals.errors_per_s):>5}", "bold red" if totals.errors_per_s else "")
        line.append(f"{_GAP}in flight {totals.in_flight}{_GAP}")
        room = max(0, width - line.cell_len)
        history = self._screen.history[-room:] if room else ()
        line.append(_sparkline(history, _BARS_ASCII if ascii_only else _BARS), "cyan")
        return line

    def _nothing(self) -> str:
        if self._screen.rows:
            return f"none of {len(self._screen.rows)} servers fits the filter"
        return "no server seen yet: is one running, on this network and in this realm?"

    def _events(self, count: int, room: int) -> list[Text]:
        """Return a blank line and the last `count` events; nothing where the table needs the room."""
        if count < 1 or room < 6:
            return []
        return [Text(), *map(_event_line, self._screen.events[-count:])][: max(0, room - 1)]

    def _last_line(self) -> Text:
        controls = self._controls
        line = Text()
        if controls.typing:
            line.append("filter: ", "bold")
            line.append(_clean(controls.filter))
            line.append(" ", "reverse")
            line.append(f"{_GAP}Enter keeps it, Escape drops it", "dim")
            return line
        if controls.paused:
            line.append(" PAUSED ", "reverse")
            line.append(_GAP)
        if controls.filter:
            line.append("filter: ", "bold")
            line.append(_clean(controls.filter) + _GAP)
        for key, meaning in _KEYS:
            line.append(key, "bold")
            line.append(f" {meaning}{_GAP}", "dim")
        return line


def table(rows: Sequence[Row], order: Order | None = None, width: int | None = None) -> list[Text]:
    """Return the titles and one line for each row; columns that have no room in `width` cells are left out."""
    cells = {column: [_clean(column.text(row)) for row in rows] for column in COLUMNS}
    widths = _widths(cells, order, width)
    titles = Text(_GAP).join(_title(column, order, widths[column]) for column in widths)
    titles.stylize("bold")
    lines = [titles]
    for index, row in enumerate(rows):
        line = Text(_GAP).join(
            Text(_fit(cells[column][index], size, column.number), _style(column, row))
            for column, size in widths.items()
        )
        if row.state in _FAINT_STATES:
            line.stylize("dim")
        lines.append(line)
    for line in lines:
        line.rstrip()
    return lines


def _widths(cells: dict[Column, list[str]], order: Order | None, width: int | None) -> dict[Column, int]:
    """Choose the columns that fit, by rank; the one that sorts is chosen right after the name."""
    natural = {
        column: min(column.width_max, max([column.width_min, _title(column, order).cell_len, *map(cell_len, texts)]))
        for column, texts in cells.items()
    }
    if width is None:
        return natural
    sorting = order.key if order else ""
    chosen: dict[Column, int] = {}
    left = width
    for column in sorted(natural, key=lambda column: (column.rank > 0 and column.key != sorting, column.rank)):
        # The first is always there, however narrow the terminal.
        size = natural[column] if chosen else min(natural[column], width)
        gap = len(_GAP) if chosen else 0
        if size + gap > left and column.key == "note" and left - gap >= 2 * column.width_min:
            size = left - gap  # words may be cut
        if size + gap <= left:
            chosen[column] = size
            left -= size + gap
    return {column: chosen[column] for column in COLUMNS if column in chosen}


def _title(column: Column, order: Order | None, width: int | None = None) -> Text:
    sorts = order is not None and order.key == column.key
    text = column.title + (("v" if order.down else "^") if order is not None and sorts else "")
    return Text(text if width is None else _fit(text, width, column.number), "reverse" if sorts else "")


def _style(column: Column, row: Row) -> str:
    if column.key == "state":
        return _STATE_STYLES.get(row.state, "")
    if column.key == "name":
        return "bold"
    if column.key == "errors/s" or (column.key == "errors" and row.errors_per_s):
        return "red" if row.errors_per_s else ""
    return ""


def _event_line(event: Event) -> Text:
    return Text.assemble(
        (f"{event.clock}{_GAP}", "dim"),
        (f"{event.kind:<11}{_GAP}", _EVENT_STYLES.get(event.kind, "")),
        (_clean(event.name), "bold"),
        (f"{_GAP}{_clean(event.detail)}", "dim"),
    )


def _sparkline(values: Sequence[float], bars: str) -> str:
    most = max(values, default=0.0)
    return "".join(bars[round((len(bars) - 1) * value / most)] if most else bars[0] for value in values)


def _fit(text: str, width: int, right: bool) -> str:
    """Return the text in exactly `width` cells."""
    if right and cell_len(text) < width:
        return " " * (width - cell_len(text)) + text
    return set_cell_size(text, width)


def _clean(text: str) -> str:
    """Replace what a terminal would obey: names, notes and versions come from anybody on the network."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)
