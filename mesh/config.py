"""Settings of a client and of a server: frozen, validated once, units in the names.

Every field says what it is, its unit, what limits it and why its default is what it is.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mesh.errors import ConfigError

__all__ = ["ClientConfig", "Limits", "ServerConfig"]

_KIB = 1024
_MIB = 1024 * _KIB


def _check(owner: object, low: float, high: float, *names: str) -> None:
    for name in names:
        value = getattr(owner, name)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ConfigError(f"{type(owner).__name__}.{name} is {value!r}; it takes a number from {low:g} to {high:g}")


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What one message may hold (see the wire protocol, section 4). Both sides enforce their own."""

    head_max: int = 1 * _MIB
    """Octets of a head frame, which carries the records and their small bodies."""
    body_max: int = 64 * _MIB
    """Octets of one body frame. ZeroMQ cuts a connection that sends frames of more than twice this."""
    frames_max: int = 256
    """Body frames of one call or reply."""
    records_max: int = 1024
    """Records in one message."""
    method_max: int = 255
    """Octets of a method's full name."""
    metadata_max: int = 8 * _KIB
    """Octets of a call's metadata, keys and values together."""
    key_max: int = 64
    """Octets of an idempotency key."""
    inline_max: int = 8 * _KIB
    """A body of this many octets or more travels in a frame of its own instead of in the head."""

    def __post_init__(self) -> None:
        _check(self, 4 * _KIB, 64 * _MIB, "head_max")
        _check(self, 1 * _KIB, 1024 * _MIB, "body_max")
        _check(self, 1, 65536, "frames_max", "records_max")
        _check(self, 255, 4096, "method_max")
        _check(self, 0, _MIB, "metadata_max")
        _check(self, 16, 1024, "key_max")
        _check(self, 0, self.head_max // 2, "inline_max")


@dataclass(frozen=True, kw_only=True)
class ClientConfig:
    """How a client watches servers, spreads calls and fails over."""

    timeout_s: float = 5.0
    """Deadline of a call that does not give its own, over all its attempts."""
    ping_interval_s: float = 1.0
    """Seconds between PINGs to a server that is silent. Traffic counts as a sign of life."""
    pings_per_s_max: float = 250.0
    """PINGs a second to all idle servers together: where there are so many that an interval would take more, those
    that have no call of ours are asked more rarely (a thousand: every 4 s). A call that is overdue asks at once."""
    ping_timeout_s: float = 0.1
    """Least time an urgent PING may stay unanswered before its server is a suspect; a slow link
    gets more (four smoothed round trips)."""
    misses_max: int = 3
    """Unanswered PINGs in a row after which a suspect is dead (10/FLP: two to three intervals)."""
    attempt_min_s: float = 0.05
    """Least time an attempt has before its server is asked for a sign of life. Adaptive above this:
    smoothed latency of the method plus four deviations."""
    attempt_initial_s: float = 0.1
    """The same for a method that was never answered yet."""
    attempt_patience: float = 10.0
    """An attempt at a server that answers PINGs but not the call is moved after this many times the
    adaptive attempt time; longer from its third attempt on."""
    attempt_patience_min_s: float = 1.0
    """Never moved from such a server before this, whatever the adaptive time."""
    window_max: int = 512
    """Calls in flight at one server. The pipe's high-water mark does not bound what the kernel swallows."""
    calls_max: int = 100_000
    """Calls that may be under way in one client; one more is refused at once."""
    dial_timeout_s: float = 1.0
    """Time for the TCP connection, and again for the first PONG."""
    dial_backoff_min_s: float = 0.05
    """First pause before a server is dialled again."""
    dial_backoff_max_s: float = 1.0
    """Longest pause before a server is dialled again. Each pause is drawn at random up to its bound."""
    addresses_max: int = 8
    """Addresses of one server that are tried in parallel."""
    peers_max: int = 1024
    """Servers that one client keeps; advertisements beyond are counted and left aside."""
    retry_ratio: float = 0.2
    """Retries that may follow a doubtful attempt, as a share of calls (Finagle's retry budget)."""
    retry_min_per_s: float = 10.0
    """Retries a second that are allowed where that is more."""
    hedge_ratio: float = 0.1
    """Second attempts at another server, while the first is still out, as a share of calls: for methods that may be
    repeated, once per call, paid from the retry budget, and the loser is cancelled. 0 turns them off."""
    hedge_slack_s: float = 0.01
    """A second attempt goes out this long after 1.1 times the time within which 95 % of the method's calls are
    answered. The margins keep methods that always take the same time from being tried twice."""
    eject_s: float = 1.0
    """A server whose answers are failures while others succeed gets no calls for this long; twice as long each time
    that it fails again soon after its return. 0 turns it off."""
    eject_max_s: float = 60.0
    """Never longer than this."""
    eject_share_max: float = 0.5
    """Share of the servers of one service that may be left aside like that at the same time."""
    slow_start_s: float = 1.0
    """A server that is new, or back, reaches its full share of the calls within this time."""
    heartbeat_interval_s: float = 0.5
    """ZMTP heartbeat of links that leave this host; see a dead host or a cut cable. 0 turns it off."""
    heartbeat_timeout_s: float = 1.5
    """Silence after which ZMTP takes such a link down."""
    limits: Limits = dataclasses.field(default_factory=Limits)
    """What one message may hold."""

    def __post_init__(self) -> None:
        _check(self, 0.001, 86_400, "timeout_s")
        _check(self, 0.01, 3600, "ping_interval_s", "ping_timeout_s", "dial_timeout_s")
        _check(self, 0.001, 3600, "attempt_min_s", "attempt_initial_s", "attempt_patience_min_s")
        _check(self, 1, 1000, "attempt_patience", "misses_max")
        _check(self, 1, 1_000_000, "window_max", "calls_max", "peers_max", "pings_per_s_max")
        _check(self, 1, 64, "addresses_max")
        _check(self, 0.001, 3600, "dial_backoff_min_s", "dial_backoff_max_s")
        _check(self, 0, 10, "retry_ratio", "hedge_ratio")
        _check(self, 0, 3600, "hedge_slack_s", "eject_s", "eject_max_s", "slow_start_s")
        _check(self, 0, 1, "eject_share_max")
        _check(self, 0, 1_000_000, "retry_min_per_s")
        _check(self, 0, 3600, "heartbeat_interval_s", "heartbeat_timeout_s")
        if self.dial_backoff_max_s < self.dial_backoff_min_s:
            raise ConfigError(
                f"ClientConfig.dial_backoff_max_s is {self.dial_backoff_max_s:g}, "
                f"less than dial_backoff_min_s ({self.dial_backoff_min_s:g})"
            )


@dataclass(frozen=True, kw_only=True)
class ServerConfig:
    """What a server admits, remembers and shows."""

    admitted_max: int = 4096
    """Calls admitted and not yet answered; one more is refused with RESOURCE_EXHAUSTED."""
    window: int = 512
    """Calls one client may have in flight here; told to clients in every PONG."""
    coroutines_max: int = 256
    """Coroutine handlers that run at the same time; further calls of theirs wait admitted."""
    retry_after_s: float = 0.05
    """Push-back that a refused client is asked to keep."""
    duplicates_max: int = 100_000
    """Keys remembered by the duplicate window; the oldest answered one makes room."""
    duplicates_octets_max: int = 64 * _MIB
    """Octets of remembered replies."""
    duplicates_age_s: float = 600.0
    """Seconds an answered key is remembered."""
    drain_s: float = 10.0
    """Longest time that stop() waits for calls that run."""
    drainable: bool = True
    """Let whoever can call this server have it refuse new calls, and take that back (`mesh drain`)."""
    clients_max: int = 10_000
    """Clients remembered, to be told when the server drains."""
    expose_tracebacks: bool = True
    """Send the handler's traceback with its error. Turn off where clients are not trusted."""
    default_method: str = ""
    """Method for callers that name none (REQ and 10/FLP clients); empty: the only raw method, if there is one."""
    limits: Limits = dataclasses.field(default_factory=Limits)
    """What one message may hold."""

    def __post_init__(self) -> None:
        _check(self, 1, 10_000_000, "admitted_max", "window", "duplicates_max", "clients_max")
        _check(self, 1, 100_000, "coroutines_max")
        _check(self, 0, 3600, "retry_after_s", "drain_s")
        _check(self, 0, 64 * 1024 * _MIB, "duplicates_octets_max")
        _check(self, 1, 86_400 * 30, "duplicates_age_s")
