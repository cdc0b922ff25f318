"""When a world is well again after its faults have stopped (the liveness phase of TigerBeetle's VOPR)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.config import ClientConfig
from mesh.core.liveness import State
from mesh.core.wire import ServerState

if TYPE_CHECKING:
    from mesh.sim.world import World

__all__ = ["recover", "recovery_max_s"]

_RTO_MAX_S = 0.4
"""Until TCP tries again on a way that was cut."""
_ROUND_TRIPS = 10
"""Of a new connection, with room for slow ones."""

_HANDLERS_S = 10.0
"""What a handler that has begun while it was slow takes at most."""
_SOON_S = 2.0
"""Within this everything is as it was after a handler has held a loop."""
_PROBE_TIMEOUT_S = 5.0
_LOOK_EVERY_S = 0.05
_CLOCK_S = 0.1
"""A sleep so short cannot be told from slow PONGs."""
_QUIET_S = 0.2
"""After the last call has ended: what still travels arrives."""


def recovery_max_s(config: ClientConfig, one_way_s: float) -> float:
    """Return the seconds within which every client sees every server alive, once all faults have stopped.

    A dial that was under way may be doomed, and so may be the handshake behind it; the pause that follows may be the
    longest; then the next dial succeeds. A connection that was dead is asked again after an interval at most.

    Args:
        config: Of the clients.
        one_way_s: Mean time through the network.
    """
    dialling_s = 2 * config.dial_timeout_s + config.dial_backoff_max_s
    return _RTO_MAX_S + max(dialling_s, config.ping_interval_s) + 2 * _ROUND_TRIPS * one_way_s


def recover(world: World, timeout_s: float) -> float:
    """Look whether a world that is whole becomes well, answers every call at the first try, and comes to rest.

    What does not come in time is added to `world.history.broken`.

    Args:
        world: Nothing in it is at fault any more.
        timeout_s: Of the calls that were made before.

    Returns:
        Seconds until every client saw every server alive.
    """
    _wait(world, _held, _HANDLERS_S)
    links = world.network.links()
    arrived_at = max((wire.arrives_at() for link in links for wire in (link.up, link.down)), default=0.0)
    if arrived_at > world.clock.now + _RTO_MAX_S:  # lost several times in a row: TCP waits twice as long each time
        world.advance(arrived_at - world.clock.now)
    whole_at = world.clock.now
    _wait(world, _unseen, recovery_max_s(world.client_config, world.network.delay.mean_s))
    recovered_s = world.clock.now - whole_at
    if world.faults.partition is not None or world.faults.clog is not None:
        world.advance(max(0.0, whole_at + _RTO_MAX_S + _QUIET_S - world.clock.now))  # what was held up arrives
    _wait(world, _unfinished, timeout_s + _HANDLERS_S)
    _wait(world, _unseen, _SOON_S)  # again: a handler that held its loop has kept it from answering PINGs
    config = world.client_config
    all_asked_s = max(config.ping_interval_s, len(world.servers) / config.pings_per_s_max)
    _wait(world, _misinformed, all_asked_s + _SOON_S)
    world.callers.probe(_PROBE_TIMEOUT_S)
    _wait(world, _unfinished, len(world.clients) * 2 * _PROBE_TIMEOUT_S)
    world.advance(_QUIET_S)
    _wait(world, _unfinished, _HANDLERS_S)
    return recovered_s


def _wait(world: World, missing: Callable[[World], str], most_s: float) -> None:
    """Let time pass until nothing is missing."""
    until = world.clock.now + most_s
    while problem := missing(world):
        if world.clock.now >= until:
            world.history.broken.append(f"{most_s:.1f} s after everything was whole, {problem}")
            return
        world.advance(_LOOK_EVERY_S)


def _unfinished(world: World) -> str:
    if world.callers.open:
        return f"{next(iter(world.callers.open))} has not ended"
    for server in world.servers.values():
        if not server.core.idle():
            return f"{server.name} has {server.core.admitted} calls to answer"
    return ""


def _held(world: World) -> str:
    """Say which server is still at a handler that has begun while it was slow, or nothing."""
    return next((f"{server.name} is held by a handler" for server in world.servers.values() if server.is_held), "")


def _unseen(world: World) -> str:
    """Say which server a client does not see alive and serving, or nothing."""
    for client in world.clients.values():
        seen: dict[str, str] = {}
        for server in client.core._roster:
            conn = server.active
            if conn is not None and client.reaches(conn.conn_id):
                well = conn.state is State.ALIVE and server.server_state == ServerState.SERVING
                seen[world.network.host_of(conn.address)] = "" if well else conn.state.value
        for name in world.servers:
            state = seen.get(name, "no connection")
            if state:
                return f"{client.name} does not see {name}: {state}"
    return ""


def _misinformed(world: World) -> str:
    """Say of which server a client holds a wrong boot id or clock, or nothing.

    Who has slept, or was told a lie, learns the truth from the next PONG.
    """
    for client in world.clients.values():
        for conn in client.core._links.conns.values():
            server = world.servers.get(world.network.host_of(conn.address))
            if server is None:
                continue
            late_s = conn.clock_shift_s - (server.clock_s - client.process.now)
            if conn.boot != server.boots[-1] or not -_CLOCK_S < late_s < 2.0 * conn.clock_error_s + _CLOCK_S:
                return f"{client.name} takes the clock of {server.name} to be {late_s:.4f} s from what it is"
    return ""
