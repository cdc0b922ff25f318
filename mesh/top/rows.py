"""A row of the screen: what a client sees of a server, joined with what the server tells of itself."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeGuard

from mesh import AddressView, ServerView
from mesh.top.figures import latency_text

__all__ = ["ANSWERING", "MESH", "Method", "Row", "Stats", "Totals", "filtered", "row_of", "totals_of"]

MESH = "mesh/1"
"""Protocol of the servers that can be asked how they do."""
ANSWERING = ("alive", "suspect", "draining", "ejected")
"""States of servers that answer, or did a moment ago."""
_STATES_ONCE_MET = {"connecting": "dead", "proving": "dead", "waiting": "dead"}
_STATES_NEVER_MET = {"connecting": "unverified", "proving": "unverified", "waiting": "advertised"}
_METHODS_MAX = 1000
"""Methods of one server that are looked at: it may tell anything."""
_CHARTED = 10
"""Round trips in a sparkline."""


@dataclass(frozen=True, slots=True)
class Stats:
    """One answer of a server to `mesh.stats`, cut down to what is shown."""

    told_at: float
    """When the answer came, in monotonic seconds."""
    rtt_s: float | None
    """Seconds from the question to the answer, where that was measured."""
    uptime_s: float
    """The server's own clock, so that rates do not depend on when the answer arrived."""
    cpu_s: float | None
    """Processor seconds that its process has used; None: it does not tell."""
    memory: int | None
    """Octets of memory that its process has; None: it does not tell."""
    calls: int
    errors: int
    in_flight: int
    capacity: int
    p50_s: float | None
    """The slowest method's median, in seconds: the median over all methods is not above it. None before a call."""
    p95_s: float | None
    p99_s: float | None
    methods: tuple[Mapping[Any, Any], ...]
    """What it tells of each method, unchecked: see `Row.methods`."""

    @classmethod
    def read(cls, answer: object, told_at: float, rtt_s: float | None = None) -> Stats | None:
        """Return what can be made of an answer; None if it says no uptime. Nothing a server sends raises."""
        if not isinstance(answer, Mapping) or not _is_amount(answer.get("uptime_s")):
            return None
        listed = answer.get("endpoints")
        methods = listed[:_METHODS_MAX] if isinstance(listed, list) else []
        methods = [method for method in methods if isinstance(method, Mapping)]
        called = [method for method in methods if _count(method, "num_requests")]
        return cls(
            told_at=told_at,
            rtt_s=rtt_s,
            uptime_s=float(answer["uptime_s"]),
            cpu_s=float(answer["cpu_s"]) if _is_amount(answer.get("cpu_s")) else None,
            memory=int(answer["memory"]) if _is_amount(answer.get("memory")) else None,
            calls=sum(_count(method, "num_requests") for method in called),
            errors=sum(_count(method, "num_errors") for method in called),
            in_flight=_count(answer, "in_flight"),
            capacity=_count(answer, "capacity"),
            p50_s=_highest_s(called, "p50_ns"),
            p95_s=_highest_s(called, "p95_ns"),
            p99_s=_highest_s(called, "p99_ns"),
            methods=tuple(methods),
        )


