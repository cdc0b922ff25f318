"""What the demo looks like: from what happened to something that rich prints, for any width and height."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

__all__ = ["Event", "Lane", "Mark", "Stage", "Summary"]

_STYLES = {"alive": "green", "suspect": "yellow", "dead": "bold red", "gone": "red", "draining": "cyan"}
_BARS, _ASCII_BARS = " ▁▂▃▄▅▆▇█", " ._-=+*%#"
_GAPS_MS = (5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 300.0)
"""Upper ends of the gaps that have the lower seven bars."""
_GAP_GOOD_MS, _GAP_FAIR_MS = 20.0, 300.0
_LABELS = 22
"""Cells to the left of the lanes."""


@dataclass(frozen=True)
class Event:
    """Something worth a line; `style` is rich's."""

    at_s: float
    text: str
    style: str = ""


@dataclass(frozen=True)
class Mark:
    """Something that was done to a server, at a place in the lanes."""

    at_s: float
    text: str


@dataclass(frozen=True)
class Lane:
    """One server."""

    name: str
    state: str
    answered_s: Sequence[float]
    """When it answered, in seconds since the show began, in order."""


@dataclass(frozen=True)
class Stage:
    """Everything there is to see at one moment; times are seconds since the show began."""

    rate: float
    """Calls a second that are made."""
    elapsed_s: float
    length_s: float
    """Expected length of the show."""
    lanes: Sequence[Lane]
    marks: Sequence[Mark]
    events: Sequence[Event]
    failed: int

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Yield at most as many lines as there is room for; the newest events fill what the lanes leave."""
        width = options.max_width
        room = width - _LABELS - 2
        bars = _ASCII_BARS if options.ascii_only else _BARS
        answered = sorted(itertools.chain.from_iterable(lane.answered_s for lane in self.lanes))
        lines = [self._title(len(answered)), Text()]
        lines.append(_row("server", "state", "/s", Text("answers over time"), style="dim"))
        for lane in self.lanes:
            row = _row(lane.name, lane.state, str(self._rate_now(lane.answered_s)), self._bars(lane, room, bars))
            row.stylize(_STYLES.get(lane.state, "dim"), 0, _LABELS)
            lines.append(row)
        lines.append(_row("longest gap", "", f"{self._gap_now(answered):.0f} ms", self._gaps(answered, room, bars)))
        lines += self._mark_lines(room)
        lines.append(Text())
        height = (options.height or console.height) - 1
        lines += [_event_line(event) for event in self.events[-max(1, height - len(lines)) :]]
        for line in lines[:height]:
            line.truncate(width)
            line.no_wrap = True
            yield line

    def _title(self, answered: int) -> Text:
        title = Text.assemble(("freelance-mesh", "bold"), f"  {self.elapsed_s:4.1f} s  {answered:,} calls answered, ")
        title.append(f"{self.failed} failed", "bold red" if self.failed else "bold green")
        return title

    def _columns(self, room: int) -> tuple[float, int]:
        """Return the seconds of a column, and how many of `room` have begun."""
        column_s = max(self.length_s, self.elapsed_s) / room
        return column_s, min(room, int(self.elapsed_s / column_s) + 1)

    def _rate_now(self, answered_s: Sequence[float]) -> int:
        return sum(when > self.elapsed_s - 1.0 for when in answered_s)

    def _gap_now(self, answered: Sequence[float]) -> float:
        recent = [when for when in answered if when > self.elapsed_s - 1.0]
        ends = [*recent, self.elapsed_s]
        return 1000.0 * max((later - earlier for earlier, later in itertools.pairwise(ends)), default=1.0)

    def _bars(self, lane: Lane, room: int, bars: str) -> Text:
        column_s, begun = self._columns(room)
        counts = [0] * begun
        for when in lane.answered_s:
            counts[min(begun - 1, int(when / column_s))] += 1
        full = self.rate * column_s * 0.6  # a server's share is a third, or a half when one is gone
        levels = (min(8, max(count and 1, round(8 * count / full))) for count in counts)
        return Text("".join(bars[level] for level in levels), "blue")

    def _gaps(self, answered: Sequence[float], room: int, bars: str) -> Text:
        column_s, begun = self._columns(room)
        longest = [0.0] * begun
        for earlier, later in itertools.pairwise([*answered, self.elapsed_s]):
            for column in range(int(earlier / column_s), min(begun, int(later / column_s) + 1)):
                longest[column] = max(longest[column], 1000.0 * (later - earlier))
        line = Text()
        for gap_ms in longest:
            level = 1 + sum(gap_ms > bound for bound in _GAPS_MS) if gap_ms else 0
            style = "green" if gap_ms <= _GAP_GOOD_MS else "yellow" if gap_ms <= _GAP_FAIR_MS else "red"
            line.append(bars[level], style)
        return line

    def _mark_lines(self, room: int) -> list[Text]:
        """Write each mark where it belongs, on the first of two lines where it does not touch another."""
        column_s, _ = self._columns(room)
        written = [" " * (_LABELS + 2), " " * (_LABELS + 2)]
        for mark in self.marks:
            place = _LABELS + 2 + int(mark.at_s / column_s)
            line = min(range(2), key=lambda number: (len(written[number]) > place, len(written[number])))
            written[line] = f"{written[line][:place]:{place}}^{mark.text} "
        return [Text(line, "magenta") for line in written]


def _row(name: str, state: str, number: str, lane: Text, style: str = "") -> Text:
    label = f"{name:<12}{state:<3}{number:>7}" if name == "longest gap" else f"{name:<8}{state:<9}{number:>5}"
    return Text(style=style).append(f"{label:<{_LABELS}}  ").append_text(lane)


def _event_line(event: Event) -> Text:
    return Text.assemble((f"{event.at_s:5.2f} s  ", "dim"), (event.text, event.style))


@dataclass(frozen=True)
class Summary:
    """How it ended."""

    calls: int
    failed: int
    calm_gap_ms: float
    """Longest time without an answer before the first fault."""
    gaps_ms: dict[str, float]
    """Longest time without an answer after each fault."""
    errors: list[str]

    def lines(self) -> Iterable[Text]:
        """Return it as lines for people."""
        yield Text.assemble(("calls made", "bold"), f"          {self.calls:>8,}")
        style = "bold red" if self.failed else "bold green"
        yield Text.assemble(("calls failed", "bold"), "        ", (f"{self.failed:>8,}", style))
        yield Text.assemble(("longest gap", "bold"), f"         {self.calm_gap_ms:>8.1f} ms  while nothing was wrong")
        for fault, gap_ms in self.gaps_ms.items():
            yield Text(f"{gap_ms:>28.1f} ms  after {fault}")
        for error in self.errors[:5]:
            yield Text(f"failed: {error}", "red")
