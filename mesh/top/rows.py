"""A row of the screen: what a client sees of a server, joined with what the server tells of itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeGuard

from mesh import ServerView

__all__ = ["ANSWERING", "Row", "Stats", "Totals", "filtered", "row_of", "totals_of"]

ANSWERING = ("alive", "suspect", "draining", "ejected")
"""States of servers that answer, or did a moment ago."""
_STATES_ONCE_MET = {"connecting": "dead", "proving": "dead", "waiting": "dead"}
_STATES_NEVER_MET = {"connecting": "unverified", "proving": "unverified", "waiting": "advertised"}


@dataclass(frozen=True, slots=True)
class Stats:
    """One answer of a server to `mesh.stats`, cut down to what is shown."""

    uptime_s: float
    """The server's own clock, so that rates do not depend on when the answer arrived."""
    calls: int
    errors: int
    in_flight: int
    capacity: int
    p50_s: float | None
    """The slowest method's median, in seconds: the median over all methods is not above it. None before a call."""
    p95_s: float | None
    p99_s: float | None

    @classmethod
    def read(cls, answer: object) -> Stats | None:
        """Return what can be made of an answer; None if it says no uptime. Nothing a server sends raises."""
        if not isinstance(answer, Mapping) or not _is_amount(answer.get("uptime_s")):
            return None
        listed = answer.get("endpoints")
        methods = [method for method in listed if isinstance(method, Mapping)] if isinstance(listed, list) else []
        called = [method for method in methods if _count(method, "num_requests")]
        return cls(
            uptime_s=float(answer["uptime_s"]),
            calls=sum(_count(method, "num_requests") for method in methods),
            errors=sum(_count(method, "num_errors") for method in methods),
            in_flight=_count(answer, "in_flight"),
            capacity=_count(answer, "capacity"),
            p50_s=_highest_s(called, "p50_ns"),
            p95_s=_highest_s(called, "p95_ns"),
            p99_s=_highest_s(called, "p99_ns"),
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One server at one moment; `mesh-top --json` prints these fields. None: it is not known, or not any more."""

    name: str
    peer_id: str
    state: str
    """`alive`, `suspect`, `draining`, `dead` (it lived once and does not answer), `unverified` (it is being dialled and
    never answered), `advertised` (the same between dials), `ignored` (of another realm), `gone` (known no more)."""
    note: str
    """Why it is in this state, where that needs saying."""
    services: tuple[str, ...]
    address: str
    """Endpoint in use, else the first advertised one."""
    sources: tuple[str, ...]
    """Where it was learnt: `mdns`, `static`."""
    proto: str
    version: str
    rtt_s: float | None
    """Smoothed round trip of PINGs, in seconds."""
    calls: int | None
    """Calls that it has run since it started."""
    calls_per_s: float | None
    """Between its last two answers."""
    errors: int | None
    """Calls that failed since it started."""
    errors_per_s: float | None
    in_flight: int | None
    """Calls of all clients that it has admitted and not yet answered."""
    capacity: int | None
    """How many it admits; one more is refused."""
    window: int
    """How many of them may be of one client."""
    p50_s: float | None
    """Of the handlers since the start, in seconds; over several methods the highest."""
    p95_s: float | None
    p99_s: float | None
    uptime_s: float | None
    last_seen_s: float | None
    """Seconds since its last sign of life."""


@dataclass(frozen=True, slots=True)
class Totals:
    """The mesh in a few numbers."""

    servers: int
    states: Mapping[str, int]
    """How many servers are in each state, the most frequent first."""
    services: int
    calls_per_s: float | None
    """None as long as no server has answered twice."""
    errors_per_s: float | None
    in_flight: int


def row_of(view: ServerView, stats: Stats | None, before: Stats | None, *, met: bool) -> Row:
    """Return the row of a server.

    Args:
        view: What the client knows.
        stats: Its newest answer.
        before: The answer before that one.
        met: Whether it has ever been alive.
    """
    state = (_STATES_ONCE_MET if met else _STATES_NEVER_MET).get(view.state, view.state)
    if state not in ANSWERING:
        stats = None
    calls_per_s = errors_per_s = None
    if before and stats and state in ("alive", "ejected"):
        calls_per_s, errors_per_s = _rates(before, stats)
    return Row(
        name=view.name,
        peer_id=view.peer_id,
        state=state,
        note=view.note,
        services=view.services,
        address=view.address,
        sources=view.sources,
        proto=view.proto,
        version=view.version,
        rtt_s=view.rtt_s,
        calls=stats.calls if stats else None,
        calls_per_s=calls_per_s,
        errors=stats.errors if stats else None,
        errors_per_s=errors_per_s,
        in_flight=stats.in_flight if stats else None,
        capacity=stats.capacity if stats else None,
        window=view.window,
        p50_s=stats.p50_s if stats else None,
        p95_s=stats.p95_s if stats else None,
        p99_s=stats.p99_s if stats else None,
        uptime_s=stats.uptime_s if stats else None,
        last_seen_s=view.last_seen_s,
    )


def totals_of(rows: Iterable[Row]) -> Totals:
    """Return the sums over the rows; servers that are gone or of another realm do not count."""
    rows = [row for row in rows if row.state not in ("gone", "ignored")]
    states: dict[str, int] = {}
    for row in rows:
        states[row.state] = states.get(row.state, 0) + 1
    calls = [row.calls_per_s for row in rows if row.calls_per_s is not None]
    errors = [row.errors_per_s for row in rows if row.errors_per_s is not None]
    return Totals(
        servers=len(rows),
        states=dict(sorted(states.items(), key=lambda item: (-item[1], item[0]))),
        services=len({service for row in rows for service in row.services}),
        calls_per_s=sum(calls) if calls else None,
        errors_per_s=sum(errors) if errors else None,
        in_flight=sum(row.in_flight or 0 for row in rows),
    )


def filtered(rows: Iterable[Row], text: str) -> list[Row]:
    """Return the rows in which every word of `text` occurs: in name, services, state, address, source or version."""
    words = text.casefold().split()
    return [row for row in rows if all(word in _searchable(row) for word in words)]


def _searchable(row: Row) -> str:
    parts = (row.name, row.state, row.address, row.proto, row.version, *row.services, *row.sources)
    return "\n".join(parts).casefold()


def _rates(before: Stats, after: Stats) -> tuple[float | None, float | None]:
    """Return calls and errors per second between two answers; None if the server has begun anew in between."""
    elapsed_s = after.uptime_s - before.uptime_s
    if elapsed_s <= 0 or after.calls < before.calls or after.errors < before.errors:
        return None, None
    return (after.calls - before.calls) / elapsed_s, (after.errors - before.errors) / elapsed_s


def _is_amount(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) and value >= 0


def _count(mapping: Mapping[object, object], key: str) -> int:
    value = mapping.get(key)
    return int(value) if _is_amount(value) else 0


def _highest_s(methods: Iterable[Mapping[object, object]], key: str) -> float | None:
    return max((_count(method, key) / 1e9 for method in methods), default=None)
