"""Connections of a client: dialling, pinging, and telling who is alive.

Discovery proposes: a record makes its addresses be dialled, all in parallel. Pings dispose: the first address that
answers carries the calls, the others are closed. The transport never redials by itself; each dial is a new connection.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.core import backoff
from mesh.core.actions import ClientActions, Connect, Disconnect, Notice, Search, SendFrames
from mesh.core.dialect import PING
from mesh.core.liveness import Sign, State, next_state
from mesh.core.peers import CLOCK_AGE_MAX_S, FLP, MESH, REP, Connection, Server
from mesh.core.routing import ANY, NONE, READY, SECOND, Pools
from mesh.core.wire import Hello, Ping, Pong, ServerState

if TYPE_CHECKING:
    from discovery.model import Address, Peer
    from mesh.config import ClientConfig
    from mesh.core.calls import PendingCall, Watch
    from mesh.core.outliers import Outliers
    from mesh.core.roster import Roster
    from mesh.core.timers import Timers

__all__ = ["Links"]

_PINGS_KEPT = 16
_PINGS_APART_S = 0.02
"""Very many idle servers are asked some at a time: to wake for each PING and each PONG costs twice the processor."""
_RECYCLE_MISSES = 12
"""A dead connection that holds no call is dialled anew after so many unanswered PINGs."""
_HANDICAP = 8.0
_REDIALS = 4
"""A server that is known is dialled so often within the time of one dial, as long as nobody takes the connection: the
kernel repeats what was lost in a cut network after 1 s, then 2, 4 (RFC 6298), and the heal is to be noticed sooner."""
_REDIAL_PAUSE_S = 0.02
"""Between two such dials of all servers together: fifty a second."""
_STEADY_S = 1.0
"""A connection that lasted for so long was no failure; one that breaks when it is made is dialled less often."""
_STRANGERS_FEW = 64
"""Servers that never answered and are dialled as often as others. More look like a flood of false advertisements."""
_STRANGER_S = 0.04
"""Longest additional pause of a stranger then, times their number: 50 dials a second for all of them together."""
_SEARCH_S = 5.0
"""Discovery is asked for others so often at most: a server may fall silent again and again."""
_PLAIN_WINDOW = 32
"""Calls in flight at a server that does not tell its window."""


class Links:
    """The connections of one client; tells its owner who came, is in doubt, is lost."""

    def __init__(
        self,
        config: ClientConfig,
        rng: random.Random,
        roster: Roster,
        pools: Pools,
        timers: Timers[Server | Connection | PendingCall | Watch],
        outliers: Outliers,
        out: ClientActions,
    ) -> None:
        self._config = config
        self._rng = rng
        self._roster = roster
        self._pools = pools
        self._timers = timers
        self._out = out
        self._conn_ids = 0
        self._nonces = 0
        self._search_at = 0.0
        self._trusting_until = 0.0
        """Until then strangers are no flood."""
        self._redial_at = 0.0
        self._outliers = outliers
        self._warm_step_s = config.slow_start_s / 3.0
        self.late: bool = False
        """This Tick came so late that silence may be the client's own."""
        self.lost: int = 0
        """Connections that carried calls and were lost."""
        self.conns: dict[int, Connection] = {}
        """Every connection that is not gone, by id."""
        self._strangers: dict[Server, None] = {}
        """Servers that were dialled in vain and have never said who they are."""
        self.on_ready: Callable[[Server, float], None]
        """The server can take calls again."""
        self.on_doubt: Callable[[Connection, float], None]
        """The connection has become a suspect or dead."""
        self.on_lost: Callable[[Connection, tuple[int, ...], str, float], None]
        """The connection is gone; some of its calls may never have been written."""
        self.on_forgotten: Callable[[Server, float], None]
        """The process that the server was has ended, or may never be met again."""

    @property
    def dials(self) -> int:
        """Connections that were tried."""
        return self._conn_ids

    # -- what discovery says

    def seen(self, peer: Peer, now: float) -> None:
        """Discovery has added or changed a peer."""
        server = self._roster.record(peer)
        if server is None:
            self._out.append(Notice("limit", f"peers_max: {peer.name} is left aside"))
            return
        # In a flood, more records of one that never answered do not have it dialled more often.
        flooding = server in self._strangers and len(self._strangers) > _STRANGERS_FEW
        if server.active is None and not server.realm_note and not flooding:
            # A dial that waits was perhaps lost in a network that was cut, and is whole now that word comes through.
            for conn in list(server.conns.values()):
                if conn.state is State.CONNECTING and now - conn.dialled_at >= self._config.dial_timeout_s / 4:
                    self._close(conn)
            if not server.conns:
                server.failures = 0
            self._dial(server, now)
        self.place(server, now)

    def vanished(self, key: str, now: float) -> None:
        """Discovery has lost a peer; one that answers stays."""
        server = self._roster.withdraw(key)
        if server is None or server.records or server.active is not None:
            return
        for conn in list(server.conns.values()):
            self._close(conn)
        self._forget(server, now)

    # -- what the transport says

    def reached(self, conn_id: int, now: float) -> None:
        """Somebody has taken the connection: its handshake gets the whole time of a dial."""
        conn = self.conns.get(conn_id)
        if conn is not None and conn.state is State.CONNECTING and not conn.reached:
            conn.reached = True
            conn.server.unheard = False
            self._timers.set(conn, now + self._config.dial_timeout_s)

    def up(self, conn_id: int, now: float) -> None:
        """The handshake is done: ask for a sign of life. A REP server cannot be asked; its handshake has to do."""
        conn = self.conns.get(conn_id)
        if conn is None or conn.state is not State.CONNECTING:
            return
        conn.state = next_state(conn.state, Sign.LINK_UP)
        if conn.proto == REP:
            self._proven(conn, now)
        else:
            self.ping(conn, now)
            self._timers.set(conn, now + self._config.dial_timeout_s)

    def down(self, conn_id: int, why: str, unsent: tuple[int, ...], now: float) -> None:
        """The transport has lost a connection, or could not make it."""
        conn = self.conns.get(conn_id)
        if conn is None:
            return
        server = conn.server
        if conn.state is State.CONNECTING and server.unheard and conn.address in server.addresses:
            # After silence this is rather the kernel's word than the host's: it has asked three times who has the
            # address (EHOSTUNREACH, which libzmq does not tell from a refusal), and asks again for the next dial.
            server.unheard = False
            self._remove(conn)
            self._connect(server, conn.address, conn.sought_at, now)
            return
        refused = conn.state is State.CONNECTING and now - conn.dialled_at < self._config.dial_timeout_s / 2
        self._gone(conn, why, unsent, now, refused=refused)

    # -- what the server says

    def heard(self, conn: Connection, now: float) -> None:
        """A message came on a proven connection; whatever it is, it answers a PING."""
        conn.heard_at = now
        conn.pong_deadline = 0.0
        conn.excused = False
        if conn.state is State.SUSPECT or conn.state is State.DEAD:
            was_dead = conn.state is State.DEAD
            if was_dead:
                self._back(conn.server, now)
                self._begin_slowly(conn, now)
                conn.pings.clear()  # their answers would say how long it was dead, not how long a round trip takes
            conn.state = next_state(conn.state, Sign.LIFE)
            conn.misses = 0
            self._out.append(Notice("peer", f"{conn.server.name} ({conn.endpoint}) is alive"))
            self.place(conn.server, now)
            if was_dead:
                self.ask(conn, now)  # how far it is now, and what its clock says: it may have slept

    def hello(self, conn: Connection, hello: Hello, now: float) -> None:
        """The server has said who it is."""
        if conn.server.active is conn and not self._roster.may_be(conn.server, hello.peer_id):
            self._disconnect(conn)
            self._gone(conn, "it says that it is another server now", (), now)
            return
        server, dialled = self._roster.identify(conn, hello)
        if dialled is not None and not dialled.conns:
            self._displaced(dialled, f"{server.name} has its address now", now)
        self.place(server, now)

    def pong(self, conn: Connection, pong: Pong, now: float) -> None:
        """A PONG came: the only thing that proves a connection."""
        if conn.state is not State.DEAD:  # else it says how long it was dead, not how long a round trip takes
            conn.answered(pong, now)
        server = conn.server
        server.load = pong.load
        server.server_state = pong.state
        server.tells_window(max(1, min(self._config.window_max, pong.window)))
        if conn.state is State.CONNECTING or conn.state is State.PROVING:
            self._proven(conn, now)
        else:
            self.heard(conn, now)
            self.place(server, now)

    def flp_pong(self, conn: Connection, now: float) -> None:
        """A 10/FLP PONG came; it answers the oldest PING, for it carries nothing."""
        proving = conn.state is State.CONNECTING or conn.state is State.PROVING
        if not proving:
            self.heard(conn, now)
        if conn.pings:
            nonce = next(iter(conn.pings))
            conn.answered(Pong(nonce, 0, 0), now)
        if proving:
            self._proven(conn, now)

    # -- pings

    def ping(self, conn: Connection, now: float) -> None:
        """Ask for a sign of life; an unanswered PING makes a suspect."""
        self._nonces += 1
        conn.pings[self._nonces] = now
        if len(conn.pings) > _PINGS_KEPT:
            del conn.pings[next(iter(conn.pings))]
        if conn.proto == FLP:
            self._out.append(SendFrames(conn.conn_id, [PING], 0))
        else:
            proving = conn.state is State.CONNECTING or conn.state is State.PROVING
            self._out.send(conn.conn_id, Ping(self._nonces, proving))
        if not conn.pong_deadline:
            patience = self._config.ping_interval_s if conn.state is State.DEAD else self._patience_s(conn)
            conn.pong_deadline = now + patience

    def ask(self, conn: Connection, now: float) -> None:
        """Ask at once, because a call is overdue; does nothing while an answer is outstanding."""
        if conn.proto == REP or conn.pong_deadline:
            return
        self.ping(conn, now)
        self._look_later(conn, now)

    def _patience_s(self, conn: Connection) -> float:
        return max(self._config.ping_timeout_s, conn.rtt.bound_s())

    def timer(self, conn: Connection, now: float) -> None:
        """The deadline of a connection has come."""
        if conn.state is State.CONNECTING and not conn.reached:
            conn.server.unheard = True
            if now < conn.sought_at + self._config.dial_timeout_s:
                self._redial(conn, now)
                return
        if conn.state is State.CONNECTING or conn.state is State.PROVING:
            stage = "no connection" if conn.state is State.CONNECTING else "connected, but no PONG"
            self._disconnect(conn)
            self._gone(conn, f"{stage} within {self._config.dial_timeout_s:g} s", (), now)
            return
        if conn.proto == REP:
            return
        if conn.pong_deadline and now >= conn.pong_deadline:
            if self.late and not conn.excused:
                conn.excused = True
                conn.pong_deadline = now + self._patience_s(conn)
                self._timers.set(conn, conn.pong_deadline)
                return
            self._missed(conn, now)
            if conn.state is State.GONE:
                return
        silent = now >= conn.heard_at + self._interval_s(conn)
        # A connection that is never silent is asked as well, now and then: only a PONG tells the server's clock.
        if not conn.pong_deadline and (silent or now >= conn.clock_at + CLOCK_AGE_MAX_S):
            self.ping(conn, now)
        self._look_later(conn, now)

    def _look_later(self, conn: Connection, now: float) -> None:
        """Arm its timer: within an interval even if the PONG has more time, for its answer sets no timer anew."""
        interval_s = self._interval_s(conn)
        when = min(conn.pong_deadline, now + interval_s) if conn.pong_deadline else conn.heard_at + interval_s
        if interval_s > self._config.ping_interval_s:
            when = math.ceil(when / _PINGS_APART_S) * _PINGS_APART_S
        self._timers.set(conn, when)

    def _interval_s(self, conn: Connection) -> float:
        """Return after how much silence it is asked: more where it is one of very many that have nothing to do."""
        interval_s = self._config.ping_interval_s
        if conn.state is State.ALIVE and not conn.inflight:
            return max(interval_s, len(self.conns) / self._config.pings_per_s_max)
        return interval_s

    def _missed(self, conn: Connection, now: float) -> None:
        conn.misses += 1
        conn.pong_deadline = 0.0
        conn.excused = False
        before = conn.state
        sign = Sign.MISSES if conn.misses >= self._config.misses_max else Sign.UNANSWERED
        conn.state = next_state(before, sign)
        if conn.state is State.DEAD and conn.misses >= _RECYCLE_MISSES and not conn.inflight:
            self._disconnect(conn)
            self._gone(conn, f"no PONG in {now - conn.heard_at:.1f} s", (), now)
            return
        self.ping(conn, now)
        if conn.state is not before:
            self._out.append(Notice("peer", f"{conn.server.name} ({conn.endpoint}) is {conn.state.value}"))
            self.place(conn.server, now)
            self.on_doubt(conn, now)

    # -- coming and going

    def server_timer(self, server: Server, now: float) -> None:
        """A pause of a server is over: push-back, ejection, a step of its slow start, or backoff between dials."""
        if server.pushback_until and server.pushback_until <= now:
            server.pushback_until = 0.0
            self.place(server, now)
        if server.ejected_until and server.ejected_until <= now:
            self._outliers.readmit(server, now)
            self._slow_start(server, now)
            self.place(server, now)
        if server.warmer_at and server.warmer_at <= now:
            server.handicap /= 2.0
            server.warmer_at = now + self._warm_step_s if server.handicap > 1.0 else 0.0
        if server.dial_at and server.dial_at <= now:
            self._dial(server, now)
        self._arm(server)

    def push_back(self, server: Server, pause_s: float, now: float) -> None:
        """The server has asked to be left alone for a while."""
        server.pushback_until = max(server.pushback_until, now + pause_s)
        self._arm(server)
        self.place(server, now)

    def failed(self, server: Server, service: str, now: float) -> None:
        """A server has answered with a failure, which may be its own fault."""
        if self._outliers.failed(server, service, now):
            text = f"{server.name} fails while others succeed: left aside for {server.ejected_s:g} s"
            self._out.append(Notice("peer", text))
            self._arm(server)
            self.place(server, now)

    def _begin_slowly(self, conn: Connection, now: float) -> None:
        """The server is new, or back."""
        server = conn.server
        server.latency_s = server.latency_s or max(conn.rtt.value_s, self._usual_latency_s(server))
        self._slow_start(server, now)

    def _slow_start(self, server: Server, now: float) -> None:
        """Let its share of the calls grow from an eighth, in three steps."""
        if self._warm_step_s > 0:
            server.handicap = _HANDICAP
            server.warmer_at = now + self._warm_step_s
            self._arm(server)

    def place(self, server: Server, now: float) -> None:
        """Put a server into the pools that its state asks for."""
        conn = server.active
        pool = NONE
        serves = server.server_state == ServerState.SERVING
        if (
            conn is not None
            and server.server_state != ServerState.NOT_SERVING
            and not server.realm_note
            and not server.pushback_until
            and len(conn.inflight) < server.window
        ):
            if conn.state is State.ALIVE and serves and not server.ejected_until:
                pool = READY
            elif conn.state is State.ALIVE or conn.state is State.SUSPECT:
                pool = SECOND
        services = (*server.services, ANY) if server.proto == MESH else server.services
        if self._pools.place(server, pool, services) and pool != NONE:
            self.on_ready(server, now)

    def close_all(self, now: float) -> None:
        """Take every connection down, and dial no more."""
        for conn in list(self.conns.values()):
            self._close(conn)
        for server in self._roster:
            server.active = None
            server.dial_at = 0.0
            self._timers.clear(server)
            self.place(server, now)

    def _dial(self, server: Server, now: float) -> None:
        server.dial_at = 0.0
        server.tried.clear()
        for address in server.addresses:
            holder = self._roster.claims.get(address)
            if holder is not None and _gives_way(holder, server):
                self._disconnect(holder)
                self._gone(holder, "a server that can prove itself is said to have its address", (), now)
            elif holder is not None:
                if holder.server is not server:
                    server.tried[address] = f"{holder.server.name} has it"
                if holder.server.identity:
                    self._roster.adopt(address, server, holder.server)
                continue
            self._connect(server, address, now, now)
        if not server.conns and server.addresses:
            self._displaced(server, "another server holds its address", now)

    def _connect(self, server: Server, address: Address, sought_at: float, now: float) -> None:
        self._conn_ids += 1
        conn = Connection(self._conn_ids, server, address, sought_at, now)
        self.conns[conn.conn_id] = conn
        server.conns[conn.conn_id] = conn
        self._roster.claims[address] = conn
        self._out.append(Connect(conn.conn_id, address, server.proto))
        until = sought_at + self._config.dial_timeout_s
        if server.rtt_s:
            until = min(until, now + max(self._config.dial_timeout_s / _REDIALS, 2.0 * server.rtt_s))
        self._timers.set(conn, until)

    def _redial(self, conn: Connection, now: float) -> None:
        """Nobody has answered yet where a server used to be: ask again, instead of leaving that to the kernel."""
        if now < self._redial_at:
            self._timers.set(conn, conn.sought_at + self._config.dial_timeout_s)
            return
        self._redial_at = now + _REDIAL_PAUSE_S
        self._close(conn)
        self._connect(conn.server, conn.address, conn.sought_at, now)

    def _proven(self, conn: Connection, now: float) -> None:
        server = conn.server
        conn.state = next_state(conn.state, Sign.LIFE)
        conn.heard_at = now
        conn.pong_deadline = 0.0
        was_stranger = server in self._strangers
        self._strangers.pop(server, None)
        server.dial_at = 0.0
        if server.active is not None and server.active.state is State.ALIVE:
            self._slower(conn)
            return
        for other in list(server.conns.values()):
            if other is not conn and other is not server.active:
                self._slower(other)
        if server.active is not None:
            active = server.active
            self._disconnect(active)
            self._gone(active, "a better address answered", (), now)
        server.active = conn
        if server.fell_silent or was_stranger:
            server.fell_silent = False
            self._back(server, now)
        if server.boot != conn.boot:
            server.boot = conn.boot
            server.failing = server.ejected_until = server.ejected_s = 0.0
        self._begin_slowly(conn, now)
        if server.proto != MESH:
            server.tells_window(min(self._config.window_max, _PLAIN_WINDOW))
        if conn.proto != REP:
            self._timers.set(conn, now + self._config.ping_interval_s)
        else:
            self._timers.clear(conn)
        self._out.append(Notice("peer", f"{server.name} ({conn.endpoint}) is alive"))
        self.place(server, now)

    def _back(self, server: Server, now: float) -> None:
        """A server that was silent answers: its silence was no latency, and perhaps a network was cut and is whole.

        Then strangers are no flood, and others were born behind the cut.
        """
        server.latency_s = 0.0
        if now >= self._search_at:
            self._trusting_until = now + 2.0 * self._config.dial_timeout_s
            for server in self._strangers:
                if server.dial_at > now + self._config.dial_timeout_s:
                    server.dial_at = now + self._rng.random() * self._config.dial_timeout_s
                    self._arm(server)
            self._search(now)

    def _search(self, now: float) -> None:
        """Ask discovery who is there, for there is a reason to think that it has missed somebody."""
        if now >= self._search_at:
            self._search_at = now + _SEARCH_S
            self._out.append(Search())

    def _usual_latency_s(self, server: Server) -> float:
        """Return how long one of its siblings takes to answer: a new server is taken to be no faster."""
        for service in server.services:
            ready = self._pools.ready.get(service)
            if ready is not None:
                return ready.servers[int(self._rng.random() * len(ready))].latency_s
        return 0.0

    def _gone(self, conn: Connection, why: str, unsent: tuple[int, ...], now: float, *, refused: bool = False) -> None:
        server = conn.server
        was = conn.state
        self._remove(conn)
        server.failure = server.tried[conn.address] = why
        if conn.rtt.count:
            server.rtt_s = conn.rtt.bound_s()
        if was is not State.CONNECTING and now - conn.dialled_at >= _STEADY_S:
            server.failures = 0
        if server.active is conn:
            self.lost += 1
            server.active = None
            server.fell_silent = was is State.SUSPECT or was is State.DEAD
            server.dial_at = 0.0
            self.place(server, now)
            self._out.append(Notice("peer", f"{server.name} ({conn.endpoint}) is lost: {why}"))
        self.on_lost(conn, unsent, why, now)
        if server.conns or server.active is not None:
            return
        if refused:  # nobody listens there any more: what ran there ended with its process
            self.on_forgotten(server, now)
            if not self.conns and not server.failures:
                self._search(now)  # nobody is left whom discovery has told of
        if server.records:
            self._rest(server, why, conn.sought_at if was is State.CONNECTING else now, now)
        else:
            self._forget(server, now)

    def _displaced(self, server: Server, why: str, now: float) -> None:
        """Another server answers where this one was looked for."""
        if server.records:
            self.on_forgotten(server, now)
            self._rest(server, why, now, now)
        else:
            self._forget(server, now)

    def _rest(self, server: Server, why: str, since: float, now: float) -> None:
        """Wait before the next dial; a dial that nobody answered was a wait as well, and `since` says from when."""
        server.failures += 1
        server.failure = why
        pause = backoff.delay(
            server.failures, self._rng, self._config.dial_backoff_min_s, self._config.dial_backoff_max_s
        )
        if not server.identity:
            self._strangers[server] = None
            if len(self._strangers) > _STRANGERS_FEW and now >= self._trusting_until:
                pause += self._rng.random() * _STRANGER_S * len(self._strangers)
        server.dial_at = since + pause
        self._arm(server)

    def _arm(self, server: Server) -> None:
        pauses = (server.dial_at, server.pushback_until, server.ejected_until, server.warmer_at)
        due = [when for when in pauses if when]
        if due:
            self._timers.set(server, min(due))

    def _forget(self, server: Server, now: float) -> None:
        self._strangers.pop(server, None)
        self._timers.clear(server)
        self._roster.drop(server)
        self.on_forgotten(server, now)
        peer = self._roster.admit()
        if peer is not None:
            self.seen(peer, now)

    def _slower(self, conn: Connection) -> None:
        conn.server.tried[conn.address] = "another address answered first"
        self._close(conn)

    def _close(self, conn: Connection) -> None:
        self._disconnect(conn)
        self._remove(conn)

    def _disconnect(self, conn: Connection) -> None:
        self._out.append(Disconnect(conn.conn_id))

    def _remove(self, conn: Connection) -> None:
        conn.state = State.GONE
        self._timers.clear(conn)
        self.conns.pop(conn.conn_id, None)
        conn.server.conns.pop(conn.conn_id, None)
        if self._roster.claims.get(conn.address) is conn:
            del self._roster.claims[conn.address]


def _gives_way(holder: Connection, server: Server) -> bool:
    """Return whether a connection leaves its address to a server that is said to be there.

    A REP or 10/FLP server cannot say who it is, so a false advertisement of one would keep away the mesh/1 server that
    has the address. One that the user has named, or that has answered a call, stays.
    """
    if server.proto != MESH or holder.proto == MESH or holder.server.answered:
        return False
    return not any("static" in record.sources for record in holder.server.records.values())
