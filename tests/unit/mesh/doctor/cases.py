"""Observations to draw findings from: a host 10.0.0.3 on a LAN on which 10.0.0.1 advertises the server `a`."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from discovery.hearing import Hearing, Told
from discovery.model import Address, Peer
from mesh.doctor.observations import Answer, End, Link, Machine, Observations, Seen, Try

__all__ = ["ETH", "HEALTHY", "LAN", "LO", "MACHINE", "A", "again", "answered", "named", "observed", "seen"]

LO = Link("lo", ("127.0.0.1/8", "::1/128"), used=True)
ETH = Link("eth0", ("10.0.0.3/24",), used=True)
MACHINE = Machine((LO, ETH), default_link="eth0")
A = "10.0.0.1"
"""The host of the server."""
LAN = Hearing("eth0", "10.0.0.3", "", 0, True, (A, "10.0.0.3"), (A,), (Told(A, "a 1"),))
"""Everything works, and `a` is advertised."""


def seen(
    end: End = End.ANSWERED,
    host: str = A,
    *,
    name: str = "a",
    realm: str = "default",
    answer: Answer | None = None,
    why: str = "",
    sources: Sequence[str] = ("mdns",),
) -> Seen:
    """Return a server with one address, and how far a PING to it came."""
    address = Address(host, 5001)
    properties = {} if realm == "default" else {"realm": realm}
    peer = Peer(f"id-{name}", name, ("work",), (address,), properties, tuple(sources))
    if end is End.ANSWERED and answer is None:
        answer = answered(name, realm=realm)
    labels = (f"{name} 1",) if "mdns" in sources else ()
    return Seen(peer, (Try(address, end, why, None, answer),), labels)


def answered(name: str = "a", realm: str = "default") -> Answer:
    """Return what a healthy server says."""
    return Answer(0.0005, f"id-{name}", name, realm, ("work",), host="lab", clock_offset_s=0.0, wall_offset_s=0.0)


def named(end: End, host: str = A, why: str = "") -> Seen:
    """Return a server that was only named."""
    address = Address(host, 5001)
    peer = Peer(f"static:{address}", str(address), (), (address,), {}, ("static",))
    answer = Answer(0.0005, "id-a", "a", "default", ("work",)) if end is End.ANSWERED else None
    return Seen(peer, (Try(address, end, why, None, answer),))


def observed(*servers: Seen, **other: object) -> Observations:
    """Return observations of a network on which all works, with these servers and whatever else is given."""
    whole = Observations("default", MACHINE, hearings=(LAN,), seen=servers)
    return dataclasses.replace(whole, **other)  # type: ignore[arg-type]


HEALTHY = observed(seen())


def again(*told: Told, heard: Sequence[str] = ()) -> tuple[Hearing, ...]:
    """Return the second round, in which these spoke of instances, and these hosts of whatever."""
    hosts = tuple(dict.fromkeys([*(each.host for each in told), *heard]))
    return (Hearing("eth0", "10.0.0.3", "", 0, True, hosts, (), told),)
