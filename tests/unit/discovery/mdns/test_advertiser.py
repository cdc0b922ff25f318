"""What goes over the wire when a peer is advertised."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest
from zeroconf._dns import DNSPointer, DNSQuestion
from zeroconf._protocol.incoming import DNSIncoming
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.const import _CLASS_IN, _FLAGS_QR_QUERY, _TYPE_A, _TYPE_AAAA, _TYPE_PTR, _TYPE_SRV, _TYPE_TXT

from discovery import Address, Interface, MdnsAdvertiser, Peer
from discovery.mdns import advertiser as module
from discovery.mdns import link as links
from discovery.txt import digest, encode_txt
from tests.helpers.wait import PATIENCE_S, quickest, wait_until

pytestmark = pytest.mark.network
LOOPBACK = ["127.0.0.1"]
TYPE = "_wire._tcp.local."
PEER = Peer("p1", "One", ("echo", "time"), (Address("127.0.0.1", 5555),), {"proto": "flp"})
_SO_TIMESTAMP = 29
"""Has the kernel note when a packet came, whenever the test comes to read it (socket(7))."""
_TIMEVAL = struct.Struct("@ll")


@pytest.fixture
def wire() -> Iterator[socket.socket]:
    """A socket that hears every multicast packet on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hearing:
        hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        hearing.bind(("224.0.0.251", 5353))
        group = socket.inet_aton("224.0.0.251") + socket.inet_aton("127.0.0.1")
        hearing.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        hearing.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMP, 1)
        hearing.settimeout(PATIENCE_S)
        yield hearing


def hear(wire: socket.socket, text: str) -> tuple[DNSIncoming, float]:
    """Return the next packet that mentions a text, and when it came to this host on the monotonic clock."""
    while True:
        data, [(_, _, stamp)], _, _ = wire.recvmsg(9000, socket.CMSG_SPACE(_TIMEVAL.size))
        if text.encode() in data:
            seconds, micros = _TIMEVAL.unpack(stamp)
            return DNSIncoming(data), seconds + micros / 1e6 - (time.time() - time.monotonic())


