"""From DNS records to a peer."""

from __future__ import annotations

import socket

from zeroconf._cache import DNSCache
from zeroconf._dns import DNSAddress, DNSRecord, DNSService, DNSText
from zeroconf.const import _CLASS_IN, _TYPE_A, _TYPE_AAAA, _TYPE_SRV, _TYPE_TXT

from discovery import Address, Interface
from discovery.mdns.records import Parts, peer_of, read_parts

NAME = "one._x._tcp.local."
HOST = "host.local."
OWN = [Interface("lo", 1, ("127.0.0.1/8",))]


def srv(port: int = 5555, at_ms: float = 1000.0, ttl: int = 120) -> DNSService:
    return DNSService(NAME, _TYPE_SRV, _CLASS_IN, ttl, 1, 2, port, HOST, at_ms)


def txt(record: bytes = b"\x04id=a", at_ms: float = 1000.0, ttl: int = 4500) -> DNSText:
    return DNSText(NAME, _TYPE_TXT, _CLASS_IN, ttl, record, at_ms)


def a(host: str, at_ms: float = 1000.0, ttl: int = 120, scope: int | None = None) -> DNSAddress:
    family, kind = (socket.AF_INET6, _TYPE_AAAA) if ":" in host else (socket.AF_INET, _TYPE_A)
    return DNSAddress(HOST, kind, _CLASS_IN, ttl, socket.inet_pton(family, host), scope, at_ms)


def read(*records: DNSRecord, known: Parts | None = None, now_ms: float = 2000.0) -> Parts:
    cache = DNSCache()
    cache.async_add_records(records)
    return read_parts(cache, NAME, known or Parts(), now_ms)


def test_a_peer_is_made_of_its_records() -> None:
    parts = read(srv(), txt(b"\x04id=a\x08svc=echo\x09proto=flp"), a("127.0.0.1"))
    assert parts.is_complete()
    peer, faults = peer_of("one", parts, OWN)
    assert peer is not None
    assert (peer.peer_id, peer.name, peer.services, peer.sources) == ("a", "one", ("echo",), ("mdns",))
    assert (peer.addresses, peer.priority, peer.weight) == ((Address("127.0.0.1", 5555),), 1, 2)
    assert (dict(peer.properties), faults) == ({"proto": "flp"}, 0)


def test_each_record_is_needed() -> None:
    whole = (srv(), txt(), a("127.0.0.1"))
    for missing in range(3):
        assert not read(*(record for number, record in enumerate(whole) if number != missing)).is_complete()


def test_a_record_without_an_id_is_known_by_its_instance() -> None:
    peer, _ = peer_of("one", read(srv(), txt(b"\x00"), a("127.0.0.1")), OWN)
    assert peer is not None
    assert peer.peer_id == "one"


def test_what_was_said_last_counts_in_whatever_order_it_is_kept() -> None:
    old, new = txt(b"\x05id=ab", 1000.0), txt(b"\x05id=cd", 1500.0)
    assert read(old, new).text == read(new, old).text == b"\x05id=cd"


def test_what_was_flushed_or_is_too_old_does_not_count() -> None:
    parts = read(
        srv(),
        srv(1, 1900.0, 1),
        txt(),
        a("127.0.0.1"),
        a("127.0.0.2", 1900.0, 1),
        a("127.0.0.3", 1.0, 2),
        now_ms=2500.0,
    )
    assert parts.service == srv()
    assert parts.hosts == ("127.0.0.1",)


def test_what_has_left_the_cache_stays_as_it_was() -> None:
    known = read(srv(), txt(), a("127.0.0.1"))
    assert read(known=known) == known
    moved = read(a("127.0.0.2"), known=known)
    assert (moved.service, moved.text, moved.hosts) == (known.service, known.text, ("127.0.0.2",))


def test_addresses_that_nobody_has_are_left_out_and_scopes_are_named() -> None:
    loopback = socket.if_nametoindex("lo")
    hosts = ["0.0.0.0", "224.0.0.1", "::", "ff02::1", "fe80::1", "fd00::1", "127.0.0.1"]
    parts = read(srv(), txt(), *map(a, hosts), a("fe80::2", scope=loopback))
    assert parts.hosts == ("127.0.0.1", "fd00::1", "fe80::2%lo")


def test_a_port_or_an_address_that_leads_nowhere_makes_no_peer() -> None:
    assert peer_of("one", read(srv(0), txt(), a("127.0.0.1")), OWN) == (None, 1)


def test_more_addresses_than_are_kept_are_cut_and_counted() -> None:
    parts = read(srv(), txt(), *(a(f"127.0.0.{number}") for number in range(1, 40)))
    peer, faults = peer_of("one", parts, OWN)
    assert peer is not None
    assert (len(peer.addresses), faults) == (16, 1)
