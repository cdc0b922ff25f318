"""What multicast can do on an interface, and who is heard there: on loopback, with real packets."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator

import pytest
from zeroconf._dns import DNSPointer, DNSQuestion
from zeroconf._protocol.outgoing import DNSOutgoing

from discovery import Address, DiscoveryValueError, Interface, MdnsAdvertiser, Peer, choose_interfaces
from discovery.hearing import Hearing, Told
from discovery.mdns import probe as module
from discovery.mdns.probe import probe
from discovery.txt import label_of

pytestmark = pytest.mark.network

TYPE = f"_probed-{os.getpid() % 10**6}._tcp.local."
"""Of this run: loopback is shared by the whole machine."""
PEER = Peer("probed-1", "one", ("work",), (Address("127.0.0.1", 5001),))
LABEL = label_of(PEER.name, PEER.peer_id)


@pytest.fixture
def advertised() -> Iterator[None]:
    """PEER is advertised on loopback."""
    with MdnsAdvertiser(["127.0.0.1"], TYPE) as advertiser:
        advertiser.start(PEER)
        yield


def heard(*labels: str, listen_s: float = 0.3) -> Hearing:
    [hearing] = probe(choose_interfaces(["127.0.0.1"]), labels, TYPE, listen_s)
    return hearing


def test_a_host_hears_its_own_question() -> None:
    hearing = heard()
    assert (hearing.interface, hearing.address) == ("lo", "127.0.0.1")
    assert (hearing.step, hearing.error) == ("", 0)
    assert hearing.hears_itself
    assert hearing.told == ()


@pytest.mark.usefixtures("advertised")
def test_it_is_known_who_advertises_what_and_that_he_answers_both_ways() -> None:
    hearing = heard(listen_s=1.5)  # it was announced just now, and is multicast once a second (RFC 6762 section 6)
    assert hearing.told == (Told("127.0.0.1", LABEL),)
    assert "127.0.0.1" in hearing.by_unicast
    assert "127.0.0.1" in hearing.by_multicast


@pytest.mark.usefixtures("advertised")
def test_it_can_be_asked_who_answers_for_an_instance() -> None:
    answered = heard(LABEL, "gone")
    assert answered.told == (Told("127.0.0.1", LABEL),)
    assert answered.by_unicast == ("127.0.0.1",)
    assert heard("gone").by_unicast == ()


def test_who_remembers_an_instance_is_told_from_who_answers_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    question = DNSOutgoing(0, multicast=True)
    question.add_question(DNSQuestion(TYPE, 12, 1))
    question.add_answer_at_time(DNSPointer(TYPE, 12, 1, 4500, f"old x.{TYPE}"), 0)
    question.add_answer_at_time(DNSPointer(TYPE, 12, 1, 0, f"left x.{TYPE}"), 0)
    question.add_answer_at_time(DNSPointer("_other._tcp.local.", 12, 1, 4500, "b._other._tcp.local."), 0)
    listen = module._listen

    def speak_and_listen(*args: object) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as speaker:
            speaker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            for packet in (b"garbage", *question.packets()):
                speaker.sendto(packet, ("224.0.0.251", 5353))
        listen(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_listen", speak_and_listen)
    assert heard().told == (Told("127.0.0.1", "old x", remembered=True),)


def test_what_cannot_be_done_is_part_of_the_result() -> None:
    [hearing] = probe([Interface("gone0", 77, ("10.77.77.77/24",))], listen_s=0.01)
    assert hearing == Hearing("gone0", "10.77.77.77", "open", errno.EADDRNOTAVAIL)


def test_a_service_type_that_is_none_is_refused() -> None:
    with pytest.raises(DiscoveryValueError, match="is not a service type"):
        probe([], service_type="probed")
