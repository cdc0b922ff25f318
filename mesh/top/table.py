"""The table of servers: from rows to lines that fit a width, wrap nothing, and trust no text of a server."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len, set_cell_size
from rich.text import Text

from mesh.top.columns import COLUMNS, Field, Order
from mesh.top.rows import Row

__all__ = ["FAINT", "GAP", "STATE_STYLES", "clean", "fit", "table"]

GAP = "  "
FAINT = "dim"
STATE_STYLES = {
    "alive": "green",
    "suspect": "yellow",
    "ejected": "yellow",
    "draining": "cyan",
    "dead": "bold red",
    "unverified": "magenta",
    "advertised": "magenta",
}
_STYLES = {"name": "bold", "rtt_history_s": "blue", "note": FAINT}


def table(
    rows: Sequence[Row],
    order: Order | None = None,
    width: int | None = None,
    columns: Sequence[Field] = (),
    selected: str = "",
    everyone: Sequence[Row] = (),
) -> list[Text]:
    """Return the titles and one line for each row.

    Args:
        rows: Who is shown.
        order: By what they are sorted; the title of that column says so.
        width: Cells there are; columns that have no room are left out. None: without end.
        columns: These, as long as there is room; none: those that have a rank.
        selected: Id of the server whose line stands out.
        everyone: All rows, where not all are shown: words get as much room as the longest of them needs, so that
            nothing jumps when one moves through them.
    """
    sorting = order.key if order else ""
    wanted = columns or [column for column in COLUMNS if column.rank or column.key == sorting]
    cells = {column: [clean(column.text(row)) for row in rows] for column in wanted}
    natural = {
        column: _natural_width(column, texts, () if column.number else everyone, cut=width is not None)
        for column, texts in cells.items()
    }
    widths = natural if width is None else _chosen(natural, width, None if columns else sorting)
    titles = Text(GAP).join(_title(column, order, size) for column, size in widths.items())
    lines = [titles]
    for number, row in enumerate(rows):
        faint = row.faded or row.state in ("gone", "ignored")
        line = Text(style=FAINT if faint else "")
        for column, size in widths.items():
            line.append(fit(cells[column][number], size, column.number) + GAP, "" if faint else _style(column, row))
        line.right_crop(len(GAP))
        if selected and row.peer_id == selected:
            line.stylize("reverse")
        lines.append(line)
    for line in lines:
        line.rstrip()
    return lines


def fit(text: str, width: int, right: bool = False) -> str:
    """Return the text in exactly `width` cells."""
    if right and cell_len(text) < width:
        return " " * (width - cell_len(text)) + text
    return set_cell_size(text, width)


def clean(text: str) -> str:
    """Replace what a terminal would obey: names, notes and versions come from anybody on the network."""
    return text if text.isprintable() else "".join(char if char.isprintable() else "?" for char in text)


def _natural_width(column: Field, texts: Iterable[str], others: Iterable[Row], *, cut: bool) -> int:
    titled = cell_len(column.title) + 1  # with the arrow of the column that sorts
    texts = itertools.chain(texts, (clean(column.text(row)) for row in others))
    size = max(column.width_min, titled, max(map(cell_len, texts), default=0))
    return min(column.width_max, size) if cut else size


def _chosen(natural: Mapping[Field, int], width: int, sorting: str | None) -> dict[Field, int]:
    """Choose the columns that fit.

    Args:
        natural: How wide each wants to be.
        width: Cells there are.
        sorting: Key of the column that is chosen right after the name, the others follow by rank; None: in their order.
    """
    ranked = list(natural)
    if sorting is not None:
        ranked.sort(key=lambda column: (column.rank > 1 and column.key != sorting, column.rank))
    chosen: dict[Field, int] = {}
    left = width
    for column in ranked:
        # The first is always there, however narrow the terminal.
        size = natural[column] if chosen else min(natural[column], width)
        gap = len(GAP) if chosen else 0
        if size + gap > left and column.key == "note" and left - gap >= 2 * column.width_min:
            size = left - gap  # words may be cut
        if size + gap <= left:
            chosen[column] = size
            left -= size + gap
    return {column: chosen[column] for column in natural if column in chosen}


def _title(column: Field, order: Order | None, width: int) -> Text:
    if order is None or order.key != column.key:
        return Text(fit(column.title, width, column.number), "bold")
    return Text(fit(column.title + ("▼" if order.down else "▲"), width, column.number), "bold cyan")


def _style(column: Field, row: Row) -> str:
    if column.key == "state":
        return STATE_STYLES.get(row.state, "")
    if column.key == "errors_per_s":
        return "red" if row.errors_per_s else ""
    return _STYLES.get(column.key, "")
