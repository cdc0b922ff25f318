"""The table of peers: merging, absorbing, damping, caps."""

from __future__ import annotations

from dataclasses import replace

import pytest

from discovery import (
    Address,
    DiscoveryValueError,
    Peer,
    PeerAdded,
    PeerRemoved,
    PeerTable,
    PeerUpdated,
    static_peers,
)

A1, A2, A3 = (Address(f"10.0.0.{number}", 1) for number in (1, 2, 3))
PEER = Peer("p1", "one", ("echo",), (A1,), {"proto": "mesh/1"}, ("mdns",))
[STATIC] = static_peers(["10.0.0.1:1?pk=k&service=time"])


def test_a_peer_is_added_updated_and_removed() -> None:
    table = PeerTable()
    assert table.saw("mdns", PEER, 0) == [PeerAdded(PEER)]
    moved = replace(PEER, addresses=(A2,))
    assert table.saw("mdns", moved, 2) == [PeerUpdated(moved)]
    assert table.peers() == [moved]
    assert table.lost("mdns", "p1", 3) == [PeerRemoved(moved)]
    assert table.lost("mdns", "p1", 3) == []
    assert table.lost("mdns", "unknown", 3) == []
    assert table.peers() == []


def test_a_peer_that_is_seen_again_is_passed_on_as_it_was_told() -> None:
    table = PeerTable(changes_burst=1)
    table.saw("mdns", PEER, 0)
    for number in range(5):
        assert table.saw("mdns", PEER, number) == [PeerUpdated(PEER)]
    table.saw("mdns", replace(PEER, weight=1), 5)
    held = replace(PEER, weight=2)
    assert table.saw("mdns", held, 5) == []
    assert table.saw("mdns", held, 5) == [PeerUpdated(replace(PEER, weight=1))]
    assert table.tick(table.deadline() or 0) == [PeerUpdated(held)]


def test_two_sources_make_one_peer() -> None:
    table = PeerTable()
    other = replace(PEER, services=("time",), addresses=(A2, A1), sources=("memory",))
    table.saw("a", PEER, 0)
    both = replace(PEER, services=("echo", "time"), addresses=(A1, A2), sources=("mdns", "memory"))
    assert table.saw("b", other, 0) == [PeerUpdated(both)]
    assert table.lost("a", "p1", 0) == [PeerUpdated(other)]
    assert table.lost("b", "p1", 0) == [PeerRemoved(other)]


def test_the_source_is_shown_if_the_peer_names_none() -> None:
    [change] = PeerTable().saw("here", replace(PEER, sources=()), 0)
    assert change.peer.sources == ("here",)


def test_a_static_peer_joins_the_peer_at_its_address_and_comes_back() -> None:
    table = PeerTable()
    assert table.saw("s", STATIC, 0) == [PeerAdded(STATIC)]
    host = replace(
        PEER,
        services=("echo", "time"),
        properties={"proto": "mesh/1", "pk": "k"},
        sources=("mdns", "static"),
    )
    assert table.saw("m", PEER, 1) == [PeerRemoved(STATIC), PeerAdded(host)]
    assert table.lost("m", "p1", 2) == [PeerRemoved(host), PeerAdded(STATIC)]


def test_a_static_peer_that_comes_later_joins_at_once() -> None:
    table = PeerTable()
    table.saw("m", PEER, 0)
    [change] = table.saw("s", STATIC, 1)
    assert isinstance(change, PeerUpdated)
    assert change.peer.sources == ("mdns", "static")
    assert table.lost("s", STATIC.peer_id, 2) == [PeerUpdated(PEER)]


def test_a_static_peer_follows_its_address_from_one_peer_to_another() -> None:
    table = PeerTable()
    table.saw("s", STATIC, 0)
    table.saw("m", PEER, 0)
    second = replace(PEER, peer_id="p2", addresses=(A3,))
    table.saw("m", second, 0)
    table.saw("m", replace(PEER, addresses=(A2,)), 0)
    assert {peer.peer_id for peer in table.peers()} == {"p1", "p2", STATIC.peer_id}
    table.saw("m", replace(second, addresses=(A3, A1)), 0)
    assert {peer.peer_id: peer.sources for peer in table.peers()} == {
        "p1": ("mdns",),
        "p2": ("mdns", "static"),
    }


