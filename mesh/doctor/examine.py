"""Makes the observations: interfaces, multicast, what is advertised, and a PING to each address."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from discovery import (
    Address,
    Change,
    DiscoveryError,
    DiscoveryValueError,
    Interface,
    MdnsBrowser,
    Peer,
    PeerRemoved,
    choose_interfaces,
)
from discovery.mdns.probe import probe
from discovery.txt import label_of
from mesh.doctor.dial import dial
from mesh.doctor.machine import neighbours, observe_machine
from mesh.doctor.observations import Observations, Seen, Try
from mesh.environment import chosen_interfaces, chosen_realm, chosen_servers

__all__ = ["Order", "examine"]

_AT_ONCE: Final = 64
_AGAIN_S_MAX: Final = 1.2
"""Who is there answers within 0.1 s, or a second later if it has said the same just before (RFC 6762 section 6)."""
_AGAIN_MAX: Final = 64
"""Servers that are asked for once more."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be examined."""

    target: str = ""
    """A server, by name or id, or a service; empty: all."""
    servers: Sequence[str] | None = None
    """Endpoints; nothing is discovered then. None: those of MESH_SERVERS beside what is discovered."""
    realm: str | None = None
    interfaces: Sequence[str] | None = None
    timeout_s: float = 2.0
    """How long it is listened, and how long each step of a PING may take."""


def examine(order: Order, on_progress: Callable[[str], None]) -> Observations:
    """Look at everything, and tell what is being done.

    Raises:
        ConfigError: The realm or an endpoint cannot be used.
        DiscoveryValueError: There is no such interface.
    """
    realm, named = chosen_realm(order.realm), chosen_servers(order.servers)
    names = chosen_interfaces(order.interfaces)
    discovers = not order.servers
    used: list[Interface] = []
    problem = ""
    if discovers:
        try:
            used = choose_interfaces(names)
        except DiscoveryValueError:
            raise
        except DiscoveryError as error:
            problem = str(error)
    on_progress("looking at this host")
    observations = Observations(realm, observe_machine(used), order.target, discovers, problem)
    peers: list[Peer] = []
    if used:
        on_progress(f"listening on {', '.join(interface.name for interface in used)}")
        with _Sightings() as sightings:
            problem = sightings.begin(names)
            hearings = tuple(probe(used, listen_s=order.timeout_s))
            peers = sightings.peers()
        observations = dataclasses.replace(
            observations, hearings=hearings, discovery_problem=problem, listened_s=order.timeout_s
        )
    peers = _merged(peers, named)
    seen = asyncio.run(_ask(peers, order.timeout_s, on_progress))
    observations = dataclasses.replace(
        observations, seen=tuple(seen), machine=dataclasses.replace(observations.machine, neighbours=neighbours())
    )
    silent = [each for each in observations.wanted() if each.answer is None and each.is_discovered]
    if silent:
        on_progress(f"asking once more who speaks for {len(silent)} servers")
        labels = [label for each in silent[:_AGAIN_MAX] for label in each.labels]
        again = probe(used, labels, listen_s=min(order.timeout_s, _AGAIN_S_MAX))
        observations = dataclasses.replace(observations, again=tuple(again))
    return observations


class _Sightings:
    """What a browser reports, until the end of the `with` block."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._peers: dict[str, Peer] = {}
        self._browser: MdnsBrowser | None = None

    def __enter__(self) -> _Sightings:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        if self._browser is not None:
            self._browser.stop()

    def begin(self, interfaces: Sequence[str] | None) -> str:
        """Begin to collect; return what is in the way."""
        self._browser = MdnsBrowser(interfaces)
        try:
            self._browser.start(self._on_change)
        except DiscoveryError as error:
            return str(error)
        return ""

    def peers(self) -> list[Peer]:
        """Return who is there, by name."""
        with self._lock:
            return sorted(self._peers.values(), key=lambda peer: (peer.name, peer.peer_id))

    def _on_change(self, change: Change) -> None:
        with self._lock:
            if isinstance(change, PeerRemoved):
                self._peers.pop(change.peer.peer_id, None)
            else:
                self._peers[change.peer.peer_id] = change.peer


def _merged(found: Sequence[Peer], named: Sequence[Peer]) -> list[Peer]:
    """Return all, those once that were both discovered and named."""
    homes: dict[Address, Peer] = {address: peer for peer in found for address in peer.addresses}
    merged = {peer.peer_id: peer for peer in found}
    for peer in named:
        known = homes.get(peer.addresses[0])
        if known is None:
            merged[peer.peer_id] = peer
        else:
            merged[known.peer_id] = dataclasses.replace(known, sources=("mdns", "static"))
    return list(merged.values())


async def _ask(peers: Sequence[Peer], timeout_s: float, on_progress: Callable[[str], None]) -> list[Seen]:
    """PING every address of every server, many at once."""
    free = asyncio.Semaphore(_AT_ONCE)
    left = len(peers)
    on_progress(f"asking {left} servers")

    async def one(peer: Peer, address: Address) -> Try:
        async with free:
            return await dial(address, peer.properties.get("proto", "mesh/1"), timeout_s)

    async def all_of(peer: Peer) -> Seen:
        nonlocal left
        tries = await asyncio.gather(*(one(peer, address) for address in peer.addresses))
        left -= 1
        on_progress(f"asking servers, {left} are left")
        # Whoever advertises by other means than ours may call the instance what he likes.
        labels = (label_of(peer.name, peer.peer_id), peer.name) if "mdns" in peer.sources else ()
        return Seen(peer, tuple(tries), labels)

    return list(await asyncio.gather(*map(all_of, peers)))