def ask(name: str, kind: int) -> DNSIncoming:
    """Ask from a port of our own and return the answer."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        asking.bind(("127.0.0.1", 0))
        asking.settimeout(PATIENCE_S)
        out = DNSOutgoing(_FLAGS_QR_QUERY, multicast=False, id_=7)
        out.add_question(DNSQuestion(name, kind, _CLASS_IN))
        asking.sendto(out.packets()[0], ("224.0.0.251", 5353))
        return DNSIncoming(asking.recv(9000))


def test_an_announcement_is_whole_and_comes_without_probing(wire: socket.socket) -> None:
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
        started_at = time.monotonic()
        advertiser.start(PEER)
        packet, heard_at = hear(wire, "_wire")
    assert packet.is_response()
    assert heard_at - started_at < 0.75  # what three probes would take (RFC 6762 section 8.1)
    found = {(record.type, record.name) for record in packet.answers()}
    instance, host = f"One {digest('p1')}.{TYPE}", f"peer-{digest('p1')}.local."
    expected = {
        (_TYPE_PTR, TYPE),
        (_TYPE_PTR, f"_echo._sub.{TYPE}"),
        (_TYPE_PTR, f"_time._sub.{TYPE}"),
        (_TYPE_SRV, instance),
        (_TYPE_TXT, instance),
        (_TYPE_A, host),
    }
    assert expected <= found
    text = next(record for record in packet.answers() if record.type == _TYPE_TXT)
    assert getattr(text, "text") == encode_txt(PEER)  # noqa: B009


def test_an_announcement_is_repeated_after_a_second(wire: socket.socket) -> None:
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
        advertiser.start(PEER)
        _, first_at = hear(wire, "_wire")
        _, second_at = hear(wire, "_wire")
    assert 0.9 < second_at - first_at < 1.9


def test_who_only_advertises_says_nothing_twice_a_second_though_it_hears_no_strangers(wire: socket.socket) -> None:
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        asking.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        asking.bind(("127.0.0.1", 5353))  # as one who can hear a multicast answer
        advertiser.start(PEER)
        _, said_at = hear(wire, digest("p1"))
        for kind in (_TYPE_PTR, _TYPE_TXT):
            out = DNSOutgoing(_FLAGS_QR_QUERY)
            out.add_question(DNSQuestion(TYPE if kind == _TYPE_PTR else f"One {digest('p1')}.{TYPE}", kind, _CLASS_IN))
            asking.sendto(out.packets()[0], ("224.0.0.251", 5353))
        while True:
            packet, again_at = hear(wire, digest("p1"))
            if packet.is_response():
                break
    assert again_at - said_at > 0.9  # RFC 6762 section 6; python-zeroconf has to hear itself for that


def test_announcements_go_on_with_ever_longer_pauses_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    announce = module._Advert._announce

    def note(advert: module._Advert, again_s: float) -> None:
        pauses.append(again_s)
        announce(advert, again_s)

    monkeypatch.setattr(module, "_AGAIN_S", (0.01, 0.08))
    monkeypatch.setattr(module._Advert, "_announce", note)
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
        advertiser.start(PEER)
        wait_until(lambda: len(pauses) == 5)
        assert advertiser._advert is not None
        assert advertiser._advert._again is not None
        assert advertiser._advert._again.when() <= time.monotonic(), "nothing is to come"
    assert pauses == [0.01, 0.02, 0.04, 0.08, 0.16]


def test_an_announcement_begins_anew_when_a_link_is_back(wire: socket.socket) -> None:
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
        advertiser.start(PEER)
        hear(wire, "_wire")
        hear(wire, "_wire")
        assert advertiser._advert is not None
        link = advertiser._advert.link
        link.loop.call_soon_threadsafe(link._tell)
        told_at = time.monotonic()
        _, heard_at = hear(wire, "_wire")
    assert heard_at - told_at < 1.5  # the third one would come after two seconds


def test_a_goodbye_takes_everything_back_and_is_said_twice(wire: socket.socket) -> None:
    def stop() -> float:
        with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
            advertiser.start(PEER)
            announced, _ = hear(wire, "_wire")
            stopped_at = time.monotonic()
            advertiser.stop()
            took_s = time.monotonic() - stopped_at
            for _ in range(2):
                goodbye, _ = hear(wire, "_wire")
                assert {record.ttl for record in goodbye.answers()} == {0}
                assert set(goodbye.answers()) == set(announced.answers())
        return took_s

    assert quickest(stop, 0.3) < 0.3


@pytest.mark.parametrize("kind", ["_echo._sub.", "_time._sub.", ""])
def test_a_peer_is_found_by_type_and_by_each_service(kind: str) -> None:
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
        advertiser.start(PEER)
        answer = ask(f"{kind}{TYPE}", _TYPE_PTR)
    [pointer] = [record for record in answer.answers() if isinstance(record, DNSPointer)]
    assert pointer.alias == f"One {digest('p1')}.{TYPE}"
    assert {_TYPE_SRV, _TYPE_TXT, _TYPE_A} <= {record.type for record in answer.answers()}


def test_a_service_that_is_dropped_gets_a_goodbye(wire: socket.socket) -> None:
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
        advertiser.start(PEER)
        hear(wire, "_wire")
        advertiser.update(replace(PEER, services=("echo",)))
        packet, _ = hear(wire, "_wire")
    lifetimes = {record.name: record.ttl for record in packet.answers() if record.type == _TYPE_PTR}
    assert lifetimes[f"_time._sub.{TYPE}"] == 0
    assert lifetimes[f"_echo._sub.{TYPE}"] > 0


def test_a_peer_on_loopback_is_not_announced_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def acquire(names: object) -> links.Link:
        asked.append(names)
        return links.acquire(LOOPBACK)

    monkeypatch.setattr(module, "acquire", acquire)
    for host in ("127.0.0.1", "0.0.0.0", "10.0.0.1"):
        with MdnsAdvertiser(None, TYPE) as advertiser:
            advertiser.start(replace(PEER, addresses=(Address(host, 1),)))
    assert asked == [("127.0.0.1",), None, None]


def test_a_wildcard_stands_for_what_others_can_dial() -> None:
    lo = Interface("lo", 1, ("127.0.0.1/8",))
    eth = Interface("eth0", 2, ("10.0.0.1/24", "fe80::1/64"))
    usb = Interface("usb0", 3, ("169.254.0.1/16",))
    assert module._own_hosts([lo, eth, usb]) == ["10.0.0.1"]
    assert module._own_hosts([lo, usb]) == ["169.254.0.1"]
    assert module._own_hosts([lo]) == ["127.0.0.1"]


def test_an_ipv6_address_is_advertised_without_its_scope(wire: socket.socket) -> None:
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
        advertiser.start(replace(PEER, addresses=(Address("fe80::1%lo", 5),)))
        packet, _ = hear(wire, "_wire")
    [address] = [record for record in packet.answers() if record.type == _TYPE_AAAA]
    assert getattr(address, "address") == socket.inet_pton(socket.AF_INET6, "fe80::1")  # noqa: B009


def test_an_answer_that_waits_does_not_bring_back_who_has_left() -> None:
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser, MdnsAdvertiser(LOOPBACK, TYPE) as other:
        other.start(replace(PEER, peer_id="p2"))
        advertiser.start(PEER)
        assert advertiser._advert is not None
        queues = advertiser._advert.link.zeroconf.out_queue, advertiser._advert.link.zeroconf.out_delay_queue

        def waiting() -> set[str]:
            records = [record for queue in queues for group in queue.queue for record in group.answers]
            return {record.alias.partition(".")[0] for record in records if isinstance(record, DNSPointer)}

        ask(TYPE, _TYPE_PTR)  # who asks from a port of their own is answered there, and all the others later
        wait_until(lambda: waiting() == {f"One {digest('p1')}", f"One {digest('p2')}"})
        advertiser.stop()
        assert waiting() == {f"One {digest('p2')}"}


def test_a_wildcard_follows_a_change_of_interfaces(wire: socket.socket) -> None:
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
        advertiser.start(replace(PEER, addresses=(Address("0.0.0.0", 5),)))
        hear(wire, "_wire")
        assert advertiser._advert is not None
        link = advertiser._advert.link
        link.interfaces = [Interface("eth0", 2, ("10.0.0.1/24",))]
        for changed in tuple(link.on_interfaces.values()):
            link.loop.call_soon_threadsafe(changed)
        packet, _ = hear(wire, "_wire")
    addresses = {
        getattr(record, "address"): record.ttl  # noqa: B009
        for record in packet.answers()
        if record.type == _TYPE_A
    }
    assert addresses[socket.inet_aton("10.0.0.1")] > 0
    assert addresses[socket.inet_aton("127.0.0.1")] == 0


def test_a_goodbye_is_said_for_a_peer_that_could_not(wire: socket.socket) -> None:
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
        advertiser.start(PEER)
        hear(wire, "One")
        advertiser.bury(replace(PEER, peer_id="p2", name="Two"))
        packet, _ = hear(wire, "Two")
        assert {record.ttl for record in packet.answers()} == {0}
        gone = {record.alias for record in packet.answers() if isinstance(record, DNSPointer)}
        assert len(gone) == 1
        assert gone.pop().startswith("Two")
        assert [record.ttl for record in ask(TYPE, _TYPE_PTR).answers() if isinstance(record, DNSPointer)] != []
