"""From records to a peer, and raw packets to python-zeroconf: whatever strangers send, nothing raises."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zeroconf._dns import DNSService
from zeroconf._protocol.incoming import DNSIncoming
from zeroconf.const import _CLASS_IN, _TYPE_SRV

from discovery import Interface
from discovery.mdns.names import SERVICE_TYPE
from discovery.mdns.records import Parts, peer_of
from tests.helpers.rogue import KINDS, Mark, Rogue

INTERFACES = [Interface("lo", 1, ("127.0.0.1/8",)), Interface("eth0", 2, ("10.0.0.1/24", "fe80::1/64"))]
hosts = st.lists(
    st.one_of(st.ip_addresses().map(str), st.just("fe80::2%eth0"), st.just("fe80::2%gone"), st.just("169.254.1.1")),
    max_size=40,
).map(tuple)
texts = st.one_of(
    st.binary(max_size=1500),
    st.lists(st.binary(max_size=255), max_size=9).map(lambda each: b"".join(bytes([len(x)]) + x for x in each)),
)


@given(st.text(max_size=63), texts, hosts, st.integers(0, 65535), st.integers(0, 65535), st.integers(0, 65535))
def test_records_make_a_peer_or_none(
    label: str, text: bytes, at: tuple[str, ...], port: int, priority: int, weight: int
) -> None:
    service = DNSService(f"x.{SERVICE_TYPE}", _TYPE_SRV, _CLASS_IN, 120, priority, weight, port, "node.local.")
    peer, faults = peer_of(label, Parts(service, text, at), INTERFACES)
    assert faults >= (peer is None)
    if peer is not None:
        assert 1 <= len(peer.addresses) <= 16
        assert not peer.peer_id.startswith("static:")
        assert peer.name.isprintable()


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rogue_packet_is_read_or_refused(kind: str) -> None:
    rng = random.Random(3)
    rogue = Rogue(rng, "default", [Mark("calc-1", "0123456789abcdef", "127.0.0.1", 5001)], 9)
    read = 0
    for _ in range(200):
        incoming = DNSIncoming(KINDS[kind](rogue))
        read += len(incoming.answers())
    assert read > 0 or kind in ("compression loop", "noise", "broken name")
