"""Servers that die, freeze or restart under load, and what the calls felt of it."""

from __future__ import annotations

import itertools
import math
import statistics
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from mesh import Client, ClientConfig, ServerView
from scripts.faults_report import Finding, Report, ms, spread, tail
from scripts.fleet import Fleet, Node, read_runs
from scripts.pace import Done, LoopClient, longest_gap_s, pace_of, percentile, steady

__all__ = ["FREEZE", "KILL", "RESTART", "Outage", "Setting", "outage"]

KILL, FREEZE, RESTART = "kill -9", "freeze and thaw", "rolling restart"
_SERVERS = 3
_QUIET_S = 1.0
"""Calls are made for so long before a fault and after it."""
_WINDOW_S = 0.5
"""Gaps are looked for in so long after the fault, and in as long before it."""
_FROZEN_S = 2.5
_TIMEOUT_S = 2.0
"""Less than a server is frozen, so that the calls it holds are expired when it thaws."""
_DURING_S = 1.0
"""Calls of so long after a fault count as made during it."""
_LOOK_S = 0.005


@dataclass(frozen=True)
class Setting:
    """How calls are made while the fault happens."""

    rate: float = 1000.0
    """Calls a second."""
    workers: int = 0
    """Threads that share one Client; with one, calls are strictly sequential. 0: an AsyncClient instead."""
    hold_s: float = 0.005
    """What each call takes at its server."""


@dataclass
class _Fault:
    """What was done to one server; times that never came are infinite."""

    name: str
    at: float
    gone_at: float = 0.0
    """When its process was gone."""
    doubted_at: float = math.inf
    """When its client was first seen to doubt it."""
    out_at: float = math.inf
    """Since when it was seen out of rotation."""
    over_at: float = math.inf
    """When it could go on."""


@dataclass
class Outage:
    """What the calls felt of one kind of fault, over all trials."""

    kind: str
    setting: Setting
    calls: int = 0
    stale_runs: int = 0
    """Calls that were made while their server was frozen, and which it began when their deadline had passed."""
    interrupted: int = 0
    """Calls that a server had already taken up when it froze, and began when their deadline had passed."""
    errors: list[str] = field(default_factory=list)
    round_trip_ms: list[float] = field(default_factory=list)
    """Of PINGs, smoothed, for each server before each fault."""
    gap_ms: list[float] = field(default_factory=list)
    """Longest time without an answer in the half second after each fault."""
    quiet_ms: list[float] = field(default_factory=list)
    """The same in the half second before: what the machine itself does."""
    normal_ms: list[float] = field(default_factory=list)
    """What each call took that ended in the half second before a fault."""
    during_ms: list[float] = field(default_factory=list)
    """What each call took that was open in the second after a fault."""
    moved_ms: list[float] = field(default_factory=list)
    """How long each call that a server with the fault had was kept from another server, since the fault or since its
    own beginning."""
    late_ms: list[float] = field(default_factory=list)
    """The same for kills, since the kernel had done away with the process."""
    gone_ms: list[float] = field(default_factory=list)
    """What the kernel took for that."""
    suspect_ms: list[float] = field(default_factory=list)
    """From each freeze until the server was no first choice any more."""
    out_ms: list[float] = field(default_factory=list)
    """From each freeze until it was out of rotation."""
    sent_when_out: int = 0
    """Attempts at a server that was out of rotation."""

    @property
    def failed(self) -> int:
        """Calls that ended with an error."""
        return len(self.errors)

    def report(self) -> Report:
        """Hold the figures against the promises for the kind of fault."""
        findings = [
            Finding("calls failed", self.failed, 0, why=f"of {self.calls}"),
        ]
        if self.kind == KILL:
            findings += self._findings_of_kills()
        elif self.kind == FREEZE:
            findings += self._findings_of_freezes()
        notes = {
            "longest gap": spread(self.gap_ms),
            "control": spread(self.quiet_ms),
            "calls moved": len(self.moved_ms),
            "after": spread(self.moved_ms),
            "normal p50": f"{percentile(self.normal_ms, 0.5):.1f} ms",
            "normal p99": f"{percentile(self.normal_ms, 0.99):.1f} ms",
            "p99 during": f"{percentile(self.during_ms, 0.99):.1f} ms",
            "slowest call": f"{max(self.during_ms, default=0.0):.1f} ms",
            "errors": sorted(set(self.errors))[:3],
        }
        if self.kind == KILL:
            notes["process gone after"] = spread(self.gone_ms)
        if self.kind == FREEZE:
            notes |= {
                "suspect after": spread(self.suspect_ms),
                "out of rotation after": spread(self.out_ms),
                "expired calls caught at their start": self.interrupted,
            }
        return Report(tuple(findings), notes)

    def _findings_of_kills(self) -> list[Finding]:
        if self.setting.workers == 1:
            return [Finding("longest gap", max(self.gap_ms), 20.0, "ms", "sequential calls")]
        round_trip = statistics.median(self.round_trip_ms)
        limit = round(10.0 + 2 * round_trip, 1)
        why = f"10 ms + 2 round trips of {round_trip:.1f} ms"
        excess = round(max(self.gap_ms) - max(self.quiet_ms), 1)
        return [
            Finding("longest gap", max(self.gap_ms), limit, "ms", why),
            Finding("longest gap beyond that of the control", excess, limit, "ms", why),
            Finding("a call moved, after its server was gone", max(self.late_ms, default=0.0), limit, "ms", why),
        ]

    def _findings_of_freezes(self) -> list[Finding]:
        config = ClientConfig()
        pings_s = config.ping_interval_s + config.misses_max * config.ping_timeout_s
        out = Finding("out of rotation", max(self.out_ms), ms(pings_s), "ms", "an interval and three missed PINGs")
        sent = Finding("calls sent to it after that", self.sent_when_out, 0)
        stale = Finding("expired calls run after the thaw", self.stale_runs, 0)
        if self.setting.workers == 1:
            return [Finding("longest gap", max(self.gap_ms), 300.0, "ms", "sequential calls"), out, sent, stale]
        return [tail(self.normal_ms, self.during_ms, "p99 during the fault"), out, sent, stale]


