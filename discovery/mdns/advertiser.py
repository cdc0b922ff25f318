"""Make a peer known by mDNS."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import Final

from zeroconf import ServiceInfo
from zeroconf._dns import DNSRecord

from ..advert import check_start, check_update, resolved_addresses
from ..base import Stoppable
from ..interfaces import Interface
from ..model import Peer
from ..txt import digest, encode_txt, label_of
from .link import Link, acquire, release
from .names import SERVICE_TYPE, check_service_type

__all__ = ["MdnsAdvertiser"]

_AGAIN_S: Final = (1.0, 64.0)
"""After this time an announcement is repeated, then after twice that time, and so on up to the longest (RFC 6762
section 8.3): who was cut off at the first one, and comes back, hears of the peer within the time it has been there."""
_LOOPBACK: Final = ("127.0.0.1",)


class MdnsAdvertiser(Stoppable):
    """A `discovery.Advertiser` in the local network.

    Nothing is probed for (RFC 6762 section 8.1), which saves a second: the label of the instance and the
    name of the host it is on are made with a digest of the peer id, so nobody else can have them by chance.
    Every peer has a host name of its own, so its address records are unique as well and may flush what was
    said before.
    """

    def __init__(self, interfaces: Sequence[str] | None = None, service_type: str = SERVICE_TYPE) -> None:
        """Advertise on these interfaces (see `choose_interfaces`).

        Without interfaces, a peer that listens on loopback only is advertised on loopback only. Raises
        DiscoveryValueError if the service type is none.
        """
        self._interfaces = interfaces
        self._service_type = check_service_type(service_type)
        self._peer: Peer | None = None
        self._advert: _Advert | None = None

    def start(self, peer: Peer) -> None:
        """Make the peer known; a wildcard address stands for those of the interfaces.

        Raises DiscoveryError if the peer cannot be advertised, or if no interface or not the port can be
        used.
        """
        check_start(self._peer, peer)
        encode_txt(peer)
        hosts = [address.host for address in resolved_addresses(peer, ())]
        is_local = bool(hosts) and all(ipaddress.ip_address(host).is_loopback for host in hosts)
        link = acquire(_LOOPBACK if self._interfaces is None and is_local else self._interfaces)
        self._peer, self._advert = peer, _Advert(link, self._service_type, peer)
        link.loop.call_soon_threadsafe(self._advert.publish)

    def update(self, peer: Peer) -> None:
        """Replace what is said about the peer. Raises DiscoveryError if its id or its name differs."""
        check_update(self._peer, peer)
        assert self._advert is not None
        encode_txt(peer)
        resolved_addresses(peer, ())
        self._peer = peer
        self._advert.link.loop.call_soon_threadsafe(self._advert.replace, peer)

    def bury(self, peer: Peer) -> None:
        """Say goodbye for another peer of this host, which ended without doing so; only between start and stop."""
        assert self._advert is not None, "bury comes between start and stop"
        link = self._advert.link
        infos = _Advert(link, self._service_type, peer)._make_infos()
        link.loop.call_soon_threadsafe(link.goodbye, _goodbyes(infos))

    def stop(self) -> None:
        """Say goodbye and return when it was sent. A second stop does nothing."""
        if self._advert is not None:
            self._advert.link.run(self._advert.withdraw())
            release(self._advert.link)
            self._peer = self._advert = None


class _Advert:
    """What lives from start to stop; everything in here runs in the link's loop."""

    def __init__(self, link: Link, service_type: str, peer: Peer) -> None:
        self.link = link
        self._service_type = service_type
        self._peer = peer
        self._infos: list[ServiceInfo] = []
        self._again: asyncio.TimerHandle | None = None

    def publish(self) -> None:
        """Answer questions about the peer from now on, and announce it several times."""
        self._infos = self._make_infos()
        registry = self.link.zeroconf.registry
        for info in self._infos:
            registry.async_add(info)
        self._announce(_AGAIN_S[0])
        self.link.on_interfaces[self] = self._begin_anew
        self.link.marks[self] = digest(self._peer.peer_id).encode()

    def replace(self, peer: Peer) -> None:
        """Say something else about the peer; what is not said any more gets a goodbye."""
        self._peer = peer
        before = _goodbyes(self._retract())
        self.publish()
        said = dict.fromkeys(record for info in self._infos for record in _records(info))
        self.link.announce([record for record in before if record not in said])

    async def withdraw(self) -> None:
        """Stop answering and say goodbye."""
        self.link.goodbye(_goodbyes(self._retract()))

    def _retract(self) -> list[ServiceInfo]:
        if self._again is not None:
            self._again.cancel()
        self.link.on_interfaces.pop(self, None)
        self.link.marks.pop(self, None)
        self.link.zeroconf.registry.async_remove(self._infos)
        return self._infos

    def _begin_anew(self) -> None:
        self.replace(self._peer)

    def _announce(self, again_s: float) -> None:
        records = dict.fromkeys(record for info in self._infos for record in _records(info))
        self.link.announce(list(records))
        if again_s <= _AGAIN_S[1]:
            self._again = self.link.loop.call_later(again_s, self._announce, 2 * again_s)

    def _make_infos(self) -> list[ServiceInfo]:
        """Make what python-zeroconf answers from: the instance, and itself again under each of its subtypes.

        The registry of python-zeroconf has one entry for each instance name; giving the further ones a key of
        their own lets them be found by subtype (RFC 6763 section 7.1) and by nothing else.
        """
        peer = self._peer
        addresses = resolved_addresses(peer, _own_hosts(self.link.interfaces))
        name = f"{label_of(peer.name, peer.peer_id)}.{self._service_type}"
        subtypes = [f"_{service}._sub.{self._service_type}" for service in dict.fromkeys(peer.services)]
        infos = []
        for number, kind in enumerate((self._service_type, *subtypes)):
            info = ServiceInfo(
                kind,
                name,
                addresses[0].port if addresses else 0,
                peer.weight,
                peer.priority,
                encode_txt(peer),
                f"peer-{digest(peer.peer_id)}.local.",
                parsed_addresses=[address.host.partition("%")[0] for address in addresses],
            )
            if number:
                info.key = f"{kind}{info.key}".lower()
            infos.append(info)
        return infos


def _records(info: ServiceInfo, ttl: int | None = None) -> list[DNSRecord]:
    return [
        info.dns_pointer(ttl),
        info.dns_service(ttl),
        info.dns_text(ttl),
        *info.get_address_and_nsec_records(ttl),
    ]


def _goodbyes(infos: Sequence[ServiceInfo]) -> list[DNSRecord]:
    return list(dict.fromkeys(record for info in infos for record in _records(info, 0)))


def _own_hosts(interfaces: Sequence[Interface]) -> list[str]:
    """Return the addresses that stand for a wildcard: those that others can dial, loopback if alone."""
    hosts = [address for interface in interfaces for address in interface.addresses]
    dialable = [host for host in hosts if not ipaddress.ip_address(host).is_loopback]
    routable = [host for host in dialable if not ipaddress.ip_address(host).is_link_local]
    return routable or dialable or hosts
