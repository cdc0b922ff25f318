"""From the records of one DNS-SD instance to a peer."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from zeroconf._cache import DNSCache
from zeroconf._dns import DNSAddress, DNSRecord, DNSService, DNSText
from zeroconf.const import _CLASS_IN, _TYPE_A, _TYPE_AAAA, _TYPE_SRV, _TYPE_TXT

from ..interfaces import Interface, rank_addresses
from ..model import Address, DiscoveryValueError, Peer
from ..txt import decode_txt, name_of

__all__ = ["Parts", "peer_of", "read_parts"]

_ADDRESSES_MAX: Final = 16
"""How many addresses of a peer are kept, the best ones."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The records that make a peer, as far as they are known."""

    service: DNSService | None = None
    text: bytes | None = None
    hosts: tuple[str, ...] = ()

    def is_complete(self) -> bool:
        """Tell whether a peer can be made of them; RFC 6763 section 6 asks everybody for a TXT record."""
        return self.service is not None and self.text is not None and bool(self.hosts)


def read_parts(cache: DNSCache, name: str, known: Parts, now_ms: float) -> Parts:
    """Read the records of an instance from the cache; what is not there any more stays as it was known.

    Records of a host live 120 s and a PTR record 75 minutes, so a peer outlives its own details in the cache.
    """
    service = _newest(cache.async_all_by_details(name, _TYPE_SRV, _CLASS_IN), now_ms)
    text = _newest(cache.async_all_by_details(name, _TYPE_TXT, _CLASS_IN), now_ms)
    if not isinstance(service, DNSService):
        service = known.service
    hosts: tuple[str, ...] = ()
    if service is not None:
        found = [
            record
            for kind in (_TYPE_A, _TYPE_AAAA)
            for record in cache.async_all_by_details(service.server, kind, _CLASS_IN)
            if isinstance(record, DNSAddress) and _is_live(record, now_ms)
        ]
        hosts = tuple(sorted({host for record in found if (host := _host_of(record))}))
        if not hosts and known.service is not None and known.service.server_key == service.server_key:
            hosts = known.hosts
    return Parts(service, text.text if isinstance(text, DNSText) else known.text, hosts)


def peer_of(label: str, parts: Parts, interfaces: Sequence[Interface]) -> tuple[Peer | None, int]:
    """Make the peer, if its records allow, and count what had to be cut or ignored; never raises."""
    service, text = parts.service, parts.text
    assert service is not None
    assert text is not None
    txt = decode_txt(text)
    faults = txt.faults
    peer_id = txt.peer_id or label
    try:
        addresses = [Address(host, service.port) for host in parts.hosts]
        ranked = rank_addresses(addresses, interfaces)
        faults += len(ranked) > _ADDRESSES_MAX
        peer = Peer(
            peer_id,
            name_of(label, peer_id),
            txt.services,
            tuple(ranked[:_ADDRESSES_MAX]),
            txt.properties,
            ("mdns",),
            service.priority,
            service.weight,
        )
    except DiscoveryValueError:
        return None, faults + 1
    return (peer, faults) if peer.addresses else (None, faults + 1)


def _newest(records: Sequence[DNSRecord], now_ms: float) -> DNSRecord | None:
    """Return the record that was said last: the cache keeps its predecessors for a while."""
    live = [record for record in records if _is_live(record, now_ms)]
    return max(live, key=lambda record: record.created, default=None)


def _is_live(record: DNSRecord, now_ms: float) -> bool:
    # What a newer record flushes gets a lifetime of one second (RFC 6762 section 10.2): it is not true any
    # more.
    return record.ttl > 1 and not record.is_expired(now_ms)


def _host_of(record: DNSAddress) -> str:
    """Return the address as text, with its scope if it is link-local, or nothing if it leads to nobody."""
    if len(record.address) == 4:
        host = IPv4Address(record.address)
        return "" if host.is_unspecified or host.is_multicast else str(host)
    if len(record.address) != 16:
        return ""
    six = IPv6Address(record.address)
    if six.is_unspecified or six.is_multicast:
        return ""
    if not six.is_link_local:
        return str(six)
    try:
        return f"{six}%{socket.if_indextoname(record.scope_id or 0)}"
    except OSError:
        return ""  # it came over IPv4, or its interface has gone