def test_of_two_that_claim_an_address_one_has_the_static_peer() -> None:
    table = PeerTable()
    table.saw("m", replace(PEER, peer_id="p2"), 0)
    table.saw("s", STATIC, 0)
    table.saw("m", PEER, 0)
    assert {peer.peer_id: peer.sources for peer in table.peers()} == {
        "p1": ("mdns", "static"),
        "p2": ("mdns",),
    }


def test_what_the_user_wrote_wins() -> None:
    table = PeerTable()
    table.saw("m", replace(PEER, properties={"pk": "of a stranger"}), 0)
    table.saw("s", STATIC, 0)
    assert table.peers()[0].properties["pk"] == "k"


def test_addresses_beyond_the_most_are_cut_and_counted() -> None:
    table = PeerTable(addresses_max=2)
    [change] = table.saw("m", replace(PEER, addresses=(A1, A2, A3)), 0)
    assert change.peer.addresses == (A1, A2)
    assert table.cut == 1


def test_a_flood_of_new_ids_does_not_displace_known_ones() -> None:
    table = PeerTable(peers_max=2)
    for number in range(100):
        table.saw("m", replace(PEER, peer_id=f"flood{number}", addresses=(A2,)), 0)
    assert [peer.peer_id for peer in table.peers()] == ["flood0", "flood1"]
    assert table.refused == 98
    assert table.saw("s", STATIC, 0) == [PeerAdded(STATIC)]


def test_room_that_a_peer_left_is_used_again() -> None:
    table = PeerTable(peers_max=1)
    for number in range(10):
        assert len(table.saw("m", replace(PEER, peer_id=f"p{number}"), 0)) == 1
        assert len(table.lost("m", f"p{number}", 0)) == 1
    assert table.refused == 0


def test_a_peer_that_changes_again_and_again_is_slowed_down_and_ends_in_its_last_state() -> None:
    table = PeerTable(changes_burst=2, change_interval_s=10)
    reported = [table.saw("m", replace(PEER, weight=number), number / 100) for number in range(1, 9)]
    assert [len(changes) for changes in reported] == [1, 1, 1, 0, 0, 0, 0, 0]
    assert table.held == 1
    deadline = table.deadline()
    assert deadline is not None
    assert 9 < deadline < 11
    assert table.tick(deadline - 0.01) == []
    assert table.tick(deadline) == [PeerUpdated(replace(PEER, weight=8))]
    assert table.deadline() is None


def test_what_is_held_back_and_undone_is_never_told() -> None:
    table = PeerTable(changes_burst=1, change_interval_s=10)
    table.saw("m", PEER, 0)
    table.saw("m", replace(PEER, weight=1), 0)
    assert table.lost("m", "p1", 1) == []
    assert table.deadline() is not None
    assert table.saw("m", replace(PEER, weight=1), 2) == []
    assert table.deadline() is None
    assert table.tick(100) == []


def test_flapping_is_remembered_over_an_absence_and_forgiven_with_time() -> None:
    table = PeerTable(changes_burst=3, change_interval_s=1)
    assert table.saw("m", PEER, 0)
    assert table.lost("m", "p1", 0)
    assert table.saw("m", PEER, 0)
    assert table.lost("m", "p1", 0)
    assert table.saw("m", PEER, 0) == []
    assert table.tick(1) == [PeerAdded(PEER)]
    assert table.lost("m", "p1", 100)
    assert table.saw("m", PEER, 100)


def test_one_that_flaps_does_not_slow_others_down() -> None:
    table = PeerTable(changes_burst=1, change_interval_s=10)
    table.saw("m", PEER, 0)
    table.lost("m", "p1", 0)
    assert table.saw("m", PEER, 0) == []
    assert len(table.saw("m", replace(PEER, peer_id="p2"), 0)) == 1


def test_a_burst_that_would_hold_back_forever_is_refused() -> None:
    with pytest.raises(DiscoveryValueError):
        PeerTable(changes_burst=0)
