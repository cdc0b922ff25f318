"""The client's core: one event and the time in, a list of actions out.

    for action in core.handle(event, now): shell.perform(action)

It composes the parts that decide (`Links` who is alive, `Dispatcher` who gets which call) and holds no decision of
its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from mesh.config import ClientConfig
from mesh.core.actions import ClientAction, ClientActions, Notice
from mesh.core.attempts import Attempts
from mesh.core.budget import RetryBudget
from mesh.core.calls import PendingCall, Watch
from mesh.core.dialect import PONG
from mesh.core.dispatch import Dispatcher
from mesh.core.events import (
    CallAbandoned,
    CallsRequested,
    ClientEvent,
    LinkDown,
    LinkReached,
    LinkUp,
    PeerAdded,
    PeerRemoved,
    PeerUpdated,
    Received,
    Stopping,
    Tick,
    WatchRequested,
)
from mesh.core.links import Links
from mesh.core.liveness import State
from mesh.core.observer import CallObserver, observed
from mesh.core.outliers import Outliers
from mesh.core.peers import MESH, REP, Connection, Server
from mesh.core.roster import Roster, hello_problem
from mesh.core.routing import ANY, NONE, Pools
from mesh.core.timers import Timers
from mesh.core.view import ServerView, describe_servers, view_of
from mesh.core.wire import Hello, Pong, Reply, ServerState, decode
from mesh.errors import ClosedError, NoServer, RemoteProtocolError

__all__ = ["ClientCore", "Counters"]

_Handler: TypeAlias = Callable[[Any, float], None]
_PONGS_MAX = 16
"""PONGs of one message that are looked at; nobody has so many PINGs out, and a thousand take long to read."""
_CONNECTING, _PROVING, _ALIVE, _GONE = State.CONNECTING, State.PROVING, State.ALIVE, State.GONE
"""Each look at a member in its enum takes 0.2 us (CPython 3.11), and these are looked at for every answer."""
_LATE = 0.25
"""A Tick that comes later than this share of the time a PING may take makes silence the client's own fault."""


@dataclass(frozen=True, slots=True)
class Counters:
    """What a client has counted since it began."""

    calls: int
    open: int
    """Calls that have not ended."""
    moved: int
    """Attempts given up for another server."""
    hedged: int
    """Second attempts made while the first was still out."""
    hedges_won: int
    """Those that were answered first."""
    ejections: int
    """How often a server was left aside because it failed while others succeeded."""
    retries_paid: int
    """Retries that were drawn from the budget."""
    dials: int
    """Connections that were tried."""
    lost: int
    """Connections that carried calls and were lost."""
    late_replies: int
    """Answers that nobody waited for any more."""
    garbage: int
    """Messages that could not be read."""
    stray: int
    """Messages of connections that are gone."""
    unknown_records: int
    """Records of kinds that this version does not know."""
    peers_refused: int
    """Advertisements left aside because there were too many."""


