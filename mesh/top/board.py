"""The board remembers what one look cannot show: rates, who once lived, who has gone, what happened when."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from mesh import ServerView
from mesh.top.rows import ANSWERING, MESH, Row, Stats, Totals, row_of, totals_of

__all__ = ["Board", "Event", "Screen", "Snapshot"]

_FADES_S = 30.0
_GONE_KEPT_S = 60.0
_DEAD_KEPT_S = 600.0
"""Who died without a goodbye is worth a look, and is advertised for up to 75 minutes (RFC 6762 section 10)."""
_GONE_MAX = 100
_EVENTS_MAX = 200
_HISTORY_MAX = 600
_RTTS_MAX = 100
_EVENTS = {"advertised": "unreachable", "unverified": "", "gone": ""}
"""What it is called that a server comes into a state, where that is not the state's own name."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What is known at one moment."""

    at: float
    """Monotonic seconds."""
    clock: str
    """The same moment as people write it, HH:MM:SS."""
    time: str
    """And as programs do: ISO 8601 in UTC."""
    servers: tuple[ServerView, ...]
    told: Mapping[str, Stats]
    """The newest answer of each server that has answered, by peer id."""


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a server."""

    clock: str
    kind: str
    """`appeared`, `suspect`, `ejected`, `draining`, `dead`, `back`, `failed over` (another address of it is used now),
    `gone`, `unreachable` or `ignored`."""
    peer_id: str
    name: str
    detail: str


@dataclass(frozen=True, slots=True)
class Screen:
    """Everything there is to show."""

    clock: str
    rows: tuple[Row, ...]
    strangers: int
    """Servers of other realms that were left out."""
    departed: int
    """Servers that have been dead for so long that they are left out."""
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
        self.told: Stats | None = None
        self.before: Stats | None = None
        self.rtts: deque[float] = deque(maxlen=_RTTS_MAX)
        self.address = ""
        """Where it answered last."""
        self.down_at: float | None = None
        """When it died or left; None: it is there."""
        self.replaced = False
        """Another process has taken its place."""

    def take(self, view: ServerView, told: Stats | None) -> None:
        """Take in what is known of it now."""
        self.view = view
        self.met = self.met or view.state in ANSWERING
        if told is None:
            self.before = self.told = None
            if view.proto != MESH and view.rtt_s is not None and view.rtt_s != (self.rtts[-1] if self.rtts else None):
                self.rtts.append(view.rtt_s)
        elif told is not self.told:
            self.before, self.told = self.told, told
            if told.rtt_s is not None:
                self.rtts.append(told.rtt_s)


class Board:
    """Takes in one snapshot after the other.

    Args:
        everything: Whether servers of other realms have rows, and who is gone or dead keeps the row; else those fade
            after half a minute and leave after one minute, or ten if they are dead.
    """

    def __init__(self, *, everything: bool = False) -> None:
        self._everything = everything
        self._servers: dict[str, _Memory] = {}
        self._events: deque[Event] = deque(maxlen=_EVENTS_MAX)
        self._history: deque[float] = deque(maxlen=_HISTORY_MAX)

    def update(self, snapshot: Snapshot) -> Screen:
        """Take in a snapshot and return what there is to show now."""
        shown = [view for view in snapshot.servers if self._everything or view.state != "ignored"]
        self._miss(shown, snapshot)
        for view in shown:
            self._see(view, snapshot)
        left_out = [memory for memory in self._servers.values() if self._has_departed(memory, snapshot.at)]
        rows = tuple(memory.row for memory in self._servers.values() if memory.row and memory not in left_out)
        totals = totals_of(rows)
        if totals.calls_per_s is not None:
            self._history.append(totals.calls_per_s)
        return Screen(
            clock=snapshot.clock,
            rows=rows,
            strangers=len(snapshot.servers) - len(shown),
            departed=sum(not memory.replaced for memory in left_out),
            totals=totals,
            history=tuple(self._history),
            events=tuple(self._events),
        )

    def _see(self, view: ServerView, snapshot: Snapshot) -> None:
        memory = self._servers.get(view.peer_id)
        if memory is None:
            memory = self._servers[view.peer_id] = _Memory(view)
        was_met, state_before = memory.met, memory.row.state if memory.row else ""
        memory.take(view, snapshot.told.get(view.peer_id))
        if view.state in ANSWERING:
            memory.down_at = None
        row = memory.row = self._row(memory, snapshot)
        if row.state == "dead" and memory.down_at is None:
            memory.down_at = snapshot.at
        if row.state in ANSWERING and not was_met and self._replace(row):
            self._happened(snapshot, "back", row, f"as another process, at {row.address}")
        elif row.state in ANSWERING and memory.address not in ("", row.address):
            self._happened(snapshot, "failed over", row, f"from {memory.address} to {row.address}")
        elif row.state == "alive" and state_before != "alive":
            services = f" {','.join(row.services)}"
            self._happened(snapshot, "back" if was_met else "appeared", row, row.address + services)
        elif row.state != state_before and (kind := _EVENTS.get(row.state, row.state)):
            self._happened(snapshot, kind, row, row.note)
        if row.state in ANSWERING:
            memory.address, memory.replaced = row.address, False

    def _replace(self, row: Row) -> bool:
        """Let a server that has just appeared take the place of one of its name, or at its address, that is down."""
        found = False
        for memory in self._servers.values():
            other = memory.row
            if other and other.state in ("dead", "gone") and (other.name == row.name or other.address == row.address):
                found = found or not memory.replaced
                memory.replaced = True
        return found

    def _row(self, memory: _Memory, snapshot: Snapshot) -> Row:
        return row_of(
            memory.view,
            memory.told,
            memory.before,
            met=memory.met,
            rtts=tuple(memory.rtts),
            now=snapshot.at,
            time=snapshot.time,
            faded=memory.down_at is not None and snapshot.at - memory.down_at >= _FADES_S,
        )

    def _miss(self, shown: list[ServerView], snapshot: Snapshot) -> None:
        """Look after the servers that are not known any more."""
        known = {view.peer_id for view in shown}
        gone: list[tuple[float, str]] = []
        for peer_id, memory in list(self._servers.items()):
            if peer_id in known or memory.row is None:
                continue
            if not memory.met:  # a name for a server whose own id is known by now, or one that nobody ever met
                del self._servers[peer_id]
                continue
            if memory.down_at is None:
                memory.down_at = snapshot.at
                self._happened(snapshot, "gone", memory.row, memory.row.note)
            memory.view = dataclasses.replace(memory.view, state="gone", note="", last_seen_s=None)
            memory.row = self._row(memory, snapshot)
            if self._has_departed(memory, snapshot.at):
                del self._servers[peer_id]
            else:
                gone.append((memory.down_at, peer_id))
        for _, peer_id in sorted(gone, reverse=True)[_GONE_MAX:]:
            del self._servers[peer_id]

    def _has_departed(self, memory: _Memory, now: float) -> bool:
        """Tell whether it went so long ago that it has no row any more."""
        if self._everything or memory.down_at is None or memory.row is None:
            return False
        kept_s = _GONE_KEPT_S if memory.row.state == "gone" else _DEAD_KEPT_S
        return memory.replaced or now - memory.down_at >= kept_s

    def _happened(self, snapshot: Snapshot, kind: str, row: Row, detail: str) -> None:
        self._events.append(Event(snapshot.clock, kind, row.peer_id, row.name, detail))
