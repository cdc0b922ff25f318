"""Discovery in a simulated world: what is announced reaches every client a little later, in order, perhaps twice."""

from __future__ import annotations

import random

from discovery.model import Change, Peer, PeerAdded, PeerRemoved, PeerUpdated
from mesh.sim.client import SimClient
from mesh.sim.clock import VirtualClock
from mesh.sim.faults import Faults, Spread
from mesh.sim.process import MESSAGE

__all__ = ["Hub"]

_DELAY = Spread(0.0005, 0.0005)


class Hub:
    """Who is advertised, and who is told."""

    def __init__(self, clock: VirtualClock, rng: random.Random, faults: Faults) -> None:
        self._clock = clock
        self._rng = rng
        self._faults = faults
        self._peers: dict[str, Peer] = {}
        self._clients: dict[SimClient, float] = {}
        """When each will have been told the last news."""

    def join(self, client: SimClient) -> None:
        """Tell a client who is here, and from now on what changes."""
        self._clients[client] = 0.0
        for peer in self._peers.values():
            self._tell(client, PeerAdded(peer))

    def announce(self, peer: Peer) -> None:
        """Add or change a peer."""
        change = PeerUpdated(peer) if peer.peer_id in self._peers else PeerAdded(peer)
        self._peers[peer.peer_id] = peer
        self._tell_all(change)

    def withdraw(self, peer_id: str) -> None:
        """Remove a peer; one that is not here is nothing."""
        peer = self._peers.pop(peer_id, None)
        if peer is not None:
            self._tell_all(PeerRemoved(peer))

    def _tell_all(self, change: Change) -> None:
        for client in list(self._clients):
            self._tell(client, change)
            if self._faults.repeat and self._rng.random() < self._faults.repeat:
                self._tell(client, change)

    def _tell(self, client: SimClient, change: Change) -> None:
        at = max(self._clients[client], self._clock.now + _DELAY.draw(self._rng))
        self._clients[client] = at
        self._clock.at(at, client.process.deliver, MESSAGE, client.turn, change)
