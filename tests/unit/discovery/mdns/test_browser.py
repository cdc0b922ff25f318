"""What a browser makes of what it hears: missing records, strangers' records, garbage, and how fast it is."""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from zeroconf import ServiceInfo
from zeroconf._dns import DNSAddress, DNSPointer, DNSRecord, DNSService, DNSText
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.const import (
    _CLASS_IN,
    _CLASS_UNIQUE,
    _FLAGS_AA,
    _FLAGS_QR_RESPONSE,
    _TYPE_A,
    _TYPE_PTR,
    _TYPE_SRV,
    _TYPE_TXT,
)

from discovery import (
    Address,
    Change,
    MdnsAdvertiser,
    MdnsBrowser,
    Peer,
    PeerAdded,
    PeerRemoved,
    PeerUpdated,
)
from discovery.mdns import browser as module
from discovery.mdns.oneshot import OneShot
from discovery.mdns.sieve import Source
from tests.helpers.wait import PATIENCE_S, quickest, wait_until

pytestmark = pytest.mark.network
LOOPBACK = ["127.0.0.1"]
TYPE = "_heard._tcp.local."

Say = Callable[..., None]


@pytest.fixture
def raw() -> Iterator[Callable[[bytes], None]]:
    """Send a datagram to the multicast group on loopback."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as saying:
        saying.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        saying.bind(("127.0.0.1", 0))

        def send(data: bytes) -> None:
            saying.sendto(data, ("224.0.0.251", 5353))

        yield send


@pytest.fixture
def say(raw: Callable[[bytes], None]) -> Say:
    """Send records as a responder of our own making would."""

    def send(*records: DNSRecord) -> None:
        out = DNSOutgoing(_FLAGS_QR_RESPONSE | _FLAGS_AA)
        for record in records:
            out.add_answer_at_time(record, 0)
        for packet in out.packets():
            raw(packet)

    return send


def ptr(name: str, ttl: int = 4500) -> DNSPointer:
    return DNSPointer(TYPE, _TYPE_PTR, _CLASS_IN, ttl, f"{name}.{TYPE}")


def srv(name: str, port: int = 5, host: str = "h.local.") -> DNSService:
    return DNSService(f"{name}.{TYPE}", _TYPE_SRV, _CLASS_IN | _CLASS_UNIQUE, 120, 0, 0, port, host)


def txt(name: str, record: bytes = b"\x00") -> DNSText:
    return DNSText(f"{name}.{TYPE}", _TYPE_TXT, _CLASS_IN | _CLASS_UNIQUE, 4500, record)


def a(last: int = 1, host: str = "h.local.", ttl: int = 120) -> DNSAddress:
    address = bytes([127, 0, 0, last])
    return DNSAddress(host, _TYPE_A, _CLASS_IN | _CLASS_UNIQUE, ttl, address)


@pytest.fixture
def seen() -> list[Change]:
    """What the browser reported."""
    return []


@pytest.fixture
def browser(seen: list[Change]) -> Iterator[MdnsBrowser]:
    """A browser that is running."""
    with MdnsBrowser(LOOPBACK, TYPE, peers_max=20) as browser:
        browser.start(seen.append)
        yield browser


def test_records_may_come_in_any_number_of_packets(browser: MdnsBrowser, seen: list[Change], say: Say) -> None:
    for record in (ptr("one"), txt("one"), a(), srv("one")):
        say(record)
    wait_until(lambda: seen)
    assert seen[0] == PeerAdded(Peer("one", "one", addresses=(Address("127.0.0.1", 5),), sources=("mdns",)))
    assert len(seen) == 1


def test_a_peer_that_is_heard_of_again_is_reported_again_but_not_all_the_time(
    browser: MdnsBrowser, seen: list[Change], say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_AGAIN_S", 0.3)
    say(ptr("one"), srv("one"), txt("one"), a())
    wait_until(lambda: seen)
    for number in range(20):  # others in between: python-zeroconf drops a packet that it has just had
        say(ptr("one"), srv("one"), ptr(f"other{number % 3}"))
    say(ptr("two"), srv("two", 6), txt("two"))
    wait_until(lambda: seen[-1].peer.name == "two")
    assert len(seen) == 2

    def again() -> bool:
        say(ptr("one"), txt("one"), ptr(f"other{random.random()}"))
        return len(seen) > 2

    wait_until(again)
    assert seen[2] == PeerUpdated(seen[0].peer)


def test_it_asks_again_when_a_link_is_back(
    browser: MdnsBrowser, seen: list[Change], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    class Querier:
        def __init__(self, *args: object, **settings: object) -> None:
            asked.append("and again")

        async def async_cancel(self) -> None:
            pass

    async def ask(self: OneShot, interfaces: object) -> None:
        asked.append("at once")

    monkeypatch.setattr(module, "AsyncServiceBrowser", Querier)
    monkeypatch.setattr(OneShot, "ask", ask)
    session = browser._session
    assert session is not None
    session.link.loop.call_soon_threadsafe(session.link._tell)
    wait_until(lambda: sorted(asked) == ["and again", "at once"])
    browser.search()
    wait_until(lambda: asked.count("at once") == 2)
    browser.stop()
    browser.search()
    session.search()
    assert asked.count("at once") == 2


def test_after_goodbyes_it_is_asked_once_whether_they_were_true(
    browser: MdnsBrowser, seen: list[Change], say: Say, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("p", "q"):
        say(ptr(name), srv(name), txt(name), a())
    wait_until(lambda: len(seen) == 2)
    asked: list[float] = []

    async def ask(self: OneShot, interfaces: object) -> None:
        asked.append(time.monotonic())

    monkeypatch.setattr(OneShot, "ask", ask)
    monkeypatch.setattr(module, "_RESCUE_S", 0.2)
    say(ptr("p", ttl=0), ptr("q", ttl=0))
    wait_until(lambda: [type(change) for change in seen[2:]] == [PeerRemoved, PeerRemoved])
    wait_until(lambda: asked)
    session = browser._session
    assert session is not None
    assert session._rescue is not None
    wait_until(session._rescue.done)
    assert len(asked) == 1


def test_while_answers_are_shut_out_it_is_asked_again_and_again(
    browser: MdnsBrowser, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[float] = []

    async def ask(self: OneShot, interfaces: object) -> None:
        asked.append(time.monotonic())

    monkeypatch.setattr(OneShot, "ask", ask)
    monkeypatch.setattr(module, "_RESCUE_S", 0.01)
    monkeypatch.setattr(module, "_MISSING_S", 0.02)
    session = browser._session
    assert session is not None
    link, flooder = session.link, Source("10.0.0.66", True)
    link.gate._shut_out[flooder] = None
    link.loop.call_soon_threadsafe(link._tell_of_loss, Source("10.0.0.66", False))
    link.loop.call_soon_threadsafe(link._tell_of_loss, flooder)
    link.loop.call_soon_threadsafe(link._tell_of_loss, Source("10.0.0.67", True))
    wait_until(lambda: len(asked) >= 4)
    del link.gate._shut_out[flooder]
    assert session._rescue is not None
    wait_until(session._rescue.done)
    assert len(session._tasks) <= 1, "one asks for all"
    browser.stop()
    assert not link.on_loss


def test_what_is_missing_is_asked_for(browser: MdnsBrowser, seen: list[Change], say: Say) -> None:
    with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
        # Somebody who answers questions but was not heard: only the pointer of the announcement arrives.
        say(ptr("quiet"))
        advertiser.start(Peer("p", "other", addresses=(Address("127.0.0.1", 1),)))
        wait_until(lambda: seen)
        assert advertiser._advert is not None
        link = advertiser._advert.link
        info = ServiceInfo(TYPE, f"quiet.{TYPE}", 7, 0, 0, b"\x04id=q", "q.local.", parsed_addresses=["127.0.0.1"])
        link.loop.call_soon_threadsafe(link.zeroconf.registry.async_add, info)
        wait_until(lambda: any(change.peer.peer_id == "q" for change in seen))
        link.loop.call_soon_threadsafe(link.zeroconf.registry.async_remove, [info])


def test_of_a_flood_without_details_only_a_few_are_asked_for_at_once(
    browser: MdnsBrowser, seen: list[Change], say: Say
) -> None:
    for number in range(100):
        say(ptr(f"flood{number}"))
    wait_until(lambda: browser.counters.refused == 80)
    session = browser._session
    assert session is not None
    wait_until(lambda: session._slots.locked())
    assert len(session._tasks) <= 22  # one for each of the twenty that are kept, one question, one spare
    assert seen == []


def test_known_peers_outlive_a_flood(browser: MdnsBrowser, seen: list[Change], say: Say) -> None:
    say(ptr("one"), srv("one"), txt("one"), a())
    wait_until(lambda: seen)
    for number in range(1000):
        name = f"flood{number}"
        say(ptr(name), srv(name, host=f"{name}.local."), txt(name), a(host=f"{name}.local."))
    wait_until(lambda: browser.counters.refused > 0)
    assert sum(isinstance(change, PeerRemoved) for change in seen) == 0
    assert len({change.peer.peer_id for change in seen}) <= 20


def test_the_first_to_have_an_id_keeps_it_and_the_next_one_inherits_it(
    browser: MdnsBrowser, seen: list[Change], say: Say
) -> None:
    say(ptr("one"), srv("one"), txt("one", b"\x04id=x"), a())
    wait_until(lambda: len(seen) == 1)
    say(ptr("two"), srv("two", 6), txt("two", b"\x04id=x"))
    wait_until(lambda: browser.counters.duplicates == 1)
    say(ptr("one", 0))
    wait_until(lambda: len(seen) == 2)
    assert seen[1] == PeerUpdated(Peer("x", "two", addresses=(Address("127.0.0.1", 6),), sources=("mdns",)))
    say(ptr("two", 0))
    wait_until(lambda: len(seen) == 3)
    assert isinstance(seen[2], PeerRemoved)


def test_an_instance_that_changes_its_id_is_another_peer(browser: MdnsBrowser, seen: list[Change], say: Say) -> None:
    say(ptr("one"), srv("one"), txt("one", b"\x04id=x"), a())
    wait_until(lambda: len(seen) == 1)
    say(txt("one", b"\x04id=y"))
    wait_until(lambda: len(seen) == 3)
    assert [(type(change), change.peer.peer_id) for change in seen[1:]] == [(PeerRemoved, "x"), (PeerAdded, "y")]


def test_new_addresses_of_a_host_reach_its_peers(browser: MdnsBrowser, seen: list[Change], say: Say) -> None:
    say(ptr("one"), srv("one"), txt("one"), a())
    wait_until(lambda: len(seen) == 1)
    say(a(2), a(1, ttl=0))
    wait_until(lambda: len(seen) == 2)
    assert seen[1].peer.addresses == (Address("127.0.0.2", 5),)


def test_other_types_are_none_of_our_business(browser: MdnsBrowser, seen: list[Change], say: Say) -> None:
    say(DNSPointer("_else._tcp.local.", _TYPE_PTR, _CLASS_IN, 4500, "x._else._tcp.local."))
    say(DNSPointer(TYPE, _TYPE_PTR, _CLASS_IN, 4500, "x._else._tcp.local."))
    wait_until(lambda: browser.counters.faults == 1)
    assert seen == []


def test_an_on_change_that_raises_stops_nobody(say: Say, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Change] = []

    def on_change(change: Change) -> None:
        seen.append(change)
        raise ZeroDivisionError

    with MdnsBrowser(LOOPBACK, TYPE) as browser:
        browser.start(on_change)
        say(ptr("one"), srv("one"), txt("one"), a())
        wait_until(lambda: len(seen) == 1)
        say(ptr("two"), srv("two"), txt("two"), a())
        wait_until(lambda: len(seen) == 2)
    assert "on_change raised" in caplog.text


def oversized() -> list[bytes]:
    """A TXT record of two thousand octets, complete with the other records."""
    out = DNSOutgoing(_FLAGS_QR_RESPONSE | _FLAGS_AA)
    record = b"\x04id=L" + b"".join(bytes([101]) + b"k%02d=" % number + b"\xff" * 97 for number in range(20))
    for answer in (ptr("long"), srv("long"), txt("long", record), a()):
        out.add_answer_at_time(answer, 0)
    return out.packets()


def test_a_long_record_is_cut_and_its_peer_is_seen(
    browser: MdnsBrowser, seen: list[Change], raw: Callable[[bytes], None]
) -> None:
    for packet in oversized():
        raw(packet)
    wait_until(lambda: seen)
    assert seen[0].peer.peer_id == "L"
    assert browser.counters.faults > 0


def test_garbage_is_survived_in_silence(
    raw: Callable[[bytes], None], capfd: pytest.CaptureFixture[str], browser: MdnsBrowser
) -> None:
    seen: list[Change] = []
    with MdnsBrowser(LOOPBACK, TYPE) as roomy:  # some of the garbage can be taken for peers
        roomy.start(seen.append)
        _throw_garbage(raw)
        with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
            advertiser.start(Peer("sane", "one", addresses=(Address("127.0.0.1", 1),)))
            wait_until(lambda: any(change.peer.peer_id == "sane" for change in seen))
        wait_until(lambda: any(isinstance(c, PeerRemoved) and c.peer.peer_id == "sane" for c in seen))
    assert browser._session is not None
    assert browser._session.link.errors == 0
    assert capfd.readouterr().err == ""


def _throw_garbage(raw: Callable[[bytes], None]) -> None:
    rng = random.Random(1)
    packets = oversized()
    for _ in range(120):  # of more answers in a row the gate lets none in
        damaged = bytearray(rng.choice(packets))
        for _ in range(rng.randint(1, 20)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        raw(bytes(damaged[: rng.randint(0, len(damaged))]))
        raw(b"\x00\x00\x84\x00" + rng.randbytes(rng.randint(0, 400)))
        raw(rng.randbytes(rng.randint(0, 1400)))
    raw(b"\x00\x00\x84\x00\x00\x00\xff\xff\x00\x00\x00\x00" + b"\xc0\x0c" * 600)


def test_two_hundred_peers_at_once_are_seen_before_one_would_have_probed() -> None:
    def see_all() -> float:
        seen_at: dict[str, float] = {}
        advertisers = [MdnsAdvertiser(LOOPBACK, TYPE) for _ in range(200)]
        with MdnsBrowser(["lo"], TYPE) as browser:  # by name: a link of its own, so that packets go over the wire
            browser.start(lambda change: seen_at.update({change.peer.peer_id: time.monotonic()}))
            with MdnsAdvertiser(LOOPBACK, "_warm._tcp.local.") as warm:
                warm.start(Peer("warm", "warm", addresses=(Address("127.0.0.1", 1),)))
                started_at = time.monotonic()
                for number, advertiser in enumerate(advertisers):
                    advertiser.start(Peer(f"{number:032}", "server", ("echo",), (Address("127.0.0.1", 1),)))
                wait_until(lambda: len(seen_at) == 200)
                for advertiser in advertisers:
                    advertiser.stop()
        return max(seen_at.values()) - started_at

    # 0.1 s on two idle cores. Probing alone takes 0.75 s (RFC 6762 section 8.1).
    assert quickest(see_all, 0.7) < 0.7


def test_who_is_there_already_is_seen_before_a_multicast_answer_could_come() -> None:
    def see() -> float:
        first: list[float] = []
        heard: list[Change] = []
        with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser, MdnsBrowser(LOOPBACK, TYPE) as witness:
            witness.start(heard.append)
            advertiser.start(Peer("p", "one", addresses=(Address("127.0.0.1", 1),)))
            wait_until(lambda: heard)
            # It was announced just now, so a multicast answer would wait for a second (RFC 6762 section 6).
            with MdnsBrowser(["lo"], TYPE) as browser:
                started_at = time.monotonic()
                browser.start(lambda change: first.append(time.monotonic()))
                wait_until(lambda: first)
        return first[0] - started_at

    assert quickest(see, 0.5) < 0.5


@pytest.mark.parametrize("kind", ["browser", "advertiser"])
def test_start_waits_for_nobody(kind: str) -> None:
    def start() -> float:
        with MdnsAdvertiser(LOOPBACK, TYPE) as advertiser, MdnsBrowser(LOOPBACK, TYPE) as browser:
            started_at = time.monotonic()
            if kind == "browser":
                browser.start(lambda change: None)
            else:
                advertiser.start(Peer("p", "one", addresses=(Address("127.0.0.1", 1),)))
            return time.monotonic() - started_at

    assert quickest(start, 0.25) < 0.25


def test_a_forked_child_opens_a_link_of_its_own() -> None:
    with MdnsBrowser(LOOPBACK, TYPE) as browser:
        browser.start(lambda change: None)
        child = os.fork()
        if child == 0:
            seen: list[Change] = []
            with MdnsBrowser(LOOPBACK, TYPE) as own, MdnsAdvertiser(LOOPBACK, TYPE) as advertiser:
                own.start(seen.append)
                advertiser.start(Peer("child", "one", addresses=(Address("127.0.0.1", 1),)))
                give_up_at = time.monotonic() + PATIENCE_S
                while not seen and time.monotonic() < give_up_at:
                    time.sleep(0.005)
            os._exit(0 if seen else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_the_pause_between_questions_grows(monkeypatch: pytest.MonkeyPatch, browser: MdnsBrowser, say: Say) -> None:
    monkeypatch.setattr(module, "_ANSWER_MS", 1)
    monkeypatch.setattr(module, "_PAUSE_S", (0.001, 0.004))
    monkeypatch.setattr(module, "_GRACE_S", 0.0)
    say(ptr("nobody"))
    wait_until(lambda: browser.counters.unanswered >= 3)
    say(ptr("nobody", 0))
    session = browser._session
    assert session is not None
    wait_until(lambda: not session._instances)
    asked = browser.counters.unanswered
    wait_until(lambda: len(session._tasks) <= 1)
    assert browser.counters.unanswered <= asked + 1
