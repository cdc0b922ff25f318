"""A world: servers, clients, discovery and a network, all virtual, around the cores that ship.

    world = World(seed=7, servers=3, clients=2, faults=Faults(crash=Bout(2.0, Spread(0.5))))
    world.run(Workload(calls=1000))
    world.history.trace, .asked, .ended, .runs     # what happened; the checkers of tests/sim judge it

The seed decides everything: the same seed gives the same trace, byte for byte.
"""

from __future__ import annotations

import random

from discovery.model import Address
from mesh.config import ClientConfig, ServerConfig
from mesh.core.calls import PendingCall
from mesh.core.events import CallAbandoned, CallRequested
from mesh.core.wire import body_frames
from mesh.sim.chaos import Chaos
from mesh.sim.client import SimClient
from mesh.sim.clock import VirtualClock
from mesh.sim.faults import Faults
from mesh.sim.history import Asked, Ended, History
from mesh.sim.hub import Hub
from mesh.sim.network import VirtualNetwork
from mesh.sim.process import TIMER, Process
from mesh.sim.server import ECHO, FAIL, ONCE, Handlers, SimServer
from mesh.sim.workload import Workload

__all__ = ["World"]

_PORT = 5555
_LARGE_OCTETS = 10_000
_SETTLING_S = 3.0
"""What a world gets after its last call, to come to rest."""


