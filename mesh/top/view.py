"""The whole screen, from what there is to show and how it is looked at; fits any width and height."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from mesh.top.board import Screen
from mesh.top.columns import Field
from mesh.top.controls import DETAIL, DRAIN, FILTER, HELP, RESUME, SORT, Controls
from mesh.top.figures import plain, rate_text, sparkline
from mesh.top.rows import Row
from mesh.top.sheets import detail, event_lines, help_sheet, sort_sheet
from mesh.top.table import FAINT, GAP, STATE_STYLES, clean, table

__all__ = ["View"]

_HEAD = 3
"""Lines above the table or sheet: two of figures, and a blank one."""
_PEAK_WIDTH = 11
"""Cells for the greatest of the calls per second so far."""
_EVENTS_SHARE = 4
"""One line in so many is for events where the rows want more room than there is."""
_EVENTS_MAX = 12
_EVENTS_FROM = 10
"""Lines that a screen has at least to show any."""
_KEYS = {
    "": (
        ("q", "quit"),
        ("?", "help"),
        ("↑↓", "select"),
        ("Enter", "details"),
        ("s", "sort"),
        ("r", "reverse"),
        ("/", "filter"),
        ("p", "pause"),
    ),
    DETAIL: (
        ("Esc", "back"),
        ("↑↓", "other server"),
        ("→", "next page"),
        ("P", "ping"),
        ("D", "drain"),
        ("p", "pause"),
    ),
    SORT: (("↑↓", "choose"), ("Enter", "sort by it, or reverse"), ("Esc", "back")),
    HELP: (("→", "next page"), ("Esc", "back")),
}
_QUESTIONS = {
    DRAIN: ("drain {}?", "it finishes the calls that it has and takes no more"),
    RESUME: ("take {} back?", "it takes calls again"),
}


class View:
    """The whole screen, made for the width and height that it is printed at.

    Args:
        screen: What there is to show.
        controls: How it is looked at.
        realm: Name of the mesh, for the header.
        columns: Those of the table; none: as many as there is room for.
    """

    def __init__(self, screen: Screen, controls: Controls, realm: str, columns: Sequence[Field] = ()) -> None:
        self._screen = screen
        self._controls = controls
        self._realm = realm
        self._columns = columns

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield as many lines as there is room for."""
        width, height = options.max_width, options.height or console.height
        rows = self._controls.chosen(self._screen.rows)
        room = max(1, height - _HEAD - 1)
        body, pages = self._sheet(rows, width, room) if self._controls.sheet else (self._table(rows, width, room), 1)
        lines = [self._summary(width), self._pace(width), Text(), *body]
        lines += [Text()] * (height - 1 - len(lines))
        for line in [*lines[: height - 1], self._last_line(rows, pages)]:
            line.truncate(width)
            line.no_wrap = True
            if options.ascii_only:
                line.plain = plain(line.plain)
            yield line

    # -- the head

    def _summary(self, width: int) -> Text:
        screen, totals = self._screen, self._screen.totals
        line = Text.assemble(("mesh-top", "bold"), f"{GAP}{self._realm}{GAP}", _counted(totals.servers, "server"))
        for state, count in totals.states.items():
            line.append(GAP)
            line.append("●", STATE_STYLES.get(state, ""))
            line.append(f" {count} {state}")
        more = [_counted(totals.services, "service")]
        if screen.strangers:
            more.append(f"+ {screen.strangers} of other realms")
        if screen.departed:
            more.append(f"+ {screen.departed} long dead")
        for part in more:
            if line.cell_len + len(part) + 2 * len(GAP) + len(screen.clock) <= width:
                line.append(GAP + part, FAINT)
        line.append(" " * max(len(GAP), width - line.cell_len - len(screen.clock)))
        return line.append(screen.clock, FAINT)

    def _pace(self, width: int) -> Text:
        """Return the totals; what is left of the line is for the calls per second so far, the newest at its end."""
        totals, history = self._screen.totals, self._screen.history
        line = Text.assemble((f"{rate_text(totals.calls_per_s):>5}", "bold"), f" calls/s{GAP}")
        line.append(f"{rate_text(totals.errors_per_s):>5}", "bold red" if totals.errors_per_s else "")
        line.append(f" errors/s{GAP}{totals.in_flight:>5} in flight{GAP}")
        chart = history[-max(0, width - line.cell_len - _PEAK_WIDTH) or len(history) :]
        if not chart or width - line.cell_len < 2 * _PEAK_WIDTH:
            return line
        line.append(" " * (width - line.cell_len - _PEAK_WIDTH - len(chart)))
        line.append(f"{'max ' + rate_text(max(chart)):>{_PEAK_WIDTH - len(GAP)}}{GAP}", FAINT)
        return line.append(sparkline(chart), "cyan")

    # -- the body

    def _table(self, rows: Sequence[Row], width: int, room: int) -> list[Text]:
        events = self._screen.events
        count = 0
        if room + _HEAD + 1 >= _EVENTS_FROM:
            # Two lines: the titles above the rows, and what stands between rows and events.
            count = min(len(events), _EVENTS_MAX, max(room - 2 - len(rows), room // _EVENTS_SHARE))
        shown, first = self._around_selected(rows, room - 1 - (count + 1 if count else 0))
        lines = table(shown, self._controls.order, width, self._columns, self._controls.selected, rows)
        if not rows:
            lines.append(Text(self._nothing(), FAINT))
        if not count:
            return lines
        lines += [Text()] * (room - count - 1 - len(lines))
        where = f" {first + 1}-{first + len(shown)} of {len(rows)} " if len(shown) < len(rows) else ""
        lines.append(Text(f"───{where}".ljust(width, "─"), FAINT))
        return lines + event_lines(events[-count:])

    def _around_selected(self, rows: Sequence[Row], room: int) -> tuple[Sequence[Row], int]:
        """Return as many rows as there is room for, the selected one in their midst, and the number of the first."""
        row = self._controls.row(rows)
        at = rows.index(row) if row else 0
        first = min(max(0, at - room // 2), max(0, len(rows) - room))
        return rows[first : first + max(0, room)], first

    def _nothing(self) -> str:
        if self._screen.rows:
            return f"none of {_counted(len(self._screen.rows), 'server')} fits the filter"
        return "no server seen yet: is one running, on this network and in this realm?"

    def _sheet(self, rows: Sequence[Row], width: int, room: int) -> tuple[list[Text], int]:
        """Return the lines of a page, and how many pages there are."""
        controls = self._controls
        if controls.sheet == SORT:
            return sort_sheet(controls.order, controls.cursor, room), 1
        row = controls.row(rows)
        if controls.sheet == HELP:
            lines = help_sheet(width)
        elif row is not None:
            lines = detail(row, self._screen.events, width)
        else:
            lines = [Text("this server has left, or does not fit the filter", FAINT)]
        pages = max(1, -(-len(lines) // room))
        first = controls.page % pages * room
        return lines[first : first + room], pages

    # -- the last line

    def _last_line(self, rows: Sequence[Row], pages: int) -> Text:
        controls = self._controls
        line, row = Text(), controls.row(rows)
        if controls.prompt == FILTER:
            line.append("filter: ", "bold").append(clean(controls.filter)).append(" ", "reverse")
            return line.append(f"{GAP}Enter keeps it, Escape drops it", FAINT)
        if controls.prompt:
            question, consequence = _QUESTIONS[controls.prompt]
            line.append(question.format(clean(row.name) if row else "it"), "bold yellow")
            return line.append(f"{GAP}y: yes, any other key: no").append(f"{GAP}{consequence}", FAINT)
        if controls.paused:
            line.append(" PAUSED ", "reverse").append(GAP)
        if controls.message:
            return line.append(clean(controls.message), "bold")
        if not controls.sheet and row is not None and row.note:
            line.append(f"{clean(row.name)}: {clean(row.note)}{GAP}", STATE_STYLES.get(row.state, ""))
        if controls.filter and not controls.sheet:
            line.append("filter: ", "bold").append(clean(controls.filter) + GAP)
        if pages > 1:
            line.append(f"page {controls.page % pages + 1} of {pages}{GAP}", FAINT)
        for key, meaning in _KEYS[controls.sheet]:
            line.append(key, "bold").append(f" {meaning}{GAP}", FAINT)
        return line


def _counted(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"
