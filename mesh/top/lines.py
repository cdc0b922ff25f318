"""What programs and pipes get instead of a screen: a plain table, JSON or CSV, with the same rows in the same order."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Iterator, Sequence

from mesh import AddressView
from mesh.cli.text import compact
from mesh.top.columns import COLUMNS, FIELDS, Field
from mesh.top.figures import plain
from mesh.top.rows import Method, Row
from mesh.top.table import table

__all__ = ["csv_lines", "csv_titles", "json_lines", "table_lines"]


def json_lines(rows: Sequence[Row], fields: Sequence[Field] = ()) -> Iterator[str]:
    """Yield one JSON object for each row with these fields, by default all."""
    for row in rows:
        yield compact({field.key: _plain(field.value(row)) for field in fields or FIELDS})


def csv_titles(fields: Sequence[Field] = ()) -> str:
    """Return the first line of CSV (RFC 4180 section 2): the keys of the fields."""
    return _csv([field.key for field in fields or COLUMNS])


def csv_lines(rows: Sequence[Row], fields: Sequence[Field] = ()) -> Iterator[str]:
    """Yield one line of CSV for each row; what is not known is empty, and words of a list stand with blanks between."""
    for row in rows:
        yield _csv([_cell(field.value(row)) for field in fields or COLUMNS])


def table_lines(
    rows: Sequence[Row], fields: Sequence[Field] = (), width: int | None = None, *, ascii_only: bool = False
) -> Iterator[str]:
    """Yield the titles and one line for each row; columns that have no room in `width` cells are left out."""
    for line in table(rows, width=width, columns=fields):
        yield plain(line.plain) if ascii_only else line.plain


def _plain(value: object) -> object:
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, AddressView | Method):
        return {key: _plain(item) for key, item in dataclasses.asdict(value).items()}
    return round(value, 6) if isinstance(value, float) else value  # microseconds; nobody measures more


def _cell(value: object) -> object:
    if isinstance(value, tuple):
        return " ".join(str(_plain(item)) for item in value)
    return "" if value is None else _plain(value)


def _csv(cells: Sequence[object]) -> str:
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(cells)
    return written.getvalue()
