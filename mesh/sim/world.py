"""A world: servers, clients, discovery and a network, all virtual, around the cores that ship.

    world = World(seed=7, servers=3, clients=2, faults=Faults(crash=Bout(2.0, Spread(0.5))))
    world.run(Workload(calls=1000))
    violations(world)                              # promises that were broken: see mesh.sim.checkers
    world.history.trace, .asked, .ended, .runs     # what happened

The seed decides everything: the same seed gives the same trace, byte for byte.
"""

from __future__ import annotations

import random

from discovery.model import Address, Peer
from mesh.config import ClientConfig, ServerConfig
from mesh.sim.callers import Callers
from mesh.sim.chaos import Chaos
from mesh.sim.client import SimClient
from mesh.sim.clock import VirtualClock
from mesh.sim.faults import Faults
from mesh.sim.history import History
from mesh.sim.hub import Hub
from mesh.sim.liar import Liar
from mesh.sim.network import VirtualNetwork
from mesh.sim.process import Process
from mesh.sim.recovery import recover
from mesh.sim.server import ECHO, Handlers, SimServer
from mesh.sim.workload import Workload

__all__ = ["World"]

_PORT = 5555
_START_S = 0.1
_RESTARTING_LIES = ("impostor", "nameless", "shove")
"""Who has told these does not become honest but as another process: a client asks for a HELLO only once, and keeps to
the pause that a server asks for."""


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
        keep_trace: Keep the trace as text, not only its checksum.
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
        *,
        keep_trace: bool = True,
    ) -> None:
        rng = random.Random(seed)
        self.faults: Faults = faults or Faults()
        self.client_config: ClientConfig = client_config or ClientConfig()
        self.server_config: ServerConfig = server_config or ServerConfig()
        self.clock: VirtualClock = VirtualClock()
        self._began_at = self.clock.now
        self.history: History = History(lambda: self.clock.now, keep_trace=keep_trace)
        # Each part draws from a stream of its own, so that a change to one leaves the others as they were.
        self._rng_servers, self._rng_clients, rng_calls, rng_network, rng_hub, rng_chaos = (
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
        self.hub: Hub = Hub(self.clock, rng_hub, self.faults.repeat)
        self._chaos = Chaos(self, self.faults, rng_chaos)
        self.handlers: Handlers = handlers or Handlers()
        self.servers: dict[str, SimServer] = {}
        self.clients: dict[str, SimClient] = {}
        self.recovered_s: float = 0.0
        """How long it took, when everything was whole again, until every client saw every server alive."""
        self.callers: Callers = Callers(self, rng_calls)
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
        server = self.servers[name] = SimServer(
            Process(name, self.clock),
            address,
            self.network,
            self.hub,
            self.server_config,
            handlers or self.handlers,
            random.Random(self._rng_servers.getrandbits(64)),
            self.history,
        )
        server.start()
        return name

    def add_client(self) -> str:
        """Start one more client; return its name."""
        name = f"c{len(self.clients) + 1}"
        client = self.clients[name] = SimClient(
            Process(name, self.clock),
            self.network,
            self.client_config,
            random.Random(self._rng_clients.getrandbits(64)),
            self.history,
            self.callers.finished,
        )
        self.hub.join(client)
        return name

    def call(self, client: str, method: str = ECHO, timeout_s: float = 5.0, octets: int = 0, *, peer: str = "") -> str:
        """Make a call; return its name. Its body is its name and `octets` more."""
        return self.callers.call(client, method, timeout_s, octets, peer=peer)

    # -- faults of processes

    def process(self, name: str) -> Process:
        """Return the process of a server or client."""
        return self.servers[name].process if name in self.servers else self.clients[name].process

    def kill(self, name: str) -> None:
        """SIGKILL a server or client; nothing if it is dead."""
        process = self.process(name)
        if not process.alive:
            return
        self.history.say(f"{name} is killed")
        if name in self.servers:
            self.servers[name].kill()
        else:
            self._note_away(process)
            self.hub.leave(self.clients[name])
            self.clients[name].kill()
            self.callers.died(name)

    def restart(self, name: str) -> None:
        """Start a server or client that is dead, a server at its old address; nothing if it is alive."""
        if self.process(name).alive:
            return
        self.history.say(f"{name} starts again")
        if name in self.servers:
            self.servers[name].start()
        else:
            self.clients[name].start()
            self.hub.join(self.clients[name])

    def stop(self, name: str) -> None:
        """SIGSTOP a server or client."""
        self.history.say(f"{name} is stopped")
        self.process(name).stop()
        self.network.look_for_silence(name)

    def thaw(self, name: str) -> None:
        """SIGCONT a server or client; nothing if it runs."""
        self._go_on(name, slept=False)

    def wake(self, name: str) -> None:
        """Thaw a client whose machine has slept: its clock has stood still meanwhile."""
        self._go_on(name, slept=True)

    def _go_on(self, name: str, *, slept: bool) -> None:
        process = self.process(name)
        if process.stopped:
            self.history.say(f"{name} {'wakes up' if slept else 'is thawed'}")
            self._note_away(process)
            process.thaw(slept=slept)
            self.network.look_for_silence(name)

    def _note_away(self, process: Process) -> None:
        if process.stopped:
            self.history.away.setdefault(process.name, []).append((process.stopped_at, self.clock.now))

    def drain(self, name: str) -> None:
        """SIGTERM a server: it stops in good order."""
        self.history.say(f"{name} is told to stop")
        self.servers[name].drain()

    def take_out(self, name: str) -> None:
        """Have an operator take a server out of service."""
        self.history.say(f"{name} is taken out of service")
        self.servers[name].take_out()

    def take_back(self, name: str) -> None:
        """Have an operator take it back."""
        self.history.say(f"{name} is taken back")
        self.servers[name].take_back()

    def slow(self, name: str, factor: float) -> None:
        """Have the handlers of a server take `factor` times as long."""
        self.history.say(f"{name} is slow")
        self.servers[name].slowness = factor

    def quicken(self, name: str) -> None:
        """Have the handlers of a server take as long as usual."""
        if self.servers[name].slowness != 1.0:
            self.history.say(f"{name} is quick again")
            self.servers[name].slowness = 1.0

    def fill(self, name: str) -> None:
        """Have others take the room of a server."""
        self.history.say(f"{name} is full")
        self.servers[name].resize(1)

    def empty(self, name: str) -> None:
        """Give a server all its room again."""
        if self.servers[name].is_full:
            self.history.say(f"{name} has room again")
            self.servers[name].resize(self.server_config.admitted_max)

    def corrupt(self, name: str, lie: str, rng: random.Random) -> None:
        """Have a server lie in one of the ways of `LIES`."""
        server = self.servers[name]
        other = rng.choice([other.peer for other in self.servers.values() if other is not server] or [server.peer])
        self.history.say(f"{name} lies: {lie}")
        self.history.liars[name] = None
        server.lie = Liar(lie, rng, server.answered, server.boots[0], other, self.server_config.limits)

    def reform(self, name: str) -> None:
        """Have a server be honest again: the same process, or another where it has lied about who it is."""
        server = self.servers[name]
        if server.lie is not None:
            self.history.say(f"{name} is honest again")
            if server.lie.kind in _RESTARTING_LIES:
                self.kill(name)
                self.restart(name)
            server.lie = None

    # -- faults of the network and of discovery

    def cut(self, source: str, target: str) -> None:
        """Let nothing through from one host to another."""
        self.history.say(f"{source} > {target} is cut")
        self.network.cut(source, target)

    def clog(self, source: str, target: str, octets_per_s: float) -> None:
        """Let only so much through from one host to another."""
        self.history.say(f"{source} > {target} is clogged")
        self.network.hinder(source, target, octets_per_s)

    def heal(self, source: str, target: str) -> None:
        """Let everything through again."""
        if (source, target) in self.network.rates:
            self.history.say(f"{source} > {target} is whole")
            self.network.heal(source, target)

    def announce(self, name: str) -> None:
        """Have discovery find a server that lives."""
        server = self.servers[name]
        if server.process.alive and not server.draining:
            self.hub.announce(server.peer)

    def disprove(self, peer: Peer) -> None:
        """Have discovery tell the truth about a server, if that is still alive."""
        if any(server.peer == peer for server in self.servers.values()):
            self.hub.announce(peer)
        else:
            self.hub.withdraw(peer.peer_id)

    def make_whole(self) -> None:
        """End every fault: heal, thaw, start, be honest, lose nothing; discovery tells the truth."""
        self.history.say("everything is whole")
        self.network.calm()
        self.hub.repeat = 0.0
        for source, target in self.network.ways_hindered():
            self.heal(source, target)
        for name, server in self.servers.items():
            self.thaw(name)
            self.quicken(name)
            self.empty(name)
            self.reform(name)
            if server.draining:
                self.kill(name)
            self.restart(name)
        for name in self.clients:
            self.thaw(name)
            self.restart(name)
        self.hub.keep_only({server.peer.peer_id: server.peer for server in self.servers.values()})

    # -- time

    @property
    def elapsed_s(self) -> float:
        """Seconds since the world began."""
        return self.clock.now - self._began_at

    def advance(self, duration_s: float) -> None:
        """Let so many seconds pass."""
        self.clock.run_until(self.clock.now + duration_s)

    def run(self, workload: Workload) -> None:
        """Make the calls of a workload under faults; then make everything whole, and see whether the world recovers."""
        self.advance(_START_S)
        self._chaos.begin()
        self.clock.run_until(self.callers.begin(workload))
        self._chaos.end()
        self.recovered_s = recover(self, workload.timeout_s)
        for server in self.servers.values():
            server.count()
        for client in self.clients.values():
            client.count()
        self.history.say(f"{self.network.messages} messages, checksum {self.network.digest:08x}")