@dataclass(frozen=True, slots=True)
class Method:
    """One method of a server."""

    name: str
    """Its full name, `service.method`."""
    calls: int
    calls_per_s: float | None
    errors: int
    last_error: str
    """What the last call that failed said; empty: none did."""
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One server at one moment; `mesh.top.columns` says what its fields mean. None: not known, or not any more."""

    time: str
    name: str
    peer_id: str
    state: str
    note: str
    services: tuple[str, ...]
    address: str
    sources: tuple[str, ...]
    proto: str
    version: str
    rtt_s: float | None
    rtt_p50_s: float | None
    rtt_p99_s: float | None
    rtt_history_s: tuple[float, ...]
    calls: int | None
    calls_per_s: float | None
    errors: int | None
    errors_per_s: float | None
    in_flight: int | None
    capacity: int | None
    window: int
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    cpu_percent: float | None
    memory: int | None
    uptime_s: float | None
    age_s: float | None
    last_seen_s: float | None
    addresses: tuple[AddressView, ...]
    txt: Mapping[str, str]
    faded: bool
    """Whether it went so long ago that it is shown faintly."""
    told: Stats | None
    before: Stats | None

    @property
    def methods(self) -> list[Method]:
        """What it tells of its methods, those with most calls first; made when asked for."""
        if self.told is None:
            return []
        elapsed_s = self.told.uptime_s - self.before.uptime_s if self.before else 0.0
        counted = {
            _word(method, "subject"): _count(method, "num_requests") for method in (self.before or self.told).methods
        }
        methods = [_method(method, counted, elapsed_s) for method in self.told.methods]
        return sorted(methods, key=lambda method: (-method.calls, method.name))


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


def row_of(
    view: ServerView,
    told: Stats | None = None,
    before: Stats | None = None,
    *,
    met: bool,
    rtts: Sequence[float] = (),
    now: float = 0.0,
    time: str = "",
    faded: bool = False,
) -> Row:
    """Return the row of a server.

    Args:
        view: What the client knows.
        told: Its newest answer.
        before: The answer before that one.
        met: Whether it has ever been alive.
        rtts: Its last round trips in seconds, the newest last.
        now: Monotonic seconds.
        time: The same as people and programs write it.
        faded: Whether it went long ago.
    """
    state = (_STATES_ONCE_MET if met else _STATES_NEVER_MET).get(view.state, view.state)
    if state not in ANSWERING:
        told = before = None
        rtts = ()
    calls_per_s = errors_per_s = cpu_percent = None
    if before and told and state != "suspect":
        calls_per_s, errors_per_s, cpu_percent = _rates(before, told)
    ordered = sorted(rtts)
    return Row(
        time=time,
        name=view.name,
        peer_id=view.peer_id,
        state=state,
        note=view.note or _silence(view, state),
        services=view.services,
        address=view.address,
        sources=view.sources,
        proto=view.proto,
        version=view.version,
        rtt_s=rtts[-1] if rtts else None,
        rtt_p50_s=_percentile(ordered, 0.5),
        rtt_p99_s=_percentile(ordered, 0.99),
        rtt_history_s=tuple(rtts[-_CHARTED:]),
        calls=told.calls if told else None,
        calls_per_s=calls_per_s,
        errors=told.errors if told else None,
        errors_per_s=errors_per_s,
        in_flight=told.in_flight if told else None,
        capacity=told.capacity if told else None,
        window=view.window,
        p50_s=told.p50_s if told else None,
        p95_s=told.p95_s if told else None,
        p99_s=told.p99_s if told else None,
        cpu_percent=cpu_percent,
        memory=told.memory if told else None,
        uptime_s=told.uptime_s if told else None,
        age_s=now - told.told_at if told else None,
        last_seen_s=view.last_seen_s,
        addresses=view.tried,
        txt=view.txt,
        faded=faded,
        told=told,
        before=before,
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
    """Return the rows in which every word of `text` occurs: in name, services, state, address or the like."""
    words = text.casefold().split()
    return [row for row in rows if all(word in _searchable(row) for word in words)]


def _searchable(row: Row) -> str:
    parts = (row.name, row.state, row.address, row.proto, row.version, *row.services, *row.sources)
    return "\n".join(parts).casefold()


def _silence(view: ServerView, state: str) -> str:
    """Say how long a server has said nothing that ought to say something."""
    if state not in ("suspect", "dead") or view.last_seen_s is None:
        return ""
    return f"no sign of life for {latency_text(view.last_seen_s)}"


def _rates(before: Stats, after: Stats) -> tuple[float | None, float | None, float | None]:
    """Return calls and errors per second and percent of a core between two answers; None if it has begun anew."""
    elapsed_s = after.uptime_s - before.uptime_s
    if elapsed_s <= 0 or after.calls < before.calls or after.errors < before.errors:
        return None, None, None
    cpu_percent = None
    if after.cpu_s is not None and before.cpu_s is not None:
        cpu_percent = 100 * max(0.0, after.cpu_s - before.cpu_s) / elapsed_s
    return (after.calls - before.calls) / elapsed_s, (after.errors - before.errors) / elapsed_s, cpu_percent


def _method(told: Mapping[object, object], counted: Mapping[str, int], elapsed_s: float) -> Method:
    name, calls = _word(told, "subject"), _count(told, "num_requests")
    grown = calls - counted.get(name, 0)
    return Method(
        name=name,
        calls=calls,
        calls_per_s=grown / elapsed_s if elapsed_s > 0 and grown >= 0 else None,
        errors=_count(told, "num_errors"),
        last_error=_word(told, "last_error"),
        p50_s=_highest_s([told], "p50_ns") if calls else None,
        p95_s=_highest_s([told], "p95_ns") if calls else None,
        p99_s=_highest_s([told], "p99_ns") if calls else None,
    )


def _percentile(ordered: Sequence[float], share: float) -> float | None:
    """Return what this share of the values does not exceed; None without any."""
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else None


def _is_amount(value: object) -> TypeGuard[int | float]:
    return (type(value) is int or type(value) is float) and 0 <= value < math.inf


def _count(mapping: Mapping[object, object], key: str) -> int:
    value = mapping.get(key)
    return int(value) if _is_amount(value) else 0


def _word(mapping: Mapping[object, object], key: str) -> str:
    value = mapping.get(key)
    return value if isinstance(value, str) else ""


def _highest_s(methods: Sequence[Mapping[object, object]], key: str) -> float | None:
    return max(_count(method, key) for method in methods) / 1e9 if methods else None
