"""What every browser and advertiser does: one contract for the network in memory and for mDNS on loopback."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest

from discovery import (
    Address,
    Advertiser,
    Browser,
    Change,
    DiscoveryError,
    MdnsAdvertiser,
    MdnsBrowser,
    MemoryHub,
    Peer,
    PeerAdded,
    PeerRemoved,
    PeerUpdated,
)
from tests.helpers.wait import wait_until

pytestmark = pytest.mark.network

PEER = Peer(
    "8f2c51d0a6b7",
    "Ann's server.example",
    ("echo", "time"),
    (Address("127.0.0.1", 5555),),
    {"proto": "mesh/1", "realm": "default", "flag": ""},
    (),
    1,
    2,
)


@dataclass(frozen=True)
class Network:
    """One way of finding peers."""

    source: str
    browser: Callable[[], Browser]
    advertiser: Callable[[], Advertiser]


class Log:
    """What a browser has reported, and whether it kept to the rules while it did."""

    def __init__(self) -> None:
        self.changes: list[Change] = []
        self.peers: dict[str, Peer] = {}
        self._busy = threading.Lock()

    def __call__(self, change: Change) -> None:
        assert self._busy.acquire(blocking=False), "two reports at once"
        try:
            known = change.peer.peer_id in self.peers
            assert known != isinstance(change, PeerAdded), f"out of order: {change}"
            self.changes.append(change)
            if isinstance(change, PeerRemoved):
                del self.peers[change.peer.peer_id]
            else:
                self.peers[change.peer.peer_id] = change.peer
        finally:
            self._busy.release()

    def wait_for(self, *peers: Peer) -> None:
        expected = {peer.peer_id: peer for peer in peers}
        wait_until(lambda: self.peers == expected, what=f"{expected} in {self.changes}")


@pytest.fixture(params=["memory", "mdns"])
def network(request: pytest.FixtureRequest) -> Iterator[Network]:
    """A network with nobody in it."""
    if request.param == "memory":
        hub = MemoryHub()
        yield Network("memory", hub.browser, hub.advertiser)
    else:
        # A service type of its own for each test: the goodbye of one is no business of the next.
        service_type = f"_t{zlib.crc32(request.node.name.encode())}x._tcp.local."
        yield Network(
            "mdns",
            lambda: MdnsBrowser(["127.0.0.1"], service_type),
            lambda: MdnsAdvertiser(["127.0.0.1"], service_type),
        )


@pytest.fixture
def seen(network: Network) -> Peer:
    """PEER as a browser of this network reports it."""
    return replace(PEER, sources=(network.source,))


def test_a_peer_comes_changes_and_goes_whole(network: Network, seen: Peer) -> None:
    log = Log()
    with network.browser() as browser, network.advertiser() as advertiser:
        browser.start(log)
        advertiser.start(PEER)
        log.wait_for(seen)
        changed = {
            "services": ("time",),
            "addresses": (Address("127.0.0.2", 5556),),
            "properties": {"ver": "2"},
        }
        advertiser.update(replace(PEER, **changed))  # type: ignore[arg-type]
        log.wait_for(replace(seen, **changed))  # type: ignore[arg-type]
        advertiser.stop()
        log.wait_for()
    assert isinstance(log.changes[0], PeerAdded)
    assert isinstance(log.changes[-1], PeerRemoved)
    assert {type(change) for change in log.changes[1:-1]} == {PeerUpdated}


def test_a_browser_that_comes_later_sees_who_is_there(network: Network, seen: Peer) -> None:
    log = Log()
    with network.advertiser() as advertiser, network.browser() as browser:
        advertiser.start(PEER)
        browser.start(log)
        log.wait_for(seen)


def test_a_value_that_comes_back_is_seen(network: Network, seen: Peer) -> None:
    log = Log()
    with network.browser() as browser, network.advertiser() as advertiser:
        browser.start(log)
        advertiser.start(PEER)
        log.wait_for(seen)
        advertiser.update(replace(PEER, properties={"draining": "1"}))
        log.wait_for(replace(seen, properties={"draining": "1"}))
        advertiser.update(PEER)
        log.wait_for(seen)


def test_peers_with_one_name_are_told_apart(network: Network, seen: Peer) -> None:
    log = Log()
    other = replace(PEER, peer_id="another", addresses=(Address("127.0.0.1", 5556),))
    with network.browser() as browser, network.advertiser() as first, network.advertiser() as second:
        browser.start(log)
        first.start(PEER)
        second.start(other)
        log.wait_for(seen, replace(other, sources=seen.sources))
        first.stop()
        log.wait_for(replace(other, sources=seen.sources))


def test_a_wildcard_address_becomes_one_that_can_be_dialled(network: Network, seen: Peer) -> None:
    log = Log()
    with network.browser() as browser, network.advertiser() as advertiser:
        browser.start(log)
        advertiser.start(replace(PEER, addresses=(Address("0.0.0.0", 5555),)))
        log.wait_for(seen)


def test_an_advertiser_can_be_started_again(network: Network, seen: Peer) -> None:
    log = Log()
    with network.browser() as browser, network.advertiser() as advertiser:
        browser.start(log)
        for number in range(3):
            peer = replace(PEER, peer_id=f"start{number}")
            advertiser.start(peer)
            log.wait_for(replace(peer, sources=seen.sources))
            advertiser.stop()
            log.wait_for()


def test_a_peer_that_leaves_at_once_is_not_left_over(network: Network) -> None:
    log = Log()
    with network.browser() as browser, network.advertiser() as advertiser:
        browser.start(log)
        advertiser.start(PEER)
        advertiser.stop()
        with network.advertiser() as other:
            other.start(replace(PEER, peer_id="other"))
            wait_until(lambda: "other" in log.peers)
            assert PEER.peer_id not in log.peers


def test_nothing_arrives_after_stop(network: Network) -> None:
    log = Log()
    browser = network.browser()
    browser.start(log)
    browser.stop()
    browser.stop()
    with network.advertiser() as advertiser, network.browser() as other:
        witness = Log()
        other.start(witness)
        advertiser.start(PEER)
        wait_until(lambda: witness.peers)
    assert log.changes == []


def test_stops_without_a_start_do_nothing(network: Network) -> None:
    network.browser().stop()
    network.advertiser().stop()


def test_a_second_start_and_a_strange_update_are_errors(network: Network) -> None:
    with network.advertiser() as advertiser:
        with pytest.raises(DiscoveryError):
            advertiser.update(PEER)
        advertiser.start(PEER)
        with pytest.raises(DiscoveryError):
            advertiser.start(PEER)
        with pytest.raises(DiscoveryError):
            advertiser.update(replace(PEER, peer_id="other"))
    with network.browser() as browser:
        browser.start(lambda change: None)
        with pytest.raises(DiscoveryError):
            browser.start(lambda change: None)
