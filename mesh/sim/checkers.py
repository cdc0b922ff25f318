"""What must be true of every world, judged from outside: from what callers and handlers saw, not what the cores say.

Each checker returns one line for each violation. Only `leftovers` looks into the cores, for what cannot be seen from
outside; what must be true at every moment is watched by the shells, and in `World.history.broken`.
"""

from __future__ import annotations

from collections import Counter

from mesh.core.calls import PendingCall
from mesh.sim.client import SimClient
from mesh.sim.faults import Faults
from mesh.sim.liar import LIE_BODY
from mesh.sim.server import SimServer
from mesh.sim.workload import Workload
from mesh.sim.world import World

__all__ = ["leftovers", "run_checked", "violations"]

_TICK_S = 1e-6
"""A call ends by its deadline, for a client whose process runs: only rounding is between."""
_MILLISECOND_S = 0.001
"""Deadlines travel in whole milliseconds, rounded up."""
_STALE_TIMERS_MAX = 1024
"""Cleared deadlines that a heap may hold beside as many as it has live ones."""
_PROFILES_MAX = 4096
_WELL = 0.5
"""Share of its time that a call may take while one server is well."""
_BUDGET_WINDOW_S = 10.0
"""Seconds of the retry budget's floor that may be saved up."""


def run_checked(world: World, workload: Workload) -> list[str]:
    """Run a workload in a world; return what went wrong."""
    world.run(workload)
    found = [*violations(world), *liveness(world), *rest(world)]
    if world.faults.spared:
        found += [*failures(world), *delays(world)]
    if _only_slow(world.faults):
        found += attempts(world)
    return found


def violations(world: World) -> list[str]:
    """Return what is wrong with any world that has come to rest."""
    return [
        *world.history.broken,
        *endings(world),
        *answers(world),
        *repetitions(world),
        *stale_runs(world),
        *retries(world),
        *leftovers(world),
    ]


# -- safety


def endings(world: World) -> list[str]:
    """Every call ends, once, and by its deadline on its client's clock; one that was abandoned does not end."""
    history = world.history
    found = []
    times = Counter(ended.call for ended in history.ended)
    found += [f"{call} ended {count} times" for call, count in times.items() if count > 1]
    found += [f"{call} never ended" for call in history.asked if not times[call] and call not in history.abandoned]
    found += [f"{call} was abandoned and ended" for call in history.abandoned if times[call]]
    for ended in history.ended:
        asked = history.asked[ended.call]
        late_s = ended.took_s - asked.timeout_s
        if late_s > _TICK_S and late_s > _TICK_S + history.away_s(_client_of(ended.call), asked.at, ended.at):
            found.append(f"{ended.call} ended {late_s:.6f} s after its deadline")
    return found


def answers(world: World) -> list[str]:
    """An answer belongs to its question and its asker: an echo says who asked what.

    A liar that was given the call can answer what it likes; without keys nobody can tell.
    """
    history = world.history
    believed = {(written.call, written.server) for written in history.written.values()}
    return [
        f"{ended.call} was answered with {ended.body[:40]!r}"
        for ended in history.ended
        if ended.outcome == "ok"
        and ended.body != history.asked[ended.call].body
        and not (ended.body == LIE_BODY and ended.server in history.liars and (ended.call, ended.server) in believed)
    ]


def repetitions(world: World) -> list[str]:
    """What must not run twice does not, but for servers that lie about what they did."""
    runs: dict[str, list[str]] = {}
    for run in world.history.runs:
        if run.server not in world.history.liars:
            runs.setdefault(run.call, []).append(f"{run.server} (boot {run.boot})")
    return [
        f"{call} must not run twice and ran on {', '.join(where)}"
        for call, where in runs.items()
        if len(where) > 1 and world.history.asked[call].once
    ]


def stale_runs(world: World) -> list[str]:
    """No handler is started for a caller who has given up, beyond what clocks differ by; liars tell wrong ones."""
    history = world.history
    found = []
    for run in history.runs:
        written = history.written[run.call, run.attempt]
        error_s = written.clock_error_s + 2 * _MILLISECOND_S
        if run.at > written.deadline + error_s and run.server not in history.liars:
            late_s = run.at - written.deadline
            found.append(
                f"{run.call} ran on {run.server} {late_s:.4f} s after its deadline (clock error {error_s:.4f} s)"
            )
    return found


def retries(world: World) -> list[str]:
    """Doubtful retries keep within their budget."""
    config = world.client_config
    found = []
    for name, client in world.clients.items():
        counters = client.core.counters()
        lived_s = client.process.now - client.began_at
        budget = config.retry_ratio * counters.calls + config.retry_min_per_s * (lived_s + _BUDGET_WINDOW_S)
        if counters.retries_paid > budget:
            found.append(f"{name} paid for {counters.retries_paid} retries; its budget was {budget:.0f}")
    return found


# -- while faults strike


