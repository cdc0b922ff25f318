"""What must be true of every world, judged from outside: from what callers and handlers saw, not what the cores say.

Each checker returns one line for each violation. Only `leftovers` and `Bounds` look at the cores, for what cannot be
seen from outside.
"""

from __future__ import annotations

from collections import Counter

from mesh.core.calls import PendingCall
from mesh.sim import Workload, World

TICK_S = 1e-6
"""A call ends by its deadline, for a client whose process runs: only rounding is between."""
MILLISECOND_S = 0.001
"""Deadlines travel in whole milliseconds, rounded up."""


def run_checked(world: World, workload: Workload) -> list[str]:
    """Run a workload in a world; return what went wrong."""
    watched = Bounds(world)
    world.run(workload)
    found = [*violations(world), *watched.found]
    if world.faults.spared:
        found += failures(world)
    return found


def violations(world: World) -> list[str]:
    """Return what is wrong with any world that has come to rest."""
    return [
        *endings(world),
        *answers(world),
        *repetitions(world),
        *stale_runs(world),
        *retries(world),
        *leftovers(world),
    ]


def endings(world: World) -> list[str]:
    """Every call ends, once, and by its deadline; one that was abandoned does not."""
    history = world.history
    found = []
    times = Counter(ended.call for ended in history.ended)
    found += [f"{call} ended {count} times" for call, count in times.items() if count > 1]
    found += [f"{call} never ended" for call in history.asked if not times[call] and call not in history.abandoned]
    found += [f"{call} was abandoned and ended" for call in history.abandoned if times[call]]
    if world.faults.client_pause is None:
        for ended in history.ended:
            late_s = ended.at - history.asked[ended.call].deadline
            if late_s > TICK_S:
                found.append(f"{ended.call} ended {late_s:.6f} s after its deadline")
    return found


def answers(world: World) -> list[str]:
    """An answer belongs to its question and its asker: an echo says who asked what."""
    return [
        f"{ended.call} was answered with {ended.body[:40]!r}"
        for ended in world.history.ended
        if ended.outcome == "ok" and ended.body != world.history.asked[ended.call].body
    ]


def repetitions(world: World) -> list[str]:
    """What must not run twice does not; what may, runs at most as often as it was tried."""
    runs: dict[str, list[str]] = {}
    for run in world.history.runs:
        runs.setdefault(run.call, []).append(f"{run.server} (boot {run.boot})")
    return [
        f"{call} must not run twice and ran on {', '.join(where)}"
        for call, where in runs.items()
        if world.history.asked[call].once and len(where) > 1
    ]


def stale_runs(world: World) -> list[str]:
    """No handler is started for a caller who has given up, beyond what the clocks differ by."""
    found = []
    for run in world.history.runs:
        deadline = world.history.asked[run.call].deadline
        error_s = world.history.written[run.call, run.attempt].clock_error_s + 2 * MILLISECOND_S
        if run.at > deadline + error_s:
            late_s = run.at - deadline
            found.append(
                f"{run.call} ran on {run.server} {late_s:.4f} s after its deadline (clock error {error_s:.4f} s)"
            )
    return found


def failures(world: World) -> list[str]:
    """While a server is well all the time, no call fails that may be repeated."""
    once = {call: asked.once for call, asked in world.history.asked.items()}
    allowed = ("ok", "RemoteError")
    found = [
        f"{ended.call} may be repeated and ended with {ended.outcome}"
        for ended in world.history.ended
        if not once[ended.call] and ended.outcome not in allowed
    ]
    found += [
        f"{ended.call} must not run twice and ended with {ended.outcome}"
        for ended in world.history.ended
        if once[ended.call] and ended.outcome not in (*allowed, "OutcomeUnknown", "CallTimeout")
    ]
    return found


def retries(world: World) -> list[str]:
    """Doubtful retries keep within their budget."""
    config = world.client_config
    found = []
    for name, client in world.clients.items():
        counters = client.core.counters()
        budget = config.retry_ratio * counters.calls + config.retry_min_per_s * (world.elapsed_s + 10.0)
        if counters.retries_paid > budget:
            found.append(f"{name} paid for {counters.retries_paid} retries; its budget was {budget:.0f}")
    return found


def leftovers(world: World) -> list[str]:
    """A world at rest holds nothing of the calls it has seen."""
    found = []
    for name, client in world.clients.items():
        core = client.core
        calls = core._dispatcher
        held = {
            "open calls": len(calls.open),
            "queues": len(calls._queues),
            "calls in flight": sum(len(conn.inflight) for conn in core._links.conns.values()),
            "unsent records": client.unsent(),
            "deadlines of calls": sum(
                isinstance(item, PendingCall) and item.timer_at == when for when, _, item in core._timers._heap
            ),
            "connections too many": max(0, len(core._links.conns) - len(world.servers)),
        }
        found += [f"{name} is left with {count} {what}" for what, count in held.items() if count]
    for name, server in world.servers.items():
        held = {
            "admitted calls": server.core.admitted,
            "open calls": len(server.core._open),
            "running keys": len(server.core._duplicates._running),
            "waiting calls": sum(len(lane.waiting) for lane in server.core._lanes.values()),
        }
        found += [f"{name} is left with {count} {what}" for what, count in held.items() if count]
    return found


class Bounds:
    """Looks at every queue now and then, while a world runs: none is beyond its limit."""

    def __init__(self, world: World, interval_s: float = 0.2) -> None:
        self.found: list[str] = []
        self._world = world
        self._interval_s = interval_s
        self._look()

    def _look(self) -> None:
        world = self._world
        for name, client in world.clients.items():
            for conn in client.core._links.conns.values():
                if len(conn.inflight) > conn.server.window:
                    held, most = len(conn.inflight), conn.server.window
                    self.found.append(f"{name} has {held} calls at {conn.server.name}; its window is {most}")
        for name, server in world.servers.items():
            if server.core.admitted > world.server_config.admitted_max:
                self.found.append(f"{name} has admitted {server.core.admitted} calls")
        world.clock.after(self._interval_s, self._look)