class World:
    """Everything there is.

    Args:
        seed: Decides everything that is random.
        servers: How many there are from the beginning: `s1`, `s2`, …
        clients: How many there are: `c1`, `c2`, …
        faults: What goes wrong while `run` makes calls, and how the network is.
        handlers: How long handlers take and where they run.
        client_config: Settings of every client.
        server_config: Settings of every server.
    """

    def __init__(
        self,
        seed: int,
        servers: int = 0,
        clients: int = 1,
        faults: Faults | None = None,
        handlers: Handlers | None = None,
        client_config: ClientConfig | None = None,
        server_config: ServerConfig | None = None,
    ) -> None:
        rng = random.Random(seed)
        self.faults: Faults = faults or Faults()
        self.client_config: ClientConfig = client_config or ClientConfig()
        self.server_config: ServerConfig = server_config or ServerConfig()
        self.clock: VirtualClock = VirtualClock()
        self._began_at = self.clock.now
        self.history: History = History(lambda: self.clock.now)
        # Each part draws from a stream of its own, so that a change to one leaves the others as they were.
        self._rng_servers, self._rng_clients, self._rng_calls, rng_network, rng_hub, rng_chaos = (
            random.Random(rng.getrandbits(64)) for _ in range(6)
        )
        self.network: VirtualNetwork = VirtualNetwork(
            self.clock,
            rng_network,
            self.faults,
            self.client_config.dial_timeout_s,
            self.client_config.heartbeat_interval_s,
            self.client_config.heartbeat_timeout_s,
        )
        self.hub: Hub = Hub(self.clock, rng_hub, self.faults)
        self._chaos = Chaos(self, self.faults, rng_chaos)
        self._handlers = handlers or Handlers()
        self.servers: dict[str, SimServer] = {}
        self.clients: dict[str, SimClient] = {}
        self._calls_made = 0
        self._open: dict[str, PendingCall] = {}
        for _ in range(servers):
            self.add_server()
        for _ in range(clients):
            self.add_client()

    # -- who is there

    def add_server(self, handlers: Handlers | None = None) -> str:
        """Start one more server; return its name."""
        number = len(self.servers) + 1
        name = f"s{number}"
        address = Address(f"10.0.{number // 250}.{number % 250 + 1}", _PORT)
        self.network.name_host(address, name)
        rng = random.Random(self._rng_servers.getrandbits(64))
        server = self.servers[name] = SimServer(
            name,
            address,
            self.clock,
            self.network,
            self.hub,
            self.server_config,
            handlers or self._handlers,
            rng,
            self.history,
        )
        server.start()
        return name

    def add_client(self) -> str:
        """Start one more client; return its name."""
        name = f"c{len(self.clients) + 1}"
        rng = random.Random(self._rng_clients.getrandbits(64))
        client = self.clients[name] = SimClient(
            name, self.clock, self.network, self.client_config, rng, self.history, self._on_finish
        )
        self.hub.join(client)
        return name

    # -- calls

    def call(self, client: str, method: str = ECHO, timeout_s: float = 5.0, octets: int = 0, *, peer: str = "") -> str:
        """Make a call; return its name. Its body is its name and `octets` more."""
        self._calls_made += 1
        name = f"{client}/{self._calls_made}"
        body = name.encode() + b" " + b"x" * octets
        now = self.clock.now
        call = PendingCall(method, body, len(body), now, now + timeout_s, peer=peer, waiter=name)
        self.history.asked[name] = Asked(now, name, call.deadline, method == ONCE, body)
        self.history.say(f"{name} asks {method}")
        self._open[name] = call
        self.clients[client].process.deliver(TIMER, self.clients[client].turn, CallRequested(call))
        return name

    def abandon(self, name: str) -> None:
        """The caller goes away; nothing if the call has ended."""
        call = self._open.get(name)
        if call is not None:
            client = self.clients[name.partition("/")[0]]
            client.process.deliver(TIMER, self._abandon, client, call)

    def _abandon(self, client: SimClient, call: PendingCall) -> None:
        name = str(call.waiter)
        if self._open.pop(name, None) is not None:
            self.history.abandoned[name] = self.clock.now
            self.history.say(f"{name} is abandoned")
            client.turn(CallAbandoned(call))

    def _on_finish(self, call: PendingCall) -> None:
        name = str(call.waiter)
        self._open.pop(name, None)
        answered = call.at.server.name if call.at is not None and call.error is None else ""
        outcome = "ok" if call.error is None else type(call.error).__name__
        body = body_frames(call.body)[0] if call.error is None else b""
        self.history.ended.append(Ended(self.clock.now, name, outcome, body, answered, call.attempts))
        took_ms = (self.clock.now - call.started_at) * 1000
        told = f"answered by {answered}" if call.error is None else f"failed: {call.error}"
        self.history.say(f"{name} {told}, {took_ms:.2f} ms, attempts {call.attempts}")

    # -- faults

    def process(self, name: str) -> Process:
        """Return the process of a server or client."""
        return self.servers[name].process if name in self.servers else self.clients[name].process

    def kill(self, name: str) -> None:
        """SIGKILL a server; nothing if it is dead."""
        if self.servers[name].process.alive:
            self.history.say(f"{name} is killed")
            self.servers[name].kill()

    def restart(self, name: str) -> None:
        """Start a server that is dead, at its old address; nothing if it is alive."""
        server = self.servers[name]
        if not server.process.alive:
            self.history.say(f"{name} starts again")
            server.start()

    def stop(self, name: str) -> None:
        """SIGSTOP a server or client."""
        self.history.say(f"{name} is stopped")
        self.process(name).stop()
        self.network.look_for_silence()

    def thaw(self, name: str) -> None:
        """SIGCONT a server or client; nothing if it runs."""
        process = self.process(name)
        if process.stopped:
            self.history.say(f"{name} is thawed")
            process.thaw()
            self.network.look_for_silence()

    def drain(self, name: str) -> None:
        """SIGTERM a server: it stops in good order."""
        self.history.say(f"{name} is told to stop")
        self.servers[name].drain()

    def cut(self, source: str, target: str) -> None:
        """Let nothing through from one host to another."""
        self.history.say(f"{source} > {target} is cut")
        self.network.cut(source, target)

    def heal(self, source: str, target: str) -> None:
        """Let everything through again."""
        if self.network.is_cut(source, target):
            self.history.say(f"{source} > {target} is whole")
            self.network.heal(source, target)

    def slow(self, name: str, factor: float) -> None:
        """Have the handlers of a server take `factor` times as long."""
        self.history.say(f"{name} is slow")
        self.servers[name].slowness = factor

    def quicken(self, name: str) -> None:
        """Have the handlers of a server take as long as usual."""
        self.history.say(f"{name} is quick again")
        self.servers[name].slowness = 1.0

    def announce(self, name: str) -> None:
        """Have discovery find a server that lives."""
        server = self.servers[name]
        if server.process.alive and not server.draining:
            self.hub.announce(server.peer)

    def make_whole(self) -> None:
        """End every fault: heal, thaw, start, find."""
        for source, target in self.network.cuts():
            self.heal(source, target)
        for name, server in self.servers.items():
            self.thaw(name)
            if server.slowness != 1.0:
                self.quicken(name)
            self.restart(name)
            self.announce(name)
        for name in self.clients:
            self.thaw(name)

    # -- time

    @property
    def elapsed_s(self) -> float:
        """Seconds since the world began."""
        return self.clock.now - self._began_at

    def advance(self, duration_s: float) -> None:
        """Let so many seconds pass."""
        self.clock.run_until(self.clock.now + duration_s)

    def run(self, workload: Workload) -> None:
        """Make the calls of a workload under faults; then make everything whole, and let the world come to rest."""
        self.advance(0.1)
        self._chaos.begin()
        at = self.clock.now
        for _ in range(workload.calls):
            at += self._rng_calls.expovariate(workload.per_s)
            self.clock.at(at, self._random_call, workload)
        self.clock.run_until(at)
        self._chaos.end()
        self.advance(workload.timeout_s + _SETTLING_S)
        self.history.say(f"{self.network.messages} messages, checksum {self.network.digest:08x}")

    def _random_call(self, workload: Workload) -> None:
        rng = self._rng_calls
        client = rng.choice(list(self.clients))
        kind = rng.random()
        method = ONCE if kind < workload.once else FAIL if kind < workload.once + workload.fail else ECHO
        octets = _LARGE_OCTETS if rng.random() < workload.large else rng.randrange(100)
        name = self.call(client, method, workload.timeout_s, octets)
        if rng.random() < workload.abandon:
            self.clock.after(rng.random() * 0.01, self.abandon, name)
