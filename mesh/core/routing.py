"""Which server next: pools of servers that may be asked, and the power of two choices among them.

A server is in a pool of each of its services while it is worth asking: alive, serving, its window not full, no
push-back under way. Suspects form a second choice, and one that drains does so for the reserved methods alone. Joining
and leaving a pool is O(1), and so is choosing.
The better of two random servers is the one with the smaller (calls in flight + 1) x smoothed latency
(Mitzenmacher 2001; Finagle's p2c with peak EWMA). In flight is what the server last said that it has from everybody, or
what it has of ours if that is more. A server that has just come costs more at first, but for one choice of eight, then
four, then two (slow start): by its cost alone it would get nothing as long as the others have little to do.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mesh.core.peers import MESH
from mesh.core.wire import ServerState

if TYPE_CHECKING:
    from mesh.core.calls import PendingCall
    from mesh.core.peers import Server
    from mesh.core.roster import Roster

__all__ = ["ANY", "NONE", "READY", "SECOND", "Pool", "Pools", "Router", "choose"]

NONE, READY, SECOND = 0, 1, 2
"""Values of `Server.pool`: in no pool, among the ready, among the second choice."""

ANY = "mesh"
"""The reserved service that every mesh server offers; its pool holds them all."""

_DRAWS = 4
"""How often another server is drawn before all of them are looked at."""
_FADE = 0.99
"""What is known of an idle server's latency fades each time it is passed over, until it is asked again: otherwise one
slow answer would keep it idle for ever. A server ten times as slow as the others gets about one call of a hundred."""


class Pool:
    """Servers in no order, with O(1) join, leave and random access."""

    __slots__ = ("_places", "servers")

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self._places: dict[Server, int] = {}

    def __len__(self) -> int:
        return len(self.servers)

    def __iter__(self) -> Iterator[Server]:
        return iter(self.servers)

    def join(self, server: Server) -> None:
        """Put `server` in; it must not be in."""
        self._places[server] = len(self.servers)
        self.servers.append(server)

    def leave(self, server: Server) -> None:
        """Take `server` out; it must be in. The last one takes its place."""
        place = self._places.pop(server)
        last = self.servers.pop()
        if last is not server:
            self.servers[place] = last
            self._places[last] = place


class Pools:
    """The ready and the second choice of every service."""

    __slots__ = ("_empty", "ready", "second")

    def __init__(self) -> None:
        self.ready: dict[str, Pool] = {}
        self.second: dict[str, Pool] = {}

    def place(self, server: Server, pool: int, services: tuple[str, ...]) -> bool:
        """Put `server` where it belongs now; return whether anything changed."""
        if server.pool == pool and (pool == NONE or server.pools == services):
            return False
        if server.pool != NONE:
            pools = self.ready if server.pool == READY else self.second
            for service in server.pools:
                members = pools[service]
                members.leave(server)
                if not members:
                    del pools[service]
        server.pool = pool
        server.pools = services
        if pool != NONE:
            pools = self.ready if pool == READY else self.second
            for service in services:
                pools.setdefault(service, Pool()).join(server)
        return True


def choose(servers: list[Server], rng: random.Random) -> Server:
    """Return one of `servers` (at least one, all in pools) by the power of two choices."""
    count = len(servers)
    if count == 1:
        return servers[0]
    draw = rng.random
    first = int(draw() * count)
    second = int(draw() * (count - 1))
    chosen, other = servers[first], servers[second + (second >= first)]
    # Written out for both: a call of a function for each would cost as much as the rest.
    held, held_by_other = chosen.active.inflight, other.active.inflight  # type: ignore[union-attr]
    ours, load = len(held), chosen.load
    cost = ((ours if ours > load else load) + 1) * (chosen.latency_s + 1e-6)
    ours, load = len(held_by_other), other.load
    cost_of_other = ((ours if ours > load else load) + 1) * (other.latency_s + 1e-6)
    if chosen.handicap != other.handicap and draw() * max(chosen.handicap, other.handicap) >= 1.0:
        cost *= chosen.handicap
        cost_of_other *= other.handicap
    if cost > cost_of_other:
        chosen, other, held_by_other = other, chosen, held
    if not held_by_other:
        other.latency_s *= _FADE
        other.load -= other.load >> 3
    return chosen


class Router:
    """Which server gets a call."""

    def __init__(self, roster: Roster, pools: Pools, rng: random.Random) -> None:
        self._roster = roster
        self._ready = pools.ready
        self._second = pools.second
        self._rng = rng

    def pick(self, call: PendingCall) -> Server | None:
        """Return the server that gets this call now, or None."""
        if call.peer or call.bound_to is not None:
            named = [call.bound_to] if call.bound_to is not None else self._roster.find(call.peer)
            return self._other(call, [server for server in named if server.pool != NONE])
        ready = self._ready.get(call.service)
        if ready is not None:
            if call.last is None:
                server = choose(ready.servers, self._rng)
                if server.proto == MESH or call.plain:
                    return server
            other = self._other(call, ready.servers)
            if other is not None:
                return other
        second = self._second.get(call.service)
        return self._other(call, second.servers) if second is not None and call.at is None else None

    def _other(self, call: PendingCall, servers: list[Server]) -> Server | None:
        """Return one of `servers` that does not have the call, best one that never had it."""
        tried = call.tried or (call.last,)
        for _ in range(_DRAWS if servers else 0):
            server = choose(servers, self._rng)
            if server not in tried and self.may_take(call, server):
                return server
        fresh = [server for server in servers if server not in tried and self.may_take(call, server)]
        if fresh:
            return choose(fresh, self._rng)
        free = [
            server
            for server in servers
            if self.may_take(call, server) and (server.active is None or call.call_id not in server.active.inflight)
        ]
        return choose(free, self._rng) if free else None

    @staticmethod
    def may_take(call: PendingCall, server: Server) -> bool:
        """Return whether the server understands the call, and does not drain; then it takes reserved methods alone."""
        if server.server_state != ServerState.SERVING and call.service != ANY:
            return False
        return server.proto == MESH or call.plain
