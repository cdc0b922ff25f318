"""Worlds whose every trait is drawn from the seed: how many there are, how they are set, what goes wrong."""

from __future__ import annotations

import math
import random

from mesh.config import ClientConfig, ServerConfig
from mesh.sim.faults import Bout, Faults, Spread
from mesh.sim.server import Handlers
from mesh.sim.workload import Workload
from mesh.sim.world import World

__all__ = ["random_world"]

_SERVERS = (1, 2, 3, 5, 8, 13)
_STRIKES = 30
"""Strikes of all faults together in a world, on average."""


def random_world(
    seed: int, servers: int | None = None, calls: int = 80, *, keep_trace: bool = True
) -> tuple[World, Workload]:
    """Return a world and what is asked of it; a number of servers may be given instead of being drawn."""
    rng = random.Random(f"world {seed}")
    count = servers or rng.choice(_SERVERS)
    spared = min(rng.choice((0, 1, 1, 2)), count - 1)
    # Some worlds are long enough for heartbeats to end links and for windows of keys to be asked again.
    lasting_s = rng.choice((0.4, 0.7, 1.0, 1.0, 1.5, 3.0))
    faults = _faults(rng, spared, lasting_s)
    per_s = calls / lasting_s / max(1, spared)
    # Even the servers that are spared must be able to do all of it, or calls fail for want of room.
    takes = Spread(rng.choice((0.0001, 0.001, 0.003, 0.02)), rng.choice((0.0, 0.001, 0.01)))
    busy = 2.0 * per_s * takes.mean_s
    room = math.ceil(3.0 * per_s * (takes.mean_s + 2 * faults.delay.mean_s + 2 * faults.loss))
    world = World(
        seed,
        servers=count,
        clients=rng.choice((1, 1, 2, 2, 3)),
        faults=faults,
        handlers=Handlers(takes, math.ceil(busy) if busy > 1.0 else rng.choice((0, 0, 4)), rng.random() < 0.5),
        # Who is killed is advertised on, beside its successor: a client must have room for both.
        client_config=ClientConfig(
            window_max=max(room, rng.choice((4, 32, 512))),
            ping_interval_s=rng.choice((1.0, 1.0, 2.0)),
            peers_max=max(1024, 2 * count),
        ),
        server_config=ServerConfig(
            window=max(room, rng.choice((2, 16, 512))),
            admitted_max=max(room, rng.choice((4, 16, 4096))),
            duplicates_max=rng.choice((10, 100_000)),
            drain_s=rng.choice((0.05, 1.0)),
        ),
        keep_trace=keep_trace,
    )
    # Where nobody is spared, calls may fail: there they may also be in a hurry, and be expired when a server thaws.
    return world, Workload(
        calls=calls,
        per_s=calls / lasting_s,
        timeout_s=rng.choice((5.0, 8.0)) if spared else rng.choice((0.2, 1.0, 3.0)),
        once=rng.choice((0.0, 0.2, 0.8)),
        burst=rng.choice((0.0, 0.0, 0.5, 0.9)),
        abandon=rng.choice((0.01, 0.1)),
        large=rng.choice((0.0, 0.05)),
    )


def _faults(rng: random.Random, spared: int, lasting_s: float) -> Faults:
    """Draw what goes wrong: nothing, one thing alone, or a mix, with about `_STRIKES` strikes in `lasting_s`."""
    spreads = {
        "crash": Spread(0.01, 0.5),
        "pause": Spread(0.05, 0.7, 1.5),
        "drain": Spread(0.1, 0.5),
        "slow": Spread(0.1, 0.5),
        "full": Spread(0.1, 0.5),
        "lie": Spread(0.1, 1.0),
        "client_pause": Spread(0.02, 0.3),
        "client_suspend": Spread(0.1, 2.0),
        "client_crash": Spread(0.01, 0.2),
        "partition": Spread(0.05, 1.0, 1.5),
        "clog": Spread(0.1, 1.0),
        "forget": Spread(0.001, 0.3),
        "flap": Spread(0.1, 0.5),
        "amnesia": Spread(0.0),
        "spoof": Spread(0.01, 1.0),
        "ghost": Spread(0.01, 1.0),
    }
    kinds = rng.sample(list(spreads), rng.choice((1, 2, 4, 8, len(spreads))))
    weights = {kind: rng.choice((1.0, 2.0, 4.0)) * (0.3 if kind.startswith("client") else 1.0) for kind in kinds}
    strikes = _STRIKES * rng.choice((0.3, 1.0, 2.0)) / sum(weights.values())
    bouts = {kind: Bout(lasting_s / (strikes * weight), spreads[kind]) for kind, weight in weights.items()}
    delay = rng.choice((Spread(0.0001, 0.0001), Spread(0.001, 0.003), Spread(0.02, 0.01), Spread(0.0005, 0.001, 1.5)))
    return Faults(
        **bouts,
        delay=delay,
        loss=rng.choice((0.0, 0.0, 0.01, 0.05)),
        slow_factor=rng.choice((3.0, 50.0)),
        clog_octets_per_s=rng.choice((2_000.0, 20_000.0)),
        repeat=rng.choice((0.0, 0.2)),
        spared=spared,
    )
