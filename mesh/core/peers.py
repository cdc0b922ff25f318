"""What a client knows of a server: its connections, its clock, its speed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mesh.core.liveness import State
from mesh.core.stats import Histogram, Smoothed
from mesh.core.timers import NEVER
from mesh.core.wire import Pong, ServerState

if TYPE_CHECKING:
    from discovery.model import Address, Peer
    from mesh.core.calls import PendingCall

__all__ = ["BODY_UNBOUNDED", "CLOCK_AGE_MAX_S", "FLP", "MESH", "PROTOCOLS", "REP", "Connection", "Server"]

MESH = "mesh/1"
FLP = "flp"
REP = "rep"
PROTOCOLS = (MESH, FLP, REP)

BODY_UNBOUNDED = sys.maxsize
"""`Server.body_max` of one that does not tell."""
_WINDOW_GROWS_S = 1.0
"""A window that was cut by a refusal grows by a quarter in so many seconds: each try that fails costs a push-back."""
_GAIN = 0.2
"""How much one answer counts in the smoothed share of failures."""
_RISE, _FALL = 0.3, 0.1
"""How much of the difference of a longer and of a shorter answer goes into the smoothed latency."""
CLOCK_AGE_MAX_S = 60.0
"""A clock offset older than this is asked for again, and gives way to a less exact one: clocks drift."""
_CLOCK_STEP_S = 0.002
"""What rounding to milliseconds may add to the difference of two offsets."""
_CLOCK_MAX_MS = 1 << 53
"""No honest clock says more; deadlines on it still fit the 64 bits of a record."""


class Connection:
    """One dial of one address of one server; its id is never used again."""

    __slots__ = (
        "address",
        "boot",
        "clock_at",
        "clock_error_s",
        "clock_shift_s",
        "conn_id",
        "dialled_at",
        "excused",
        "endpoint",
        "heard_at",
        "inflight",
        "misses",
        "pings",
        "pong_deadline",
        "proto",
        "reached",
        "rtt",
        "server",
        "sought_at",
        "state",
        "timer_at",
    )

    def __init__(self, conn_id: int, server: Server, address: Address, sought_at: float, now: float) -> None:
        self.conn_id: int = conn_id
        self.server: Server = server
        self.address: Address = address
        self.endpoint: str = f"tcp://{address}"
        self.proto: str = server.proto
        self.state: State = State.CONNECTING
        self.dialled_at: float = now
        self.sought_at: float = sought_at
        """When the address was dialled first, if nobody has answered there since."""
        self.reached: bool = False
        """Somebody has taken the TCP connection."""
        self.heard_at: float = now
        self.inflight: dict[int, PendingCall] = {}
        """Calls that this server holds, oldest first."""
        self.pings: dict[int, float] = {}
        """Nonces of unanswered PINGs and when they were sent, oldest first."""
        self.pong_deadline: float = 0.0
        """When the outstanding PING counts as missed; 0 without one."""
        self.misses: int = 0
        self.excused: bool = False
        """The outstanding PING has been given more time, because the client itself was late."""
        self.rtt: Smoothed = Smoothed()
        self.boot: int = 0
        self.clock_shift_s: float = 0.0
        """To be added to a time of ours for the server's clock; late by the error of the offset, never early."""
        self.clock_error_s: float = float("inf")
        self.clock_at: float = 0.0
        self.timer_at: float = NEVER

    def answered(self, pong: Pong, now: float) -> None:
        """Learn from a PONG: the round trip, and the server's clock from the quickest one."""
        sent_at = self.pings.get(pong.nonce)
        if sent_at is None:
            return
        while self.pings:
            nonce = next(iter(self.pings))
            del self.pings[nonce]
            if nonce == pong.nonce:
                break
        rtt = now - sent_at
        self.rtt.add(rtt)
        error = rtt / 2
        shift = min(max(pong.clock, 0), _CLOCK_MAX_MS) / 1000.0 - (sent_at + now) / 2 + error
        if (
            pong.boot != self.boot
            or error <= self.clock_error_s
            or now - self.clock_at > CLOCK_AGE_MAX_S
            or self._contradicts(shift, error)
        ):
            self.boot = pong.boot
            self.clock_shift_s = shift
            self.clock_error_s = error
            self.clock_at = now

    def _contradicts(self, shift: float, error: float) -> bool:
        """Return whether no clock could have given both this offset and the one that is known.

        One of the two has jumped then: the monotonic clock of Linux stands still while its machine sleeps.
        """
        earlier, later = sorted(((self.clock_shift_s, self.clock_error_s), (shift, error)))
        return earlier[0] + _CLOCK_STEP_S < later[0] - 2 * later[1]


