"""Worlds whose every trait is drawn from the seed: how many there are, how they are set, what goes wrong."""

from __future__ import annotations

import random

from mesh.config import ClientConfig, ServerConfig
from mesh.sim import Bout, Faults, Handlers, Spread, Workload, World

__all__ = ["random_world"]


def random_world(seed: int, servers: int | None = None, calls: int = 400) -> tuple[World, Workload]:
    """Return a world and what is asked of it; a number of servers may be given instead of being drawn."""
    rng = random.Random(f"world {seed}")
    count = servers or rng.choice((1, 2, 3, 5, 8, 13))
    spared = min(rng.choice((0, 1, 1, 2)), count - 1)
    takes = Spread(rng.choice((0.0001, 0.001, 0.003)), rng.choice((0.0, 0.001, 0.005)))
    handlers = Handlers(takes, rng.choice((0, 0, 4)))
    world = World(
        seed,
        servers=count,
        clients=rng.choice((1, 2, 3)),
        faults=_faults(rng, spared),
        handlers=handlers,
        client_config=ClientConfig(window_max=rng.choice((4, 32, 512))),
        server_config=ServerConfig(
            window=rng.choice((2, 16, 512)),
            admitted_max=rng.choice((8, 64, 4096)),
            duplicates_max=rng.choice((1000, 100_000)),
            drain_s=rng.choice((0.05, 2.0)),
        ),
    )
    # Even the servers that are spared must be able to do all of it, or calls fail for want of room.
    busy_s = (takes.least_s + takes.more_s) / (handlers.threads or 1)
    window = min(world.client_config.window_max, world.server_config.window, world.server_config.admitted_max)
    delay = world.faults.delay
    round_trip_s = busy_s + 2 * (delay.least_s + delay.more_s) + 2 * world.faults.loss
    # Some worlds are long enough for heartbeats to end links and for windows of keys to be asked again.
    lasting_s = rng.choice((1.0, 3.0, 10.0))
    per_s = min(calls / lasting_s, 0.5 * max(1, spared) / busy_s, 0.3 * max(1, spared) * window / round_trip_s)
    # Where nobody is spared, calls may fail: there they may also be in a hurry, and be expired when a server thaws.
    timeout_s = 8.0 if spared else rng.choice((0.2, 1.0, 8.0))
    return world, Workload(calls=calls, per_s=per_s, timeout_s=timeout_s, once=rng.choice((0.0, 0.2, 0.8)))


def _faults(rng: random.Random, spared: int) -> Faults:
    def bout(every_s: float, lasting: Spread) -> Bout | None:
        return Bout(every_s * rng.choice((0.5, 1.0, 2.0)), lasting) if rng.random() < 0.6 else None

    delay = rng.choice((Spread(0.0001, 0.0001), Spread(0.001, 0.003), Spread(0.02, 0.01)))
    return Faults(
        delay=delay,
        loss=rng.choice((0.0, 0.0, 0.01, 0.05)),
        crash=bout(0.4, Spread(0.01, 0.5)),
        pause=bout(0.4, Spread(0.05, 1.5)),
        client_pause=bout(2.0, Spread(0.05, 0.5)),
        partition=bout(0.4, Spread(0.05, 2.0)),
        slow=bout(1.0, Spread(0.1, 0.5)),
        slow_factor=rng.choice((3.0, 50.0)),
        drain=bout(0.7, Spread(0.1, 0.5)),
        forget=bout(0.3, Spread(0.001, 0.3)),
        spoof=bout(0.5, Spread(0.01, 1.0)),
        repeat=rng.choice((0.0, 0.2)),
        spared=spared,
    )
