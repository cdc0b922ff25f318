"""The network in memory beyond the contract: it is as strict as mDNS."""

from __future__ import annotations

import pytest

from discovery import Address, Change, DiscoveryError, MemoryHub, Peer

PEER = Peer("p1", "one", ("echo",), (Address("127.0.0.1", 1),))


def test_a_peer_arrives_before_the_call_returns() -> None:
    hub = MemoryHub()
    seen: list[Change] = []
    with hub.browser() as browser, hub.advertiser() as advertiser:
        browser.start(seen.append)
        advertiser.start(PEER)
        assert [change.peer.peer_id for change in seen] == ["p1"]


@pytest.mark.parametrize(
    "peer",
    [
        Peer("p1", "one"),
        Peer("p1", "one", addresses=(Address("a.lan", 1),)),
        Peer("p1", "one", addresses=PEER.addresses, properties={"muchtoolong": ""}),
    ],
)
def test_what_mdns_cannot_say_is_refused_here_too(peer: Peer) -> None:
    with pytest.raises(DiscoveryError):
        MemoryHub().advertiser().start(peer)


def test_two_browsers_stop_independently() -> None:
    hub = MemoryHub()
    first: list[Change] = []
    second: list[Change] = []
    one, two = hub.browser(), hub.browser()
    one.start(first.append)
    two.start(second.append)
    one.stop()
    hub.advertiser().start(PEER)
    assert (len(first), len(second)) == (0, 1)
