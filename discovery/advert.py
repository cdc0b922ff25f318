"""What may be advertised: the rules that every advertiser checks before it says anything. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Final

from .model import Address, DiscoveryError, DiscoveryValueError, Peer

__all__ = ["check_start", "check_update", "is_wildcard", "resolved_addresses"]

_WILDCARDS: Final = frozenset({"0.0.0.0", "::", "*"})


def is_wildcard(peer: Peer) -> bool:
    """Tell whether a peer listens on every address of its host, so that these are to be advertised."""
    return any(address.host in _WILDCARDS for address in peer.addresses)


def resolved_addresses(peer: Peer, own_hosts: Sequence[str]) -> tuple[Address, ...]:
    """Return the addresses to advertise, with `own_hosts` for a wildcard (``0.0.0.0``, ``::``, ``*``).

    Raises DiscoveryValueError if there is none, if one is not numeric, or if the ports differ: an SRV
    record has one port (RFC 2782), and its host name one set of addresses.
    """
    if not peer.addresses:
        raise DiscoveryValueError(peer.name, "has no address", "bind it before it is advertised")
    port = peer.addresses[0].port
    found: dict[Address, None] = {}
    for address in peer.addresses:
        if address.port != port:
            remedy = f"advertise one port, for example {port}"
            raise DiscoveryValueError(str(address), "has another port than the peer's other addresses", remedy)
        if address.host in _WILDCARDS:
            found |= {Address(host, port): None for host in own_hosts if address.host != "0.0.0.0" or ":" not in host}
            continue
        try:
            ipaddress.ip_address(address.host)
        except ValueError:
            remedy = "advertise a numeric address or 0.0.0.0"
            raise DiscoveryValueError(str(address), "is a host name", remedy) from None
        found[address] = None
    return tuple(found)


def check_start(known: Peer | None, peer: Peer) -> None:
    """Check that an advertiser is free. Raises DiscoveryError."""
    if known is not None:
        raise DiscoveryError(peer.name, f"cannot start while {known.name!r} is advertised", "call stop() first")


def check_update(known: Peer | None, peer: Peer) -> None:
    """Check that an update is of the peer that was started. Raises DiscoveryError."""
    if known is None:
        raise DiscoveryError(peer.name, "is not advertised", "call start() first")
    if (known.peer_id, known.name) != (peer.peer_id, peer.name):
        problem = f"cannot take the place of {known.name!r}"
        raise DiscoveryValueError(peer.name, problem, "keep id and name, or stop() and start() again")
