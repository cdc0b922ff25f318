"""The fields of a row: their names, what they mean, how they are written and sorted, which first give way."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeAlias

from mesh.top.figures import ABSENT, age_text, count_text, latency_text, octets_text, rate_text, sparkline
from mesh.top.rows import Row

__all__ = ["COLUMNS", "FIELDS", "STATES", "Field", "Order", "field_of", "in_order"]

_Words: TypeAlias = list[tuple[int, str]]
_NUMBER = re.compile("([0-9]+)")
STATES = {
    "dead": "it lived and does not answer any more",
    "suspect": "a PING is overdue; calls go elsewhere",
    "ejected": "it fails while others of its service succeed: left aside for a while",
    "draining": "it finishes the calls that it has and takes no more",
    "unverified": "it is advertised and being dialled, and has never answered",
    "advertised": "the same between two dials",
    "alive": "it answers",
    "ignored": "it is of another realm",
    "gone": "it said goodbye",
}
"""What each means, in the order in which they need somebody's eyes."""


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a row; a column, where it has a title."""

    key: str
    """Its name for `-s`, `-o`, JSON and CSV."""
    meaning: str
    title: str = ""
    """What stands over it; empty: it is for JSON alone."""
    rank: int = 0
    """The higher, the sooner the column gives way; 0: it is shown only where it was asked for."""
    text: Callable[[Row], str] = lambda row: ABSENT
    number: bool = True
    """Whether it is set flush right, and sorted downwards first."""
    width_min: int = 0
    """Cells it takes at least, so that the table does not jump with every refresh."""
    width_max: int = 60

    def value(self, row: Row) -> object:
        """Return what JSON has for it."""
        return getattr(row, self.key)

    def rank_of(self, row: Row) -> _Words | float | None:
        """Return what it is sorted by."""
        value = self.value(row)
        if self.key == "state":
            return list(STATES).index(row.state)
        if value is None or isinstance(value, int | float):
            return value
        return _words_and_numbers(value if isinstance(value, str) else self.text(row))


def _words_and_numbers(text: str) -> _Words:
    """Return what puts node-2 before node-10."""
    return [(int(part), "") if part.isdecimal() else (0, part) for part in _NUMBER.split(text.casefold())]


def _words(words: Iterable[str]) -> str:
    return ",".join(words) or ABSENT


def _flight(row: Row) -> str:
    return ABSENT if row.in_flight is None else f"{count_text(row.in_flight)}/{count_text(row.capacity)}"


def _latency(key: str, title: str, rank: int, meaning: str) -> Field:
    return Field(key, meaning, title, rank, lambda row: latency_text(getattr(row, key)), width_min=6)


def _word(key: str, title: str, rank: int, meaning: str, width_min: int, width_max: int = 60) -> Field:
    return Field(key, meaning, title, rank, lambda row: getattr(row, key) or ABSENT, False, width_min, width_max)


FIELDS = (
    _word("name", "NAME", 1, "name for people", 8, 24),
    _word(
        "state",
        "STATE",
        2,
        "how it is: one of the states",
        8,
    ),
    Field("services", "what it offers", "SERVICES", 6, lambda row: _words(row.services), False, 8, 24),
    Field(
        "calls_per_s",
        "calls a second between its last two answers",
        "CALLS/S",
        3,
        lambda row: rate_text(row.calls_per_s),
        width_min=7,
    ),
    Field(
        "in_flight",
        "calls of all clients that it has admitted and not answered; the column adds how many it admits at once",
        "FLIGHT",
        5,
        _flight,
        width_min=7,
    ),
    Field(
        "errors_per_s",
        "calls a second that failed",
        "ERR/S",
        7,
        lambda row: rate_text(row.errors_per_s),
        width_min=5,
    ),
    _latency("p50_s", "P50", 14, "seconds that half of its calls take in the handler at most; of its slowest method"),
    _latency("p95_s", "P95", 16, "the same for 95 %"),
    _latency("p99_s", "P99", 8, "the same for 99 %"),
    _latency("rtt_s", "RTT", 4, "round trip: seconds from the last question to its answer"),
    _latency("rtt_p50_s", "RTT50", 18, "median of its last hundred round trips"),
    _latency("rtt_p99_s", "RTT99", 15, "what 99 % of them do not exceed"),
    Field(
        "rtt_history_s",
        "its last ten round trips, the newest last",
        "ROUNDTRIPS",
        10,
        lambda row: sparkline(row.rtt_history_s),
        False,
        10,
    ),
    Field(
        "cpu_percent",
        "percent of one core that its process uses, and all servers in it",
        "CPU%",
        9,
        lambda row: rate_text(row.cpu_percent),
        width_min=5,
    ),
    Field("memory", "octets of memory of its process", "MEM", 11, lambda row: octets_text(row.memory), width_min=5),
    Field("uptime_s", "seconds since it started", "UP", 12, lambda row: age_text(row.uptime_s), width_min=6),
    Field(
        "address",
        "endpoint in use, else the first that is advertised",
        "ADDRESS",
        13,
        lambda row: row.address.removeprefix("tcp://") or ABSENT,
        False,
        15,
        30,
    ),
    Field(
        "sources",
        "how it was learnt: mdns, static",
        "FROM",
        17,
        lambda row: _words(row.sources),
        False,
        4,
        12,
    ),
    _word("version", "VERSION", 19, "version of its first service", 7, 12),
    _word("note", "NOTE", 20, "why it is in this state, where that needs saying", 4),
    _word("peer_id", "ID", 0, "identity, new at each start", 16),
    _word(
        "proto", "PROTO", 0, "what it speaks: mesh/1, flp (RFC 10) or rep; the last two tell nothing of themselves", 6
    ),
    Field("calls", "calls since it started", "CALLS", 0, lambda row: count_text(row.calls), width_min=6),
    Field("errors", "calls that failed since it started", "ERRORS", 0, lambda row: count_text(row.errors), width_min=6),
    Field("capacity", "calls that it admits at once", "CAPACITY", 0, lambda row: count_text(row.capacity), width_min=8),
    Field(
        "window", "how many of them one client may have", "WINDOW", 0, lambda row: count_text(row.window), width_min=6
    ),
    _latency("age_s", "AGE", 0, "seconds since it told these figures"),
    _latency("last_seen_s", "SEEN", 0, "seconds since its last sign of life"),
    _word("time", "TIME", 0, "when this was so: ISO 8601 in UTC", 24),
    Field(
        "methods",
        "each method: name, calls, calls_per_s, errors, last_error, p50_s, p95_s, p99_s",
    ),
    Field(
        "addresses",
        "each address: endpoint, state (that of its connection; spare: another is in use; waiting: for the next dial), "
        "note (why it has no connection)",
    ),
    Field("txt", "what it advertises: the TXT record of DNS-SD"),
)
"""In the order in which they stand."""

COLUMNS = tuple(field for field in FIELDS if field.title)
"""Those that stand in a table."""
_BY_NAME = {name: field for field in FIELDS for name in (field.title.casefold(), field.key) if name}


def field_of(name: str) -> Field:
    """Return the field of this name or title. Raises ValueError with a sentence."""
    field = _BY_NAME.get(name.casefold())
    if field is None:
        raise ValueError(f"there is no field {name!r}; take one of {', '.join(field.key for field in FIELDS)}")
    return field


@dataclass(frozen=True, slots=True)
class Order:
    """By which column rows are sorted, and which way."""

    key: str = "name"
    down: bool = False

    @classmethod
    def parse(cls, text: str) -> Order:
        """Read `[-]FIELD`; `-` sorts downwards. Raises ValueError with a sentence."""
        field = field_of(text.removeprefix("-"))
        if field not in COLUMNS:
            raise ValueError(f"{field.key!r} has no order; take one of {', '.join(column.key for column in COLUMNS)}")
        return cls(field.key, text.startswith("-"))

    def step(self, by: int) -> Order:
        """Return the order by a column further to the right, or to the left: words upwards, numbers downwards."""
        keys = [column.key for column in COLUMNS]
        return Order.by(COLUMNS[(keys.index(self.key) + by) % len(keys)])

    @classmethod
    def by(cls, column: Field) -> Order:
        """Return the usual order by a column."""
        return cls(column.key, column.number)

    def reversed(self) -> Order:
        """Return the opposite order."""
        return dataclasses.replace(self, down=not self.down)


def in_order(rows: Iterable[Row], order: Order) -> list[Row]:
    """Return the rows sorted; equal ones by name, those without a value last either way."""
    rank_of = field_of(order.key).rank_of
    rows = sorted(rows, key=lambda row: (_words_and_numbers(row.name), row.peer_id))
    ranked = [(rank, row) for row in rows if (rank := rank_of(row)) is not None]
    ranked.sort(key=lambda pair: pair[0], reverse=order.down)
    return [row for _, row in ranked] + [row for row in rows if rank_of(row) is None]
