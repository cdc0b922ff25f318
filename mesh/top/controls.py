"""What the keys have chosen: a value, and the next value after each key."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from mesh.top.columns import COLUMNS, Order, in_order
from mesh.top.rows import Row, filtered

__all__ = ["DETAIL", "DRAIN", "FILTER", "HELP", "PING", "RESUME", "SORT", "Ask", "Controls"]

FILTER, DRAIN, RESUME = "filter", "drain", "resume"
PING = "ping"
DETAIL, SORT, HELP = "detail", "sort", "help"
_PAGE = 10
_FILTER_MAX = 60
_MOVES = {
    **dict.fromkeys(("up", "k"), -1),
    **dict.fromkeys(("down", "j"), 1),
    "page up": -_PAGE,
    "page down": _PAGE,
    **dict.fromkeys(("home", "g"), -(10**9)),
    **dict.fromkeys(("end", "G"), 10**9),
}
_SELECT_FIRST = "select a server first, with the arrows up and down"


@dataclass(frozen=True, slots=True)
class Ask:
    """Something to be asked of a server."""

    what: str
    """PING, DRAIN or RESUME."""
    peer_id: str
    name: str


@dataclass(frozen=True, slots=True)
class Controls:
    """How the screen is looked at."""

    order: Order = field(default_factory=Order)
    filter: str = ""
    """Words that a row must have to be shown."""
    selected: str = ""
    """Id of the server whose row is selected; empty: none is."""
    sheet: str = ""
    """What lies over the table: DETAIL of the selected server, SORT, HELP; empty: nothing."""
    prompt: str = ""
    """What the next keys answer: FILTER, or the question before a DRAIN or RESUME; empty: nothing."""
    cursor: int = 0
    """Which column is chosen on the sheet SORT."""
    page: int = 0
    """Which page of the sheet is shown; after the last comes the first."""
    paused: bool = False
    """Whether the screen stands still; what happens meanwhile is shown afterwards."""
    quitting: bool = False
    message: str = ""
    """What there is to say to whoever pressed the last key."""
    ask: Ask | None = None
    """What the last key wants to be asked."""

    def chosen(self, rows: Iterable[Row]) -> list[Row]:
        """Return the rows that are shown, in order."""
        return in_order(filtered(rows, self.filter), self.order)

    def row(self, rows: Iterable[Row]) -> Row | None:
        """Return the row that is selected, if it is shown."""
        return next((row for row in rows if row.peer_id == self.selected), None)

    def after(self, key: str, rows: Sequence[Row]) -> Controls:
        """Return what holds after a key.

        Args:
            key: Its name, see `keys_in`.
            rows: The rows that are shown, in order.
        """
        before = replace(self, message="", ask=None)
        if self.prompt == FILTER:
            return before._typed(key)
        if self.prompt:
            return before._confirmed(key, rows)
        match self.sheet:
            case "sort":
                return before._sorting(key)
            case "detail":
                return before._looking_closer(key, rows)
            case "help":
                return before._turned(key) or before._closed()
        return before._pressed(key, rows)

    def _pressed(self, key: str, rows: Sequence[Row]) -> Controls:
        match key:
            case "q":
                return replace(self, quitting=True)
            case "p" | " ":
                return replace(self, paused=not self.paused)
            case "/":
                return replace(self, prompt=FILTER)
            case "r":
                return replace(self, order=self.order.reversed())
            case "<" | "left":
                return replace(self, order=self.order.step(-1))
            case ">" | "right":
                return replace(self, order=self.order.step(1))
            case "s":
                keys = [column.key for column in COLUMNS]
                return replace(self, sheet=SORT, cursor=keys.index(self.order.key))
            case "?" | "h":
                return replace(self, sheet=HELP, page=0)
            case "enter" if rows:
                return replace(self, sheet=DETAIL, page=0, selected=(self.row(rows) or rows[0]).peer_id)
            case "escape":
                return replace(self, filter="") if self.filter else replace(self, selected="")
        if key in _MOVES:
            return self._moved(_MOVES[key], rows)
        return self._acted(key, rows)

    def _looking_closer(self, key: str, rows: Sequence[Row]) -> Controls:
        match key:
            case "p" | " ":
                return replace(self, paused=not self.paused)
            case "?" | "h":
                return replace(self, sheet=HELP, page=0)
            case "q" | "escape" | "enter" | "backspace":
                return self._closed()
            case "up" | "k" | "down" | "j":
                return replace(self._moved(_MOVES[key], rows), page=0)
        return self._turned(key) or self._acted(key, rows)

    def _turned(self, key: str) -> Controls | None:
        match key:
            case "right" | "page down" | " ":
                return replace(self, page=self.page + 1)
            case "left" | "page up":
                return replace(self, page=self.page - 1)
        return None

    def _sorting(self, key: str) -> Controls:
        if key in _MOVES:
            return replace(self, cursor=min(max(0, self.cursor + _MOVES[key]), len(COLUMNS) - 1))
        if key == "enter":
            order = Order.by(COLUMNS[self.cursor])
            return replace(self._closed(), order=self.order.reversed() if order.key == self.order.key else order)
        return self._closed() if key in ("q", "s", "escape") else self

    def _closed(self) -> Controls:
        return replace(self, sheet="", page=0)

    def _moved(self, by: int, rows: Sequence[Row]) -> Controls:
        """Select another row, counted from the selected one or from outside."""
        ids = [row.peer_id for row in rows]
        if not ids:
            return self
        start = ids.index(self.selected) if self.selected in ids else -1 if by > 0 else 0
        return replace(self, selected=ids[min(max(0, start + by), len(ids) - 1)])

    def _acted(self, key: str, rows: Sequence[Row]) -> Controls:
        if key not in ("P", "D"):
            return self
        row = self.row(rows)
        if row is None:
            return replace(self, message=_SELECT_FIRST)
        if key == "P":
            return replace(self, ask=Ask(PING, row.peer_id, row.name), message=f"asking {row.name} for a sign of life")
        return replace(self, prompt=RESUME if row.state == "draining" else DRAIN)

    def _confirmed(self, key: str, rows: Sequence[Row]) -> Controls:
        row = self.row(rows)
        answered = replace(self, prompt="")
        if row is None or key not in ("y", "Y"):
            return replace(answered, message="left as it is")
        return replace(answered, ask=Ask(self.prompt, row.peer_id, row.name))

    def _typed(self, key: str) -> Controls:
        match key:
            case "escape":
                return replace(self, prompt="", filter="")
            case "enter":
                return replace(self, prompt="")
            case "backspace":
                return replace(self, filter=self.filter[:-1])
            case "clear line":
                return replace(self, filter="")
        return replace(self, filter=(self.filter + key)[:_FILTER_MAX]) if len(key) == 1 else self