def failures(world: World) -> list[str]:
    """While a server is well all the time, no call fails that may be repeated."""
    history = world.history
    found = []
    for ended in history.ended:
        if ended.outcome in ("ok", "RemoteError"):
            continue
        if not history.asked[ended.call].once:
            found.append(f"{ended.call} may be repeated and ended with {ended.outcome}")
        elif ended.outcome not in ("OutcomeUnknown", "CallTimeout"):
            found.append(f"{ended.call} must not run twice and ended with {ended.outcome}")
    return found


def delays(world: World) -> list[str]:
    """While a server is well all the time, a call that may be repeated takes half of its time at most.

    Where servers are slow, add what such a one takes for a call: it answers PINGs, and may be about to answer.
    Where servers lie, only its deadline holds: one that answers PINGs and no calls keeps each call for seconds.
    """
    if world.faults.lie is not None:
        return []
    history = world.history
    slow_s = world.handlers.takes.mean_s * world.faults.slow_factor if world.faults.slow is not None else 0.0
    found = []
    for ended in history.ended:
        asked = history.asked[ended.call]
        most_s = _WELL * asked.timeout_s + slow_s
        if ended.took_s > most_s and not asked.once:
            took_s = ended.took_s - history.away_s(_client_of(ended.call), asked.at, ended.at)
            if took_s > most_s:
                found.append(f"{ended.call} took {took_s:.3f} s of {asked.timeout_s:g} s")
    return found


def attempts(world: World) -> list[str]:
    """Where servers are slow and nothing else, there are 1.2 attempts for a call at most, beside the budget's floor."""
    config, history = world.client_config, world.history
    floor = config.retry_min_per_s * (world.elapsed_s + _BUDGET_WINDOW_S) * len(world.clients)
    most = (1.0 + config.retry_ratio) * len(history.asked) + floor
    made = len(history.written) - world.history.counted["shed"]
    return [f"{made} attempts were made for {len(history.asked)} calls"] if made > most else []


def _only_slow(faults: Faults) -> bool:
    others = (getattr(faults, name) for name in Faults.__dataclass_fields__ if name != "slow")
    return faults.slow is not None and not faults.loss and not any(hasattr(bout, "lasting") for bout in others)


# -- after them


def liveness(world: World) -> list[str]:
    """Every call that is made when everything is whole succeeds at the first try, or with its hedge."""
    history = world.history
    ended = {end.call: end for end in history.ended}
    tried = Counter(call for call, _ in history.written)
    found = []
    for call in world.callers.probes:
        outcome = ended[call].outcome if call in ended else "nothing"
        if outcome != "ok" or tried[call] > 1 + (not history.asked[call].once):
            found.append(f"{call} was made when everything was whole: {outcome} after {tried[call]} attempts")
    return found


def leftovers(world: World) -> list[str]:
    """A world at rest holds nothing of the calls it has seen."""
    found = []
    for name, client in world.clients.items():
        found += [f"{name} is left with {count} {what}" for what, count in _left_in_client(client).items() if count]
    for name, server in world.servers.items():
        found += [f"{name} is left with {count} {what}" for what, count in _left_in_server(server).items() if count]
    return found


def _left_in_client(client: SimClient) -> dict[str, int]:
    core = client.core
    calls, timers = core._dispatcher, core._timers
    live = list(timers)
    return {
        "open calls": len(calls.open),
        "queues": len(calls._queues),
        "calls in flight": sum(len(conn.inflight) for conn in core._links.conns.values()),
        "unsent records": client.unsent(),
        "deadlines of calls": sum(isinstance(item, PendingCall) for item in live),
        "deadlines that were cleared": max(0, len(timers) - 2 * len(live) - _STALE_TIMERS_MAX),
        "profiles too many": max(0, len(calls._profiles) - _PROFILES_MAX),
    }


def _left_in_server(server: SimServer) -> dict[str, int]:
    core = server.core
    duplicates, most = core._duplicates, server.config.duplicates_max
    return {
        "admitted calls": core.admitted,
        "open calls": len(core._open),
        "running keys": len(duplicates._running),
        "waiting calls": sum(len(lane.waiting) for lane in core._lanes.values()),
        "running calls": sum(lane.running for lane in core._lanes.values()),
        "keys too many": max(0, len(duplicates) - most),
        "messages to send": len(server._outboxes),
    }


def rest(world: World) -> list[str]:
    """A world whose discovery tells the truth has one record, and one connection, of each server at each client."""
    found = []
    links = Counter(link.client.process.name for link in world.network.links() if link.sound)
    for name, client in world.clients.items():
        for what, count in {
            "servers": len(client.core._roster),
            "connections": len(client.core._links.conns),
            "addresses": len(client.core._roster.claims),
            "links": links[name],
        }.items():
            if count != len(world.servers):
                found.append(f"{name} has {count} {what}; there are {len(world.servers)} servers")
    return found


def _client_of(call: str) -> str:
    return call.partition("/")[0]
