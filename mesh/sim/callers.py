"""Those who make calls at the clients of a world, and what they are told."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from mesh.core.calls import PendingCall
from mesh.core.events import CallAbandoned, CallsRequested
from mesh.core.wire import body_frames
from mesh.sim.history import Asked, Ended
from mesh.sim.process import TIMER
from mesh.sim.server import ECHO, FAIL, ONCE
from mesh.sim.workload import Workload

if TYPE_CHECKING:
    from mesh.sim.client import SimClient
    from mesh.sim.world import World

__all__ = ["Callers"]

_LARGE_OCTETS = 10_000
_ABANDON_S = 0.01


class Callers:
    """Makes calls, and writes down how they end."""

    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng
        self._made = 0
        self.open: dict[str, PendingCall] = {}
        """Calls that have not ended, by name."""
        self._to_probe: list[tuple[str, str, float]] = []
        self.probes: list[str] = []
        """Calls that were made when everything was whole again."""

    def call(self, client: str, method: str, timeout_s: float, octets: int = 0, *, peer: str = "") -> str:
        """Make a call, as soon as the client's process runs; return its name."""
        self._made += 1
        name = f"{client}/{self._made}"
        at = self._world.clients[client]
        at.process.deliver(TIMER, self._ask, at, name, method, timeout_s, name.encode() + b" " + b"x" * octets, peer)
        return name

    def abandon(self, name: str) -> None:
        """The caller goes away; nothing if the call has ended."""
        if name in self.open:
            client = self._world.clients[name.partition("/")[0]]
            client.process.deliver(TIMER, self._abandon, client, name)

    def died(self, client: str) -> None:
        """The process of a client is gone, and every caller in it."""
        for name in [name for name in self.open if name.partition("/")[0] == client]:
            del self.open[name]
            self._world.history.abandoned[name] = self._world.clock.now

    def finished(self, call: PendingCall) -> None:
        """A caller is told the outcome."""
        name, history, clock = str(call.waiter), self._world.history, self._world.clock
        self.open.pop(name, None)
        took_s = self._world.clients[name.partition("/")[0]].process.now - call.started_at
        if call.error is None:
            body = body_frames(call.body)[0]
            host = self._world.network.host_of(call.at.address) if call.at is not None else ""
            outcome, told = "ok", f"answered by {host}"
        else:
            body, host = b"", ""
            outcome, told = type(call.error).__name__, f"failed: {call.error}"
        history.ended.append(Ended(clock.now, name, outcome, body, host, call.attempts, took_s))
        history.say(f"{name} {told}, {took_s * 1000:.2f} ms, attempts {call.attempts}")
        if self._to_probe:
            self._world.clock.after(0.0, self._probe)

    def begin(self, workload: Workload) -> float:
        """Let the calls of a workload be made from now on; return when the last one will be."""
        clock = self._world.clock
        at = clock.now
        for _ in range(workload.calls):
            if self._rng.random() >= workload.burst:
                at += self._rng.expovariate(workload.per_s * (1.0 - workload.burst))
            clock.at(at, self._random_call, workload)
        return at

    def probe(self, timeout_s: float) -> None:
        """Make calls that must succeed at the first try, each when the one before has ended."""
        asks = [(client, method) for client in self._world.clients for method in (ECHO, ONCE)]
        self._to_probe = [(client, method, timeout_s) for client, method in reversed(asks)]
        self._probe()

    def _probe(self) -> None:
        if self._to_probe:
            self.probes.append(self.call(*self._to_probe.pop()))

    def _ask(self, client: SimClient, name: str, method: str, timeout_s: float, body: bytes, peer: str) -> None:
        now = client.process.now
        call = PendingCall(method, body, len(body), now, now + timeout_s, peer=peer, waiter=name)
        self._world.history.asked[name] = Asked(
            self._world.clock.now, name, call.deadline, timeout_s, method == ONCE, body
        )
        self._world.history.say(f"{name} asks {method}")
        self.open[name] = call
        client.turn(CallsRequested([call]))

    def _abandon(self, client: SimClient, name: str) -> None:
        call = self.open.pop(name, None)
        if call is not None:
            self._world.history.abandoned[name] = self._world.clock.now
            self._world.history.say(f"{name} is abandoned")
            client.turn(CallAbandoned(call))

    def _random_call(self, workload: Workload) -> None:
        rng = self._rng
        clients = [name for name, client in self._world.clients.items() if client.process.alive]
        if not clients:
            return
        client = rng.choice(clients)
        kind = rng.random()
        method = ONCE if kind < workload.once else FAIL if kind < workload.once + workload.fail else ECHO
        octets = _LARGE_OCTETS if rng.random() < workload.large else rng.randrange(100)
        name = self.call(client, method, workload.timeout_s, octets)
        if rng.random() < workload.abandon:
            self._world.clock.after(rng.random() * _ABANDON_S, self.abandon, name)
