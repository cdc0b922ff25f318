"""Several browsers seen as one."""

from __future__ import annotations

import threading

import pytest

from discovery import (
    Address,
    Change,
    Discovery,
    DiscoveryError,
    MemoryHub,
    OnChange,
    Peer,
    PeerAdded,
    PeerTable,
    StaticBrowser,
    static_peers,
)
from tests.helpers.wait import wait_until

PEER = Peer("p1", "one", ("echo",), (Address("127.0.0.1", 1),))


def names(changes: list[Change]) -> list[tuple[str, str]]:
    return [(type(change).__name__, change.peer.peer_id) for change in changes]


def test_static_peers_and_found_ones_tell_one_story() -> None:
    hub = MemoryHub()
    seen: list[Change] = []
    with Discovery(StaticBrowser(static_peers(["127.0.0.1:1"])), hub.browser()) as discovery:
        discovery.start(seen.append)
        with hub.advertiser() as advertiser:
            advertiser.start(PEER)
            assert [peer.sources for peer in discovery.peers()] == [("memory", "static")]
    static = "static:127.0.0.1:1"
    assert names(seen) == [
        ("PeerAdded", static),
        ("PeerRemoved", static),
        ("PeerAdded", "p1"),
        ("PeerRemoved", "p1"),
        ("PeerAdded", static),
    ]


def test_a_peer_that_two_browsers_see_stays_until_both_lose_it() -> None:
    one, two = MemoryHub(), MemoryHub()
    seen: list[Change] = []
    with Discovery(one.browser(), two.browser()) as discovery:
        discovery.start(seen.append)
        first, second = one.advertiser(), two.advertiser()
        first.start(PEER)
        second.start(PEER)
        first.stop()
        assert names(seen) == [("PeerAdded", "p1")]
        second.stop()
    assert names(seen) == [("PeerAdded", "p1"), ("PeerRemoved", "p1")]


def test_what_is_held_back_comes_out_by_itself() -> None:
    hub = MemoryHub()
    seen: list[Change] = []
    with Discovery(hub.browser(), table=lambda: PeerTable(changes_burst=1, change_interval_s=0.05)) as discovery:
        discovery.start(seen.append)
        advertiser = hub.advertiser()
        advertiser.start(PEER)
        advertiser.stop()
        advertiser.start(PEER)
        assert names(seen) == [("PeerAdded", "p1"), ("PeerRemoved", "p1")]
        wait_until(lambda: len(seen) == 3)
        advertiser.stop()
    assert names(seen[2:]) == [("PeerAdded", "p1")]


def test_stop_ends_the_timer_of_what_is_held_back() -> None:
    hub = MemoryHub()
    with Discovery(hub.browser(), table=lambda: PeerTable(changes_burst=1, change_interval_s=60)) as discovery:
        discovery.start(lambda change: None)
        advertiser = hub.advertiser()
        advertiser.start(PEER)
        advertiser.stop()
        advertiser.start(PEER)
        before = threading.active_count()
    assert threading.active_count() == before - 1


def test_after_a_restart_everybody_is_reported_again() -> None:
    hub = MemoryHub()
    hub.advertiser().start(PEER)
    discovery = Discovery(hub.browser())
    for _ in range(2):
        seen: list[Change] = []
        discovery.start(seen.append)
        discovery.stop()
        assert [type(change) for change in seen] == [PeerAdded]
    discovery.stop()


class Broken(StaticBrowser):
    """A browser that cannot start."""

    def start(self, on_change: OnChange) -> None:
        raise DiscoveryError("eth9", "is down", "bring it up")

    def stop(self) -> None:
        raise AssertionError("was never started")


def test_if_one_cannot_start_the_others_are_stopped() -> None:
    hub = MemoryHub()
    seen: list[Change] = []
    discovery = Discovery(hub.browser(), Broken([]))
    with pytest.raises(DiscoveryError, match="eth9"):
        discovery.start(seen.append)
    hub.advertiser().start(PEER)
    assert seen == []


def test_a_search_is_one_of_every_browser() -> None:
    asked: list[str] = []

    class Asking(StaticBrowser):
        def search(self) -> None:
            asked.append("asked")

    Discovery(Asking([]), StaticBrowser([]), Asking([])).search()
    assert asked == ["asked", "asked"]
