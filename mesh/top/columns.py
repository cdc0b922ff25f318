"""The columns: what stands in each, how it is sorted, and which give way when the terminal is narrow."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from mesh.top.rows import Row

__all__ = ["COLUMNS", "Column", "Order", "in_order", "rate_text"]

_ABSENT = "-"


@dataclass(frozen=True, slots=True)
class Column:
    """One column of the table."""

    key: str
    """Its name for `-s`."""
    title: str
    rank: int
    """The higher, the sooner it gives way."""
    text: Callable[[Row], str]
    value: Callable[[Row], str | float | None]
    """What it is sorted by."""
    number: bool = True
    """Whether it is set flush right, and whether the key `s` sorts it downwards first."""
    width_min: int = 0
    """Cells it takes at least, so that the table does not jump with every refresh."""
    width_max: int = 60


@dataclass(frozen=True, slots=True)
class Order:
    """By which column rows are sorted, and which way."""

    key: str = "name"
    down: bool = False

    @classmethod
    def parse(cls, text: str) -> Order:
        """Read `[-]FIELD`; `-` sorts downwards. Raises ValueError with a sentence."""
        key = text.removeprefix("-")
        if key not in _BY_KEY:
            raise ValueError(f"there is no column {key!r}; take one of {', '.join(_BY_KEY)}")
        return cls(key, text.startswith("-"))

    def next(self) -> Order:
        """Return the order by the next column: words upwards, numbers downwards."""
        keys = list(_BY_KEY)
        key = keys[(keys.index(self.key) + 1) % len(keys)]
        return Order(key, _BY_KEY[key].number)

    def reversed(self) -> Order:
        """Return the opposite order."""
        return Order(self.key, not self.down)


def in_order(rows: Iterable[Row], order: Order) -> list[Row]:
    """Return the rows sorted; equal ones by name, those without a value last either way."""
    value = _BY_KEY[order.key].value
    rows = sorted(rows, key=lambda row: (row.name, row.peer_id))
    present = [(known, row) for row in rows if (known := value(row)) is not None]
    present.sort(key=lambda pair: pair[0], reverse=order.down)
    return [row for _, row in present] + [row for row in rows if value(row) is None]


def rate_text(rate: float | None) -> str:
    """Return a number per second in at most five characters."""
    if rate is None:
        return _ABSENT
    if rate == 0 or rate >= 999.5:
        return _count_text(round(rate))
    return f"{rate:.1f}" if rate < 99.95 else f"{rate:.0f}"


def _count_text(count: int | None) -> str:
    if count is None:
        return _ABSENT
    amount = float(count)
    for unit in ("", "k", "M", "G", "T"):
        if amount < 9_999.5 and not unit:
            return f"{amount:.0f}"
        if amount < 999.5 and unit:
            return f"{amount:.1f}{unit}" if amount < 99.95 else f"{amount:.0f}{unit}"
        amount /= 1000
    return f"{amount:.0f}P"


def _latency_text(seconds: float | None) -> str:
    if seconds is None:
        return _ABSENT
    if seconds < 0.9995:
        digits = 2 if seconds < 0.009_995 else 1 if seconds < 0.099_95 else 0
        return f"{seconds * 1000:.{digits}f}ms"
    return f"{seconds:.1f}s" if seconds < 99.95 else _age_text(seconds)


def _age_text(seconds: float | None) -> str:
    if seconds is None:
        return _ABSENT
    whole = int(seconds)
    for unit_s, unit, part_s, part in ((86_400, "d", 3600, "h"), (3600, "h", 60, "m"), (60, "m", 1, "s")):
        if whole >= unit_s:
            return f"{whole // unit_s}{unit}{whole % unit_s // part_s:02}{part}"
    return f"{whole}s"


def _flight_text(row: Row) -> str:
    return _ABSENT if row.in_flight is None else f"{_count_text(row.in_flight)}/{_count_text(row.capacity)}"


def _words(words: Iterable[str]) -> str:
    return ",".join(words) or _ABSENT


def _place(row: Row) -> str:
    return row.address.removeprefix("tcp://") or _ABSENT


COLUMNS = (
    Column("name", "NAME", 0, lambda row: row.name, lambda row: row.name, False, 8, 24),
    Column("state", "STATE", 1, lambda row: row.state, lambda row: row.state, False, 10),
    Column("services", "SERVICES", 3, lambda row: _words(row.services), lambda row: _words(row.services), False, 8, 24),
    Column("calls", "CALLS/S", 2, lambda row: rate_text(row.calls_per_s), lambda row: row.calls_per_s, width_min=7),
    Column("flight", "IN FLIGHT", 5, _flight_text, lambda row: row.in_flight, width_min=9),
    Column("errors", "ERRORS", 6, lambda row: _count_text(row.errors), lambda row: row.errors, width_min=6),
    Column("errors/s", "ERR/S", 13, lambda row: rate_text(row.errors_per_s), lambda row: row.errors_per_s, width_min=5),
    Column("p50", "P50", 9, lambda row: _latency_text(row.p50_s), lambda row: row.p50_s, width_min=6),
    Column("p95", "P95", 11, lambda row: _latency_text(row.p95_s), lambda row: row.p95_s, width_min=6),
    Column("p99", "P99", 7, lambda row: _latency_text(row.p99_s), lambda row: row.p99_s, width_min=6),
    Column("rtt", "RTT", 4, lambda row: _latency_text(row.rtt_s), lambda row: row.rtt_s, width_min=6),
    Column("uptime", "UP", 8, lambda row: _age_text(row.uptime_s), lambda row: row.uptime_s, width_min=6),
    Column("address", "ADDRESS", 10, _place, _place, False, 15, 30),
    Column("source", "FROM", 12, lambda row: _words(row.sources), lambda row: _words(row.sources), False, 4, 12),
    Column("version", "VERSION", 14, lambda row: row.version or _ABSENT, lambda row: row.version, False, 7, 12),
    Column("note", "NOTE", 15, lambda row: row.note, lambda row: row.note, False, 4),
)
"""In the order in which they stand."""

_BY_KEY = {column.key: column for column in COLUMNS}