class ClientCore:
    """Everything a client decides.

    Args:
        config: Settings.
        rng: The only source of randomness.
        realm: Servers of other realms are not used.
    """

    def __init__(self, config: ClientConfig, rng: random.Random, realm: str = "default") -> None:
        self._limits = config.limits
        self._out = ClientActions()
        self._pools = Pools()
        self._timers: Timers[Server | Connection | PendingCall | Watch] = Timers()
        self._budget = RetryBudget(config.retry_ratio, config.retry_min_per_s, config.hedge_ratio)
        self._watches: dict[Watch, None] = {}
        self._now = 0.0
        self._garbage = self._stray = self._unknown = 0
        self.closed: bool = False
        roster = self._roster = Roster(realm, config.peers_max, config.addresses_max, config.window_max)
        self._late_s = config.ping_timeout_s * _LATE
        self._outliers = Outliers(config, rng, self._pools)
        links = self._links = Links(config, rng, roster, self._pools, self._timers, self._outliers, self._out)
        attempts = self._attempts = Attempts(config, self._timers, self._out)
        calls = self._dispatcher = Dispatcher(
            config, rng, roster, self._pools, self._timers, self._budget, attempts, self._out
        )
        links.on_ready = self._on_ready
        links.on_doubt = calls.doubted
        links.on_lost = calls.lost
        links.on_forgotten = calls.forgotten
        calls.place = attempts.place = links.place
        calls.ask = links.ask
        calls.push_back = links.push_back
        calls.accuse = links.failed
        calls.describe = self._describe
        calls.is_full = self._is_full
        self._handlers: dict[type, _Handler] = {
            CallsRequested: calls.requested,
            Received: self._on_received,
            Tick: self._on_tick,
            CallAbandoned: lambda event, now: calls.abandoned(event.call, now),
            LinkReached: lambda event, now: links.reached(event.conn_id, now),
            LinkUp: lambda event, now: links.up(event.conn_id, now),
            LinkDown: lambda event, now: links.down(event.conn_id, event.why, event.unsent, now),
            PeerAdded: lambda event, now: links.seen(event.peer, now),
            PeerUpdated: lambda event, now: links.seen(event.peer, now),
            PeerRemoved: lambda event, now: links.vanished(event.peer.peer_id, now),
            WatchRequested: self._on_watch,
            Stopping: self._on_stopping,
        }

    def handle(self, event: ClientEvent, now: float) -> list[ClientAction]:
        """Take in what happened and return what to do, in order.

        Args:
            event: One event.
            now: Seconds of a monotonic clock; never less than before.
        """
        assert now >= self._now, f"time went back from {self._now} to {now}"
        self._now = now
        self._handlers[type(event)](event, now)
        return self._out.take()

    def deadline(self) -> float | None:
        """Return when the next Tick is due, None for never. O(1)."""
        return self._timers.deadline()

    def observe(self, observer: CallObserver) -> None:
        """Have an observer see what becomes of the calls from now on."""
        self.handle = observed(self.handle, self._dispatcher.open, observer)  # type: ignore[assignment, method-assign]

    @property
    def open_calls(self) -> int:
        """How many calls have not ended."""
        return len(self._dispatcher.open)

    def views(self, now: float) -> list[ServerView]:
        """Return every server as it stands."""
        return [view_of(server, now) for server in self._roster]

    def counters(self) -> Counters:
        """Return what was counted so far."""
        calls = self._dispatcher
        return Counters(
            calls=calls.calls,
            open=len(calls.open),
            moved=self._attempts.moved,
            ejections=self._outliers.ejections,
            hedged=self._attempts.hedged,
            hedges_won=self._attempts.hedges_won,
            retries_paid=self._budget.spent,
            dials=self._links.dials,
            lost=self._links.lost,
            late_replies=calls.late,
            garbage=self._garbage,
            stray=self._stray,
            unknown_records=self._unknown,
            peers_refused=self._roster.refused,
        )

    def _refuse(self, event: CallsRequested, now: float) -> None:
        for call in event.calls:
            call.error = ClosedError("the client is closed")
            call.done = True
            self._out.finish(call)

    def _on_received(self, event: Received, now: float) -> None:
        conn = self._links.conns.get(event.conn_id)
        if conn is None:
            self._stray += 1
            return
        if conn.proto != MESH:
            self._on_plain(conn, event.frames, now)
            return
        try:
            message = decode(event.frames, self._limits)
        except RemoteProtocolError as error:
            self._on_garbage(conn, str(error))
            return
        links, calls = self._links, self._dispatcher
        self._unknown += message.unknown
        proven = conn.state is not _CONNECTING and conn.state is not _PROVING
        pongs = 0
        if conn.state is _ALIVE:
            conn.heard_at = now
        records = message.records
        replies = [record for record in records if type(record) is Reply]
        if not proven:
            self._unknown += len(replies)
        elif replies:
            calls.answered(conn, replies, now)
        for record in records if len(replies) < len(records) else ():
            if type(record) is Reply:
                continue
            if type(record) is Pong:
                pongs += 1
                if pongs <= _PONGS_MAX:
                    links.pong(conn, record, now)
            elif type(record) is Hello:
                problem = hello_problem(record)
                if problem:
                    self._on_garbage(conn, problem)
                else:
                    links.hello(conn, record, now)
            else:
                self._unknown += 1
            if conn.state is _GONE:
                break
        if conn.server.pool == NONE:
            links.place(conn.server, now)  # its window was full: once, however many answers came
        if proven and conn.state is not _ALIVE and conn.state is not _GONE:
            links.heard(conn, now)  # last, so that its calls are given by what its PONG says of its window and state

    def _on_plain(self, conn: Connection, frames: list[bytes], now: float) -> None:
        if frames == [PONG] and conn.proto != REP:
            self._links.flp_pong(conn, now)
            return
        body = frames[2:] if conn.proto == REP and frames[1:2] == [b""] else frames[1:]
        if len(frames) < 2 or len(frames[0]) != 8 or conn.state in (_CONNECTING, _PROVING):
            self._on_garbage(conn, "not an answer to a call")
            return
        self._links.heard(conn, now)
        answer = body[0] if len(body) == 1 else list(body)
        call_id = int.from_bytes(frames[0], "big")
        self._dispatcher.answered(conn, [Reply(call_id, 0, answer, len(conn.inflight))], now)  # type: ignore[arg-type]
        if conn.server.pool == NONE:
            self._links.place(conn.server, now)

    def _on_garbage(self, conn: Connection, what: str) -> None:
        self._garbage += 1
        self._out.append(Notice("garbage", f"{conn.server.name} ({conn.endpoint}): {what}"))

    def _on_ready(self, server: Server, now: float) -> None:
        self._dispatcher.ready(server, now)
        for watch in list(self._watches):
            if self._satisfied(watch):
                self._end_watch(watch)

    def _on_watch(self, event: WatchRequested, now: float) -> None:
        watch = event.watch
        if self.closed:
            watch.error = ClosedError("the client is closed")
            watch.done = True
            self._out.finish(watch)
            return
        self._watches[watch] = None
        self._timers.set(watch, watch.deadline)
        if self._satisfied(watch):
            self._end_watch(watch)

    def _satisfied(self, watch: Watch) -> bool:
        there = 0
        for server in self._roster:
            conn = server.active
            if conn is not None and conn.state is State.ALIVE and not server.realm_note:
                serves = server.server_state == ServerState.SERVING
                there += serves and (not watch.service or watch.service in server.services)
        return there >= watch.count

    def _end_watch(self, watch: Watch) -> None:
        self._timers.clear(watch)
        self._watches.pop(watch, None)
        watch.done = True
        self._out.finish(watch)

    def _on_tick(self, event: Tick, now: float) -> None:
        timers = self._timers
        due = timers.deadline()
        self._links.late = due is not None and now - due > self._late_s
        item = timers.due(now)
        while item is not None:
            if type(item) is PendingCall:
                self._dispatcher.timer(item, now)
            elif type(item) is Connection:
                self._links.timer(item, now)
            elif type(item) is Server:
                self._links.server_timer(item, now)
            elif type(item) is Watch:
                what = "No server" if item.count == 1 else f"Fewer than {item.count} servers"
                whose = f" of {item.service}" if item.service else ""
                item.error = NoServer(
                    f"{what}{whose} within {now - item.started_at:.3g} s. "
                    + describe_servers(item.service, self._roster, now),
                    elapsed_s=now - item.started_at,
                )
                self._end_watch(item)
            item = timers.due(now)

    def _on_stopping(self, event: Stopping, now: float) -> None:
        self.closed = True
        self._handlers[CallsRequested] = self._refuse
        error = ClosedError("the client was closed while the call was open")
        self._dispatcher.fail_all(error, now)
        for watch in list(self._watches):
            watch.error = error
            self._end_watch(watch)
        self._links.close_all(now)

    def _is_full(self, call: PendingCall) -> bool:
        servers = self._roster.find(call.peer) if call.peer else self._roster
        return any(
            server.active is not None
            and server.active.state is State.ALIVE
            and len(server.active.inflight) >= server.window
            and (call.service in server.services or call.service == ANY)
            for server in servers
        )

    def _describe(self, call: PendingCall, now: float) -> str:
        return describe_servers(call.service, self._roster, now, peer=call.peer, plain=call.plain)
