"""Peers within one process: the fake of `discovery.mdns` for tests, verified by the same contract suite.

It keeps to what mDNS does: a peer that cannot be written into a TXT record is refused here as well, names
come back as they would from an instance label, and ``0.0.0.0`` becomes an address that can be dialled.
"""

from __future__ import annotations

import threading
from dataclasses import replace

from .advert import check_start, check_update, resolved_addresses
from .base import Browser, OnChange, Stoppable
from .model import Change, DiscoveryError, Peer, PeerAdded, PeerRemoved, PeerUpdated
from .txt import encode_txt, label_of, name_of

__all__ = ["MemoryAdvertiser", "MemoryBrowser", "MemoryHub"]


class MemoryHub:
    """A network in memory. Changes arrive in the thread that makes them, before its call returns."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._peers: dict[str, Peer] = {}
        self._listeners: list[OnChange] = []

    def browser(self) -> MemoryBrowser:
        """Return a browser of this hub."""
        return MemoryBrowser(self)

    def advertiser(self) -> MemoryAdvertiser:
        """Return an advertiser for one peer in this hub."""
        return MemoryAdvertiser(self)

    def join(self, on_change: OnChange) -> None:
        """Report every peer that is here, and from now on every change."""
        with self._lock:
            for peer in self._peers.values():
                on_change(PeerAdded(peer))
            self._listeners.append(on_change)

    def leave(self, on_change: OnChange) -> None:
        """End the reports."""
        with self._lock:
            self._listeners.remove(on_change)

    def put(self, peer: Peer) -> None:
        """Add or replace a peer; one that is here already and unchanged is no change."""
        with self._lock:
            known = self._peers.get(peer.peer_id)
            self._peers[peer.peer_id] = peer
            if known != peer:
                self._tell(PeerAdded(peer) if known is None else PeerUpdated(peer))

    def drop(self, peer_id: str) -> None:
        """Remove a peer."""
        with self._lock:
            self._tell(PeerRemoved(self._peers.pop(peer_id)))

    def _tell(self, change: Change) -> None:
        for listener in tuple(self._listeners):
            listener(change)


class MemoryBrowser(Browser):
    """A `discovery.Browser` of a hub."""

    def __init__(self, hub: MemoryHub) -> None:
        self._hub = hub
        self._on_change: OnChange | None = None

    def start(self, on_change: OnChange) -> None:
        """Begin to report changes; the peers that are here arrive before the return.

        Raises DiscoveryError if it is started already.
        """
        if self._on_change is not None:
            raise DiscoveryError("memory", "is browsed already", "call stop() first")
        self._on_change = on_change
        self._hub.join(on_change)

    def stop(self) -> None:
        """End the reports. A second stop does nothing."""
        if self._on_change is not None:
            self._hub.leave(self._on_change)
            self._on_change = None


class MemoryAdvertiser(Stoppable):
    """A `discovery.Advertiser` in a hub."""

    def __init__(self, hub: MemoryHub) -> None:
        self._hub = hub
        self._peer: Peer | None = None

    def start(self, peer: Peer) -> None:
        """Make the peer known. Raises DiscoveryError if it cannot be advertised."""
        check_start(self._peer, peer)
        self._publish(peer)

    def update(self, peer: Peer) -> None:
        """Replace what is said about the peer. Raises DiscoveryError if id or name differ."""
        check_update(self._peer, peer)
        self._publish(peer)

    def stop(self) -> None:
        """Say goodbye. A second stop does nothing."""
        if self._peer is not None:
            self._hub.drop(self._peer.peer_id)
            self._peer = None

    def _publish(self, peer: Peer) -> None:
        encode_txt(peer)
        name = name_of(label_of(peer.name, peer.peer_id), peer.peer_id)
        addresses = resolved_addresses(peer, ("127.0.0.1",))
        self._hub.put(replace(peer, name=name, addresses=addresses, sources=("memory",)))
        self._peer = peer
