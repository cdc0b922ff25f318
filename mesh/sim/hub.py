"""Discovery in a simulated world: what is announced reaches every client a little later, perhaps twice.

News of one peer keep their order; those of different peers may overtake each other, as mDNS packets do.
"""

from __future__ import annotations

import math
import random

from discovery.model import Change, Peer, PeerAdded, PeerRemoved, PeerUpdated
from mesh.sim.client import SimClient
from mesh.sim.clock import VirtualClock
from mesh.sim.process import MESSAGE

__all__ = ["Hub"]

_DELAY_LEAST_S = 0.0005
_DELAY_MORE_S = 0.0005


class Hub:
    """Who is advertised, and who is told.

    Args:
        clock: Time.
        rng: Delays and repetitions.
        repeat: Share of changes that are reported twice.
    """

    def __init__(self, clock: VirtualClock, rng: random.Random, repeat: float) -> None:
        self.repeat = repeat
        self._clock = clock
        self._rng = rng
        self._peers: dict[str, Peer] = {}
        self._clients: dict[SimClient, dict[str, float]] = {}
        """When each will have been told the last news of each peer."""

    def join(self, client: SimClient) -> None:
        """Tell a client who is here, and from now on what changes."""
        self._clients[client] = {}
        for peer in self._peers.values():
            self._tell(client, PeerAdded(peer))

    def leave(self, client: SimClient) -> None:
        """Tell a client nothing more."""
        del self._clients[client]

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

    def lose_all(self, client: SimClient) -> None:
        """Tell one client that everybody has gone, and then that all are there again."""
        for peer in self._peers.values():
            self._tell(client, PeerRemoved(peer))
        for peer in self._peers.values():
            self._tell(client, PeerAdded(peer))

    def keep_only(self, peers: dict[str, Peer]) -> None:
        """Make the advertisements be these, by id, and no others."""
        for peer_id in [peer_id for peer_id in self._peers if peer_id not in peers]:
            self.withdraw(peer_id)
        for peer in peers.values():
            if self._peers.get(peer.peer_id) != peer:
                self.announce(peer)

    def _tell_all(self, change: Change) -> None:
        for client in list(self._clients):
            self._tell(client, change)
            if self.repeat and self._rng.random() < self.repeat:
                self._tell(client, change)

    def _tell(self, client: SimClient, change: Change) -> None:
        told = self._clients[client]
        at = self._clock.now + _DELAY_LEAST_S - _DELAY_MORE_S * math.log(1.0 - self._rng.random())
        at = max(told.get(change.peer.peer_id, 0.0), at)
        told[change.peer.peer_id] = at
        self._clock.at(at, self._deliver, client, client.core, change)

    @staticmethod
    def _deliver(client: SimClient, core: object, change: Change) -> None:
        if client.core is core:  # and not another life
            client.process.deliver(MESSAGE, client.turn, change)
