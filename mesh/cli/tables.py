"""Tables for people: colours where the terminal has them, columns that are never cut, plain lines in a pipe."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["draw", "new_console", "state_text"]

_COLOURS = {
    "alive": "green",
    "suspect": "yellow",
    "draining": "yellow",
    "ejected": "yellow",
    "dead": "red",
    "waiting": "red",
}


def new_console() -> Console:
    """Return what draws on standard output; in a pipe it cuts and wraps nothing, for a program reads it."""
    console = Console()
    if not console.is_terminal:
        console.width = 10_000
    return console


def state_text(state: str) -> Text:
    """Return the state of a server in its colour."""
    return Text(state, style=_COLOURS.get(state, ""))


def draw(rows: Sequence[Mapping[str, str | Text]], words: Collection[str]) -> None:
    """Print a table.

    Args:
        rows: Cells, fit to be printed, by the titles of their columns; a row may lack some.
        words: Titles of the columns of words; the others hold figures, and are set flush right.
    """
    titles = dict.fromkeys(title for row in rows for title in row)
    table = Table(box=None, pad_edge=False)
    for title in titles:
        # Too long for the line: rather on two lines than cut, for people copy addresses.
        table.add_column(title, overflow="fold", justify="left" if title in words else "right")
    for row in rows:
        cells = [row.get(title, "") for title in titles]
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in cells))
    new_console().print(table)
