"""Lets faults strike a world, at random but by its seed, until it is told to make everything whole again."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from discovery.model import Peer
from mesh.sim.faults import Bout, Faults
from mesh.sim.server import SERVICE, SimServer

if TYPE_CHECKING:
    from mesh.sim.world import World

__all__ = ["Chaos"]


class Chaos:
    """The faults of one world, while they strike."""

    def __init__(self, world: World, faults: Faults, rng: random.Random) -> None:
        self._world = world
        self._faults = faults
        self._rng = rng
        self._rogues = 0
        self._over = False

    def begin(self) -> None:
        """Let the faults strike from now on."""
        faults = self._faults
        strikes: list[tuple[Bout | None, Callable[[float], None]]] = [
            (faults.crash, self._crash),
            (faults.pause, self._pause),
            (faults.client_pause, self._pause_client),
            (faults.partition, self._partition),
            (faults.slow, self._slow),
            (faults.drain, self._drain),
            (faults.forget, self._forget),
            (faults.spoof, self._spoof),
        ]
        for bout, strike in strikes:
            if bout is not None:
                self._schedule(bout, strike)

    def end(self) -> None:
        """Strike no more, and make everything whole."""
        self._over = True
        self._world.make_whole()

    def _schedule(self, bout: Bout, strike: Callable[[float], None]) -> None:
        self._world.clock.after(self._rng.expovariate(1.0 / bout.every_s), self._strike, bout, strike)

    def _strike(self, bout: Bout, strike: Callable[[float], None]) -> None:
        if not self._over:
            strike(bout.lasting.draw(self._rng))
            self._schedule(bout, strike)

    def _later(self, lasting_s: float, act: Callable[..., None], *args: str) -> None:
        self._world.clock.after(lasting_s, self._unless_over, act, args)

    def _unless_over(self, act: Callable[..., None], args: tuple[str, ...]) -> None:
        if not self._over:
            act(*args)

    def _victim(self) -> SimServer | None:
        """Return a server that is well and may be struck."""
        servers = list(self._world.servers.values())[self._faults.spared :]
        well = [server for server in servers if server.process.alive and not server.process.stopped]
        return self._rng.choice(well) if well else None

    def _crash(self, lasting_s: float) -> None:
        victim = self._victim()
        if victim is not None:
            self._world.kill(victim.name)
            self._later(lasting_s, self._world.restart, victim.name)

    def _pause(self, lasting_s: float) -> None:
        victim = self._victim()
        if victim is not None:
            self._world.stop(victim.name)
            self._later(lasting_s, self._world.thaw, victim.name)

    def _pause_client(self, lasting_s: float) -> None:
        name = self._rng.choice(list(self._world.clients))
        self._world.stop(name)
        self._later(lasting_s, self._world.thaw, name)

    def _partition(self, lasting_s: float) -> None:
        victim = self._victim()
        if victim is None:
            return
        client = self._rng.choice(list(self._world.clients))
        directions = self._rng.choice((((client, victim.name),), ((victim.name, client),), None))
        for source, target in directions or ((client, victim.name), (victim.name, client)):
            self._world.cut(source, target)
            self._later(lasting_s, self._world.heal, source, target)

    def _slow(self, lasting_s: float) -> None:
        victim = self._victim()
        if victim is not None:
            self._world.slow(victim.name, self._faults.slow_factor)
            self._later(lasting_s, self._world.quicken, victim.name)

    def _drain(self, lasting_s: float) -> None:
        victim = self._victim()
        if victim is not None:
            self._world.drain(victim.name)
            self._later(lasting_s, self._world.restart, victim.name)

    def _forget(self, lasting_s: float) -> None:
        victim = self._victim()
        if victim is not None and not victim.draining:
            self._world.hub.withdraw(victim.peer.peer_id)
            self._later(lasting_s, self._world.announce, victim.name)

    def _spoof(self, lasting_s: float) -> None:
        victim = self._rng.choice(list(self._world.servers.values()))
        self._rogues += 1
        rogue = f"rogue-{self._rogues}"
        self._world.hub.announce(Peer(rogue, rogue, (SERVICE,), (victim.address,), {}, ("memory",)))
        self._later(lasting_s, self._world.hub.withdraw, rogue)
