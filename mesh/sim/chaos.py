"""Lets faults strike a world, at random but by its seed, until it is told to make everything whole again."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from discovery.model import Address, Peer
from mesh.sim.faults import Bout, Faults
from mesh.sim.liar import LIES
from mesh.sim.server import SERVICE, SimServer

if TYPE_CHECKING:
    from mesh.sim.client import SimClient
    from mesh.sim.world import World

__all__ = ["Chaos"]

_BUSY = 0.5
"""Share of strikes that look for a server that has calls to answer: there they hurt most."""
_LIARS = 0.2
"""Share of servers that lie at the same time, at most: where most do, a call may find nobody honest in its time."""
_FLAPS_MAX = 10
_BLACK_HOLE = Address("192.0.2.1", 5555)
"""Nothing comes back from there."""
_NOBODY = Address("192.0.2.2", 5555)
"""Nobody listens there."""


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
        strikes: dict[str, Callable[[float], bool]] = {
            "crash": self._crash,
            "pause": self._pause,
            "drain": self._drain,
            "slow": self._slow,
            "full": self._fill,
            "lie": self._lie,
            "client_pause": self._pause_client,
            "client_suspend": self._suspend_client,
            "client_crash": self._crash_client,
            "partition": self._partition,
            "clog": self._clog,
            "forget": self._forget,
            "flap": self._flap,
            "amnesia": self._lose_all,
            "spoof": self._spoof,
            "ghost": self._raise_ghost,
        }
        for name, strike in strikes.items():
            bout: Bout | None = getattr(self._faults, name)
            if bout is not None:
                self._schedule(name, bout, strike)
        self._world.network.swallow(_BLACK_HOLE)

    def end(self) -> None:
        """Strike no more, and make everything whole."""
        self._over = True
        self._world.make_whole()

    def _schedule(self, name: str, bout: Bout, strike: Callable[[float], bool]) -> None:
        self._world.clock.after(self._rng.expovariate(1.0 / bout.every_s), self._strike, name, bout, strike)

    def _strike(self, name: str, bout: Bout, strike: Callable[[float], bool]) -> None:
        if not self._over:
            self._world.history.struck[name] += strike(bout.lasting.draw(self._rng))
            self._schedule(name, bout, strike)

    def _later(self, lasting_s: float, act: Callable[..., None], *args: Any) -> None:
        self._world.clock.after(lasting_s, self._unless_over, act, args)

    def _unless_over(self, act: Callable[..., None], args: tuple[Any, ...]) -> None:
        if not self._over:
            act(*args)

    # -- whom

    def _victim(self) -> SimServer | None:
        """Return a server that is well and may be struck, often one that has calls to answer."""
        servers = list(self._world.servers.values())[self._faults.spared :]
        well = [server for server in servers if server.process.alive and not server.process.stopped]
        if self._rng.random() < _BUSY:
            well = [server for server in well if server.core.admitted] or well
        return self._rng.choice(well) if well else None

    def _client(self) -> SimClient:
        return self._rng.choice(list(self._world.clients.values()))

    # -- servers

    def _crash(self, lasting_s: float) -> bool:
        victim = self._victim()
        if victim is None:
            return False
        self._world.kill(victim.name)
        self._later(lasting_s, self._world.restart, victim.name)
        return True

    def _pause(self, lasting_s: float) -> bool:
        victim = self._victim()
        if victim is None:
            return False
        self._world.stop(victim.name)
        self._later(lasting_s, self._world.thaw, victim.name)
        return True

    def _drain(self, lasting_s: float) -> bool:
        victim = self._victim()
        if victim is None:
            return False
        self._world.drain(victim.name)
        self._later(lasting_s, self._world.restart, victim.name)
        return True

    def _slow(self, lasting_s: float) -> bool:
        victim = self._victim()
        if victim is None:
            return False
        self._world.slow(victim.name, self._faults.slow_factor)
        self._later(lasting_s, self._world.quicken, victim.name)
        return True

    def _fill(self, lasting_s: float) -> bool:
        victim = self._victim()
        if victim is None:
            return False
        self._world.fill(victim.name)
        self._later(lasting_s, self._world.empty, victim.name)
        return True

    def _lie(self, lasting_s: float) -> bool:
        victim = self._victim()
        lying = sum(server.lie is not None for server in self._world.servers.values())
        if victim is None or victim.lie is not None or lying >= max(1.0, len(self._world.servers) * _LIARS):
            return False
        self._world.corrupt(victim.name, self._rng.choice(list(LIES)), self._rng)
        self._later(lasting_s, self._world.reform, victim.name)
        return True

    # -- clients

    def _pause_client(self, lasting_s: float) -> bool:
        client = self._client()
        self._world.stop(client.name)
        self._later(lasting_s, self._world.thaw, client.name)
        return True

    def _suspend_client(self, lasting_s: float) -> bool:
        client = self._client()
        self._world.stop(client.name)
        self._later(lasting_s, self._world.wake, client.name)
        return True

    def _crash_client(self, lasting_s: float) -> bool:
        client = self._client()
        if not client.process.alive:
            return False
        self._world.kill(client.name)
        self._later(lasting_s, self._world.restart, client.name)
        return True

    # -- the network

    def _partition(self, lasting_s: float) -> bool:
        victim = self._victim()
        if victim is None:
            return False
        clients, servers = [self._client().name], [victim.name]
        extent = self._rng.random()
        if extent < 0.3:
            clients = list(self._world.clients)
        elif extent < 0.4:
            others = list(self._world.servers)[self._faults.spared :]
            servers = self._rng.sample(others, (len(others) + 1) // 2)
        there, back = self._rng.choice(((True, False), (False, True), (True, True)))
        for client in clients:
            for server in servers:
                for source, target in ((client, server),) * there + ((server, client),) * back:
                    self._world.cut(source, target)
                    self._later(lasting_s, self._world.heal, source, target)
        return True

    def _clog(self, lasting_s: float) -> bool:
        victim = self._victim()
        if victim is None:
            return False
        source, target = self._client().name, victim.name
        if self._rng.random() < 0.5:
            source, target = target, source
        if self._world.network.is_cut(source, target):
            return False
        self._world.clog(source, target, self._faults.clog_octets_per_s)
        self._later(lasting_s, self._world.heal, source, target)
        return True

    # -- discovery

    def _forget(self, lasting_s: float) -> bool:
        victim = self._victim()
        if victim is None or victim.draining:
            return False
        self._world.hub.withdraw(victim.peer.peer_id)
        self._later(lasting_s, self._world.announce, victim.name)
        return True

    def _flap(self, lasting_s: float) -> bool:
        victim = self._victim()
        if victim is None or victim.draining:
            return False
        for _ in range(self._rng.randint(2, _FLAPS_MAX)):
            at = self._rng.random() * lasting_s
            self._later(at, self._world.hub.withdraw, victim.peer.peer_id)
            self._later(at + self._rng.random() * 0.01, self._world.announce, victim.name)
        return True

    def _lose_all(self, lasting_s: float) -> bool:
        client = self._client()
        if client.process.alive:
            self._world.hub.lose_all(client)
        return client.process.alive

    def _spoof(self, lasting_s: float) -> bool:
        victim = self._rng.choice(list(self._world.servers.values()))
        if self._rng.random() < 0.3:  # its own id, at another address, beside its own or instead
            address = self._rng.choice(
                (_BLACK_HOLE, _NOBODY, self._rng.choice(list(self._world.servers.values())).address)
            )
            both = self._rng.choice(((victim.address, address), (address,)))
            self._world.hub.announce(dataclasses.replace(victim.peer, addresses=both))
            self._later(lasting_s, self._world.disprove, victim.peer)
            return True
        self._rogues += 1
        rogue = f"rogue-{self._rogues}"
        address = self._rng.choice((victim.address, victim.address, _BLACK_HOLE, _NOBODY))
        self._world.hub.announce(Peer(rogue, rogue, (SERVICE,), (address,), {}, ("memory",)))
        self._later(lasting_s, self._world.hub.withdraw, rogue)
        return True

    def _raise_ghost(self, lasting_s: float) -> bool:
        victim = self._rng.choice(list(self._world.servers.values()))
        life = self._rng.randint(0, len(victim.boots) - 1)  # 0: one that was before the world began
        ghost = dataclasses.replace(victim.peer, peer_id=f"{victim.name}-{life}")
        self._world.hub.announce(ghost)
        self._later(lasting_s, self._world.hub.withdraw, ghost.peer_id)
        return True
