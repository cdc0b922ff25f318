"""The table of peers: sightings in, changes out.

Pure: time is an argument, in seconds of a clock that never goes back. Several sources may see the same
peer; the table tells one story about it. A *sighting* is what one source says about one peer id. A *view*
is what all sightings of that id say together. What the table last told about an id is compared with its
view; the difference is a change.

A static peer, known by its address only, has a made-up id. While another peer has that address, the static
one is *absorbed*: it has no view of its own, and its sighting joins the view of the other, its *host*.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from .model import Address, Change, DiscoveryValueError, Peer, PeerAdded, PeerRemoved, PeerUpdated

__all__ = ["PeerTable"]

_STATIC: Final = ("static",)
_WHOLE_TOKEN: Final = 1 - 1e-9
"""A token, less what is lost when its refill time is computed and added back."""


class _Entry:
    """What is known about one peer id."""

    def __init__(self, tokens: float, now: float) -> None:
        self.sightings: dict[str, Peer] = {}
        self.told: Peer | None = None
        self.is_new = True
        self.tokens = tokens
        self.refilled_at = now
        self.due_at: float | None = None

    def is_static(self) -> bool:
        return all(seen.sources == _STATIC for seen in self.sightings.values())

    def addresses(self) -> dict[Address, None]:
        return {address: None for seen in self.sightings.values() for address in seen.addresses}


class PeerTable:
    """Merges sightings of peers and says what changed.

    Call `saw` and `lost` as sightings come and go, and `tick` when `deadline` has passed; each returns the
    changes to report, in order, removals first: unless a change is held back, no address belongs to a
    static peer and to its host at once. The table never raises for what a source says: what does not fit is
    counted.
    """

    def __init__(
        self,
        peers_max: int = 1024,
        addresses_max: int = 16,
        changes_burst: int = 8,
        change_interval_s: float = 2.0,
    ) -> None:
        """Make an empty table.

        `peers_max` ids are known at once; known ones are never evicted for new ones, and static peers
        always fit, because the user named them. `addresses_max` addresses of a peer are kept. A peer may
        change `changes_burst` times in a row, then once in `change_interval_s` seconds; what is held back
        comes out later, in its final state. The first addition of a peer is never held back. Raises
        DiscoveryValueError for a burst below 1, which would hold back forever.
        """
        if changes_burst < 1:
            raise DiscoveryValueError(str(changes_burst), "is no burst of changes", "give 1 or more")
        self._peers_max = peers_max
        self._addresses_max = addresses_max
        self._burst = float(changes_burst)
        self._interval_s = change_interval_s
        self._entries: dict[str, _Entry] = {}
        self._gone: dict[str, None] = {}
        self._statics_at: dict[Address, dict[str, None]] = {}
        self._hosts_at: dict[Address, dict[str, None]] = {}
        self._wakes: list[tuple[float, str]] = []
        self.refused: int = 0
        """Sightings of new ids that found the table full."""
        self.cut: int = 0
        """Sightings that had more addresses than fit."""
        self.held: int = 0
        """Changes that were held back because their peer changed too often."""

    def peers(self) -> list[Peer]:
        """Return every peer that was told and not taken back."""
        return [entry.told for entry in self._entries.values() if entry.told is not None]

    def saw(self, source: str, peer: Peer, now: float) -> list[Change]:
        """Note what a source says about a peer, in place of what it said before; the same again is passed on.

        `source` names who says it; the peer's own `sources` are what is shown, or `source` if it has none.
        """
        seen = replace(peer, addresses=peer.addresses[: self._addresses_max], sources=peer.sources or (source,))
        if len(seen.addresses) < len(peer.addresses):
            self.cut += 1
        entry = self._entries.get(peer.peer_id) or self._enter(seen, now)
        if entry is None:
            return []
        if entry.sightings.get(source) == seen:
            return [PeerUpdated(entry.told)] if entry.told is not None else []
        self._gone.pop(peer.peer_id, None)
        return self._sight(peer.peer_id, entry, {**entry.sightings, source: seen}, now)

    def lost(self, source: str, peer_id: str, now: float) -> list[Change]:
        """Note that a source no longer sees a peer; one that it never saw is ignored."""
        entry = self._entries.get(peer_id)
        if entry is None or source not in entry.sightings:
            return []
        others = {other: seen for other, seen in entry.sightings.items() if other != source}
        return self._sight(peer_id, entry, others, now)

    def deadline(self) -> float | None:
        """Return when `tick` is to be called next, or None if nothing is held back."""
        while self._wakes:
            due_at, peer_id = self._wakes[0]
            entry = self._entries.get(peer_id)
            if entry is not None and entry.due_at == due_at:
                return due_at
            heapq.heappop(self._wakes)
        return None

    def tick(self, now: float) -> list[Change]:
        """Let out what was held back and is due."""
        due: dict[str, None] = {}
        while (due_at := self.deadline()) is not None and due_at <= now:
            _, peer_id = heapq.heappop(self._wakes)
            self._entries[peer_id].due_at = None
            due[peer_id] = None
        return self._settle(due, now)

    def _enter(self, peer: Peer, now: float) -> _Entry | None:
        """Make room for a new id, at the cost of one that is gone but never of one that is known."""
        if peer.sources != _STATIC:
            while len(self._entries) >= self._peers_max and self._gone:
                oldest = next(iter(self._gone))
                del self._gone[oldest], self._entries[oldest]
            if len(self._entries) >= self._peers_max:
                self.refused += 1
                return None
        entry = self._entries[peer.peer_id] = _Entry(self._burst, now)
        return entry

    def _sight(self, peer_id: str, entry: _Entry, sightings: dict[str, Peer], now: float) -> list[Change]:
        """Replace the sightings of an id and settle everybody whose view that may change."""
        before = entry.addresses()
        statics, hosts = self._statics_at, self._hosts_at
        old_index = statics if entry.is_static() else hosts
        entry.sightings = sightings
        new_index = statics if entry.is_static() else hosts
        addresses = before | entry.addresses()
        touched = {peer_id: None} | self._neighbours(addresses)
        for address in before:
            old_index[address].pop(peer_id)
            if not old_index[address]:
                del old_index[address]
        for address in entry.addresses():
            new_index.setdefault(address, {})[peer_id] = None
        return self._settle(touched | self._neighbours(addresses), now)

    def _neighbours(self, addresses: Iterable[Address]) -> dict[str, None]:
        """Return the static peers at some addresses, and the hosts that have absorbed them."""
        found: dict[str, None] = {}
        for address in addresses:
            if statics := self._statics_at.get(address):
                found |= statics
                if (host := self._host_at(address)) is not None:
                    found[host] = None
        return found

    def _host_at(self, address: Address) -> str | None:
        """Return who absorbs the static peers at an address: of several claimants always the same one."""
        return min(self._hosts_at.get(address, ()), default=None)

    def _view(self, peer_id: str) -> Peer | None:
        """Return what all sightings of an id say together, or None if there is nothing to show."""
        entry = self._entries[peer_id]
        if not entry.sightings:
            return None
        seen = [entry.sightings[source] for source in sorted(entry.sightings)]
        addresses = entry.addresses()
        if entry.is_static():
            if any(self._host_at(address) is not None for address in addresses):
                return None
        else:
            for address in addresses:
                if address in self._statics_at and self._host_at(address) == peer_id:
                    for static_id in self._statics_at[address]:
                        seen.extend(self._entries[static_id].sightings.values())
        return self._merge(seen)

    def _merge(self, seen: list[Peer]) -> Peer:
        """Make one peer of several sightings: the first gives id and name, the user's own words win."""
        seen.sort(key=lambda peer: peer.sources == _STATIC)
        properties: dict[str, str] = {}
        for peer in seen:
            properties |= peer.properties
        addresses = dict.fromkeys(address for peer in seen for address in peer.addresses)
        return replace(
            seen[0],
            services=tuple(dict.fromkeys(service for peer in seen for service in peer.services)),
            addresses=tuple(addresses)[: self._addresses_max],
            properties=properties,
            sources=tuple(sorted({source for peer in seen for source in peer.sources})),
        )

    def _settle(self, touched: Iterable[str], now: float) -> list[Change]:
        """Compare what was told about some ids with their views; return the changes, removals first."""
        changes = [change for peer_id in touched if (change := self._change(peer_id, now)) is not None]
        changes.sort(key=lambda change: not isinstance(change, PeerRemoved))
        return changes

    def _change(self, peer_id: str, now: float) -> Change | None:
        entry = self._entries[peer_id]
        view, told = self._view(peer_id), entry.told
        if view == told:
            entry.due_at = None
        elif entry.is_new or self._take_token(entry, peer_id, now):
            entry.told, entry.is_new, entry.due_at = view, False, None
        else:
            return None
        if entry.told is None and not entry.sightings:
            self._gone[peer_id] = None
        if view is not None:
            return PeerAdded(view) if told is None else PeerUpdated(view) if view != told else None
        return PeerRemoved(told) if told is not None else None

    def _take_token(self, entry: _Entry, peer_id: str, now: float) -> bool:
        """Pay for a change, or arrange for it to be looked at again when it can be paid for."""
        entry.tokens = min(self._burst, entry.tokens + (now - entry.refilled_at) / self._interval_s)
        entry.refilled_at = now
        if entry.tokens >= _WHOLE_TOKEN:
            entry.tokens -= 1
            return True
        if entry.due_at is None:
            self.held += 1
            entry.due_at = now + (1 - entry.tokens) * self._interval_s
            heapq.heappush(self._wakes, (entry.due_at, peer_id))
        return False