def outage(kind: str, setting: Setting, trials: int = 3) -> Outage:
    """Make calls to three servers, and have a fault in the middle of each trial.

    Args:
        kind: KILL, FREEZE or RESTART.
        setting: How the calls are made.
        trials: How often.
    """
    result = Outage(kind, setting)
    late: set[str] = set()
    """Tokens of calls that were made after a fault had begun."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "runs"
        with Fleet(log) as fleet, _client(fleet, setting) as client:
            nodes: dict[str, Node] = {}
            for trial in range(trials):
                _replace(fleet, nodes)
                client.wait_for(_SERVERS, service="work")
                calls = steady("work.echo" if setting.workers == 1 else "work.nap", setting.hold_s, f"{trial}-")
                with pace_of(client, setting.rate, setting.workers, calls, _TIMEOUT_S) as pace:
                    time.sleep(_QUIET_S)
                    servers = client.servers()
                    faults = _inflict(kind, fleet, nodes, client, servers)
                    time.sleep(_QUIET_S)
                result.round_trip_ms += [ms(server.rtt_s or 0.0) for server in servers if server.state == "alive"]
                _measure(result, pace.done, faults)
                late |= {one.call.token for one in pace.done if one.started_at > faults[0].at}
        expired = [run["token"] for run in read_runs(log) if run["at"] > run["deadline"]]
        result.stale_runs = sum(token in late for token in expired)
        result.interrupted = len(expired) - result.stale_runs
    return result


def _client(fleet: Fleet, setting: Setting) -> Client | LoopClient:
    return Client(**fleet.settings) if setting.workers else LoopClient(**fleet.settings)


def _inflict(
    kind: str, fleet: Fleet, nodes: dict[str, Node], client: Client | LoopClient, servers: list[ServerView]
) -> list[_Fault]:
    """Do it to the busiest server, or to each in turn."""
    busiest = max(servers, key=lambda server: (server.state == "alive", server.in_flight, server.answered)).name
    if kind == RESTART:
        return [_restart(fleet, nodes, name) for name in list(nodes)]
    if kind == KILL:
        return [_kill(nodes.pop(busiest))]
    return [_freeze(nodes[busiest], client)]


def _kill(node: Node) -> _Fault:
    at = time.monotonic()
    node.kill()
    return _Fault(node.name, at, gone_at=time.monotonic())


def _freeze(node: Node, client: Client | LoopClient) -> _Fault:
    """Freeze a server for a while, and watch what its client thinks of it."""
    fault = _Fault(node.name, time.monotonic())
    node.freeze()
    while time.monotonic() < fault.at + _FROZEN_S:
        state = next((server.state for server in client.servers() if server.name == node.name), "gone")
        if state != "alive":
            fault.doubted_at = min(fault.doubted_at, time.monotonic())
        # What it sent before it froze may reach a client that is late only now, and is a sign of life.
        fault.out_at = math.inf if state in ("alive", "suspect") else min(fault.out_at, time.monotonic())
        time.sleep(_LOOK_S)
    fault.over_at = time.monotonic()
    node.thaw()
    return fault


def _restart(fleet: Fleet, nodes: dict[str, Node], name: str) -> _Fault:
    fault = _Fault(name, time.monotonic())
    node = nodes.pop(name)
    node.terminate()
    node.wait()
    _replace(fleet, nodes)
    return fault


def _replace(fleet: Fleet, nodes: dict[str, Node]) -> None:
    """Start servers until there are three."""
    names = [f"s{fleet.launched + number}" for number in range(1, _SERVERS + 1 - len(nodes))]
    nodes.update(zip(names, fleet.start(*names), strict=True))


def _measure(result: Outage, done: list[Done], faults: list[_Fault]) -> None:
    at = faults[0].at
    result.calls += len(done)
    result.errors += [one.error for one in done if one.error]
    result.quiet_ms.append(ms(longest_gap_s(done, at - _WINDOW_S, at)))
    result.gap_ms += [ms(longest_gap_s(done, fault.at, fault.at + _WINDOW_S)) for fault in faults]
    result.normal_ms += [ms(one.took_s) for one in done if at - _WINDOW_S <= one.finished_at < at]
    result.during_ms += [ms(one.took_s) for one in done if one.due_at < at + _DURING_S and one.finished_at >= at]
    by_name = {fault.name: fault for fault in faults}
    for one in done:
        for attempt, following in itertools.zip_longest(one.attempts, one.attempts[1:]):
            fault = by_name.get(attempt.name)
            if fault is None:
                continue
            result.sent_when_out += fault.out_at < one.started_at + attempt.started_s < fault.over_at
            moved_at = one.started_at + following.started_s if following else 0.0
            if moved_at >= fault.at:
                result.moved_ms.append(ms(moved_at - max(fault.at, one.started_at)))
                result.late_ms.append(ms(moved_at - max(fault.gone_at, one.started_at)))
    if result.kind == KILL:
        result.gone_ms += [ms(fault.gone_at - fault.at) for fault in faults]
    elif result.kind == FREEZE:
        result.suspect_ms += [ms(fault.doubted_at - fault.at) for fault in faults]
        result.out_ms += [ms(fault.out_at - fault.at) for fault in faults]
