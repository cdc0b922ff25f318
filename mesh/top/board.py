"""The board remembers what one look cannot show: rates, who once lived, who has gone, what happened when."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from mesh import ServerView
from mesh.top.rows import ANSWERING, Row, Stats, Totals, row_of, totals_of

__all__ = ["Board", "Event", "Screen", "Snapshot"]

_GONE_KEPT_S = 30.0
_GONE_MAX = 100
_EVENTS_MAX = 100
_HISTORY_MAX = 300


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at one moment."""

    at: float
    """Monotonic seconds."""
    clock: str
    """The same moment as people write it, HH:MM:SS."""
    servers: tuple[ServerView, ...]
    stats: Mapping[str, Stats]
    """The newest answer of each server that has answered, by peer id."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a server."""

    clock: str
    kind: str
    """`appeared`, `suspect`, `back`, `draining`, `lost`, `left`, `unreachable` or `ignored`."""
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Screen:
    """Everything there is to show."""

    clock: str
    rows: tuple[Row, ...]
    strangers: int
    """Servers of other realms that were left out."""
    totals: Totals
    history: tuple[float, ...]
    """Calls per second over all servers, the newest last."""
    events: tuple[Event, ...]
    """The newest last."""


class _Memory:
    """What is remembered of one server."""

    def __init__(self, view: ServerView) -> None:
        self.view = view
        self.row: Row | None = None
        self.met = False
        self.stats: Stats | None = None
        self.before: Stats | None = None
        self.gone_at: float | None = None


class Board:
    """Takes in one snapshot after the other.

    Args:
        everything: Whether servers of other realms have rows, and those that are gone keep theirs; else these leave
            after half a minute.
    """

    def __init__(self, *, everything: bool = False) -> None:
        self._everything = everything
        self._servers: dict[str, _Memory] = {}
        self._events: deque[Event] = deque(maxlen=_EVENTS_MAX)
        self._history: deque[float] = deque(maxlen=_HISTORY_MAX)

    def update(self, snapshot: Snapshot) -> Screen:
        """Take in a snapshot and return what there is to show now."""
        shown = [view for view in snapshot.servers if self._everything or view.state != "ignored"]
        for view in shown:
            self._see(view, snapshot)
        self._miss(shown, snapshot)
        rows = tuple(memory.row for memory in self._servers.values() if memory.row is not None)
        totals = totals_of(rows)
        if totals.calls_per_s is not None:
            self._history.append(totals.calls_per_s)
        strangers = len(snapshot.servers) - len(shown)
        return Screen(snapshot.clock, rows, strangers, totals, tuple(self._history), tuple(self._events))

    def _see(self, view: ServerView, snapshot: Snapshot) -> None:
        memory = self._servers.get(view.peer_id)
        if memory is None:
            memory = self._servers[view.peer_id] = _Memory(view)
        memory.view = view
        stats = snapshot.stats.get(view.peer_id)
        if stats is None:
            memory.before = memory.stats = None
        elif stats != memory.stats:
            memory.before, memory.stats = memory.stats, stats
        was_met = memory.met
        memory.met = was_met or view.state in ANSWERING
        before, memory.row = memory.row, row_of(view, memory.stats, memory.before, met=memory.met)
        memory.gone_at = None
        kind = _kind(before.state if before else "", memory.row.state, was_met)
        if kind:
            self._happened(snapshot, kind, memory.row)

    def _miss(self, shown: list[ServerView], snapshot: Snapshot) -> None:
        """Look after the servers that are not known any more."""
        known = {view.peer_id for view in shown}
        addresses = {view.address for view in shown}
        gone: list[tuple[float, str]] = []
        for peer_id, memory in list(self._servers.items()):
            if peer_id in known or memory.row is None:
                continue
            if memory.gone_at is None:
                memory.gone_at = snapshot.at
                if not memory.met:  # a name for a server whose own id is known by now, or one that nobody ever met
                    del self._servers[peer_id]
                    continue
                if memory.row.state != "dead":
                    self._happened(snapshot, "left", memory.row)
                departed = row_of(memory.view, None, None, met=True)
                memory.row = dataclasses.replace(departed, state="gone", note="", rtt_s=None, last_seen_s=None)
            if memory.row.address in addresses or self._is_over(memory.gone_at, snapshot.at):
                del self._servers[peer_id]
            else:
                gone.append((memory.gone_at, peer_id))
        for _, peer_id in sorted(gone, reverse=True)[_GONE_MAX:]:
            del self._servers[peer_id]

    def _is_over(self, gone_at: float, now: float) -> bool:
        return not self._everything and now - gone_at >= _GONE_KEPT_S

    def _happened(self, snapshot: Snapshot, kind: str, row: Row) -> None:
        detail = " ".join((row.address, ",".join(row.services))) if kind == "appeared" else row.note
        self._events.append(Event(snapshot.clock, kind, row.name, detail))


def _kind(before: str, state: str, met: bool) -> str:
    """Return which event a change of state is; empty if it is none."""
    if before == state:
        return ""
    if state == "alive":
        return "back" if met else "appeared"
    return {"dead": "lost", "advertised": "unreachable", "unverified": "", "gone": ""}.get(state, state)
