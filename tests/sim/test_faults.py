"""Durations, and discovery that is less than perfect."""

from __future__ import annotations

import random

import pytest

from discovery.model import Address, Change, Peer, PeerAdded, PeerRemoved, PeerUpdated
from mesh.core.events import ClientEvent
from mesh.sim import Spread, World
from mesh.sim.coverage import Coverage, met

PEERS = [Peer(f"p{number}", f"p{number}", ("sim",), (Address("10.9.9.9", 1),), {}, ("memory",)) for number in range(8)]


@pytest.mark.parametrize("spread", [Spread(0.5), Spread(0.5, 0.1), Spread(0.5, 0.01, 3.0)])
def test_durations_have_the_mean_that_is_said_of_them(spread: Spread) -> None:
    rng = random.Random(1)
    drawn = [spread.draw(rng) for _ in range(20_000)]
    assert min(drawn) >= spread.least_s
    assert sum(drawn) / len(drawn) == pytest.approx(spread.mean_s, rel=0.01)


def test_heavy_tail_is_long_and_has_an_end() -> None:
    rng = random.Random(1)
    drawn = sorted(Spread(0.0, 0.001, 1.5).draw(rng) for _ in range(20_000))
    assert drawn[10_000] < 0.001 < 0.015 < drawn[19_800], "the hundredth is more than fifteen times the median"
    assert drawn[-1] <= 1.0


def told(world: World) -> list[tuple[type[Change], str]]:
    """Have a client write down what discovery tells it, and return where."""
    heard: list[tuple[type[Change], str]] = []

    def hear(event: ClientEvent) -> None:
        if isinstance(event, PeerAdded | PeerUpdated | PeerRemoved):
            heard.append((type(event), event.peer.peer_id))

    world.clients["c1"].turn = hear  # type: ignore[method-assign]
    return heard


def test_news_of_one_peer_keep_their_order_and_overtake_those_of_others() -> None:
    world = World(1)
    heard = told(world)
    for peer in PEERS:
        world.hub.announce(peer)
        world.hub.withdraw(peer.peer_id)
    world.advance(1.0)
    for peer in PEERS:
        of_it = [change for change, peer_id in heard if peer_id == peer.peer_id]
        assert of_it == [PeerAdded, PeerRemoved]
    assert [peer_id for change, peer_id in heard if change is PeerAdded] != [peer.peer_id for peer in PEERS]


def test_news_may_come_twice() -> None:
    world = World(1)
    world.hub.repeat = 1.0
    heard = told(world)
    world.hub.announce(PEERS[0])
    world.advance(1.0)
    assert heard == [(PeerAdded, "p0")] * 2


def test_client_that_was_started_again_is_told_who_is_here_and_nothing_from_before() -> None:
    world = World(1)
    world.hub.announce(PEERS[0])
    world.kill("c1")
    world.hub.announce(PEERS[1])
    world.restart("c1")
    heard = told(world)
    world.advance(1.0)
    assert sorted(heard, key=lambda news: news[1]) == [(PeerAdded, "p0"), (PeerAdded, "p1")]


def test_discovery_can_lose_everybody_and_find_them_again() -> None:
    world = World(1, servers=2)
    world.advance(0.1)
    heard = told(world)
    world.hub.lose_all(world.clients["c1"])
    world.advance(0.1)
    assert sorted(change.__name__ for change, _ in heard) == ["PeerAdded", "PeerAdded", "PeerRemoved", "PeerRemoved"]


def test_truth_is_told_only_where_something_else_was() -> None:
    world = World(1, servers=2)
    world.hub.announce(PEERS[0])
    world.advance(0.1)
    heard = told(world)
    world.make_whole()
    world.advance(0.1)
    assert heard == [(PeerRemoved, "p0")]


def test_coverage_counts_what_happened_and_in_how_many_worlds() -> None:
    coverage, all_of_them = Coverage(), Coverage()
    for calls in (3, 0):
        world = World(1, servers=1)
        world.advance(0.1)
        for _ in range(calls):
            world.call("c1")
        world.advance(0.1)
        coverage.add(met(world))
    all_of_them.merge(coverage)
    rows = {name: (total, worlds) for name, total, worlds in all_of_them.rows()}
    assert all_of_them.worlds == 2
    assert rows["call ended: ok"] == (3, 1)
    assert rows["milliseconds"][1] == 2