class Server:
    """One server, however many addresses it has and wherever it was learnt."""

    __slots__ = (
        "active",
        "addresses",
        "body_max",
        "boot",
        "conns",
        "dial_at",
        "ejected_s",
        "ejected_until",
        "errors",
        "fell_silent",
        "failing",
        "failures",
        "failure",
        "handicap",
        "histogram",
        "identity",
        "latency_s",
        "load",
        "name",
        "once",
        "pool",
        "pools",
        "proto",
        "pushback_until",
        "readmitted_at",
        "realm_note",
        "records",
        "rtt_s",
        "server_state",
        "services",
        "timer_at",
        "tried",
        "unheard",
        "version",
        "warmer_at",
        "_window_grows_at",
        "window",
        "window_told",
    )

    def __init__(self, name: str, services: tuple[str, ...], proto: str, window: int) -> None:
        self.name: str = name
        self.services: tuple[str, ...] = services
        self.proto: str = proto
        self.identity: str = ""
        """The server's own id, proven by its HELLO."""
        self.records: dict[str, Peer] = {}
        """What discovery says, by its key; empty: nobody advertises it any more."""
        self.addresses: dict[Address, None] = {}
        self.tried: dict[Address, str] = {}
        """Why the addresses that were last dialled have no connection, or have none any more."""
        self.conns: dict[int, Connection] = {}
        self.active: Connection | None = None
        """The connection that carries the calls."""
        self.once: frozenset[str] = frozenset()
        """Methods that must not be repeated."""
        self.version: str = ""
        self.body_max: int = BODY_UNBOUNDED
        """Octets of the largest frame of a body that it takes."""
        self.window: int = window
        """Calls in flight that it may have of ours: what it tells, less after it has refused one for want of room."""
        self.window_told: int = window
        """What it tells, within what the client is configured for."""
        self._window_grows_at = 0.0
        self.server_state: int = ServerState.SERVING
        self.load: int = 0
        """Calls that it had not answered when it last spoke, whoever made them; fades while it is passed over."""
        self.latency_s: float = 0.0
        """Smoothed time to an answer, quick to rise and slow to fall."""
        self.histogram: Histogram = Histogram()
        self.errors: int = 0
        self.failing: float = 0.0
        """Smoothed share of its answers that were failures."""
        self.ejected_until: float = 0.0
        """Left aside for its failures until then; 0 if it is not."""
        self.ejected_s: float = 0.0
        """For how long, the last time."""
        self.readmitted_at: float = 0.0
        self.boot: int = 0
        """Boot id of the process that was there last."""
        self.handicap: float = 1.0
        """How many times as much it costs while it starts slowly; one choice in so many looks away."""
        self.warmer_at: float = 0.0
        """When the handicap shrinks; 0 without one."""
        self.dial_at: float = 0.0
        """When to dial again; 0 while there is a connection."""
        self.rtt_s: float = 0.0
        """Within which nearly every PING of its last connection was answered; 0 before there was one."""
        self.failures: int = 0
        """Dials in a row that came to nothing."""
        self.unheard: bool = False
        """Nobody took the connection of its last dial, and nobody refused it."""
        self.failure: str = ""
        """Why the last connection ended."""
        self.realm_note: str = ""
        """Why it is not used at all, where that is so."""
        self.fell_silent: bool = False
        """Its last connection had been dead or in doubt before it was lost."""
        self.pushback_until: float = 0.0
        self.pool: int = 0
        """Which pools it is in: see `Pools`."""
        self.pools: tuple[str, ...] = ()
        self.timer_at: float = NEVER

    @property
    def peer_id(self) -> str:
        """The proven identity, or the advertised one."""
        return self.identity or next(iter(self.records), "") or self.name

    def state(self) -> State | None:
        """Return the state of the active connection, else the most advanced one; None without any."""
        if self.active is not None:
            return self.active.state
        states = [conn.state for conn in self.conns.values()]
        if State.PROVING in states:
            return State.PROVING
        return State.CONNECTING if states else None

    def tells_window(self, window: int) -> None:
        """Take in the window that it tells."""
        if self.window == self.window_told or self.window > window:
            self.window = window
        self.window_told = window

    def refused(self, held: int, now: float) -> None:
        """It had no room for one more beside the `held` calls: give it no more, and then try a little more."""
        self.window = max(1, min(self.window, held))
        self._window_grows_at = now + _WINDOW_GROWS_S

    @property
    def answered(self) -> int:
        """How many calls it has answered."""
        return self.histogram.count

    def took(self, duration_s: float, now: float) -> None:
        """Learn from an answer that took so long; it is counted in the histogram besides."""
        if self.window < self.window_told and now >= self._window_grows_at:
            self.window = min(self.window_told, self.window + max(1, self.window // 4))
            self._window_grows_at = now + _WINDOW_GROWS_S
        if self.failing:
            self.failing -= self.failing * _GAIN
        gap = duration_s - self.latency_s
        self.latency_s += gap * (_RISE if gap > 0 else _FALL)

    def fails(self) -> None:
        """Learn from an answer that was a failure."""
        self.failing += (1.0 - self.failing) * _GAIN

    def kept(self, duration_s: float) -> None:
        """Learn from an attempt that it kept for so long without an answer: one would have taken longer still."""
        self.latency_s += max(0.0, duration_s - self.latency_s) * _RISE
