"""Pools of servers and the choice among two."""

from __future__ import annotations

import random
from collections import Counter

from discovery.model import Address
from mesh.core.calls import PendingCall
from mesh.core.peers import MESH, Connection, Server
from mesh.core.routing import NONE, READY, SECOND, Pool, Pools, choose


def server(name: str, latency_s: float = 0.001, in_flight: int = 0) -> Server:
    """Return a server with a connection that holds so many calls."""
    made = Server(name, ("calc",), MESH, 512)
    made.latency_s = latency_s
    made.active = Connection(1, made, Address("10.0.0.1", 1), 0.0, 0.0)
    made.active.inflight = {number: PendingCall("m", b"", 0, 0.0, 0.0) for number in range(in_flight)}
    return made


def test_a_pool_keeps_its_members_through_any_leaving() -> None:
    rng = random.Random(3)
    pool = Pool()
    inside: list[Server] = []
    outside = [server(f"s{number}") for number in range(20)]
    for _ in range(500):
        if outside and (not inside or rng.random() < 0.5):
            inside.append(outside.pop(rng.randrange(len(outside))))
            pool.join(inside[-1])
        else:
            outside.append(inside.pop(rng.randrange(len(inside))))
            pool.leave(outside[-1])
        assert len(pool) == len(inside)
        assert {member.name for member in pool} == {member.name for member in inside}


def test_a_server_is_in_the_pool_of_each_of_its_services_and_in_one_class() -> None:
    pools, one = Pools(), server("one")
    assert pools.place(one, READY, ("calc", "echo"))
    assert not pools.place(one, READY, ("calc", "echo"))
    assert (list(pools.ready), list(pools.second)) == (["calc", "echo"], [])
    assert pools.place(one, SECOND, ("calc", "echo"))
    assert (list(pools.ready), list(pools.second)) == ([], ["calc", "echo"])
    assert pools.place(one, SECOND, ("calc",))
    assert list(pools.second) == ["calc"]
    assert pools.place(one, NONE, ("calc",))
    assert not pools.place(one, NONE, ("other",))
    assert (pools.ready, pools.second, one.pool) == ({}, {}, NONE)


def test_the_only_server_is_chosen() -> None:
    one = server("one")
    assert choose([one], random.Random(1)) is one


def test_of_two_the_cheaper_one_is_always_chosen() -> None:
    rng = random.Random(1)
    idle, busy, slow = server("idle"), server("busy", in_flight=3), server("slow", latency_s=0.1)
    assert all(choose([idle, busy], rng) is idle for _ in range(50))
    assert all(choose([slow, idle], rng) is idle for _ in range(50))
    assert all(choose([slow, busy], rng) is busy for _ in range(50)), "four times 1 ms is less than 100 ms"


def test_two_different_servers_are_compared_and_all_get_a_turn() -> None:
    rng = random.Random(1)
    servers = [server(f"s{number}", in_flight=number) for number in range(5)]
    counts = Counter(choose(servers, rng).name for _ in range(5000))
    assert counts["s4"] == 0, "the worst one loses against every other"
    assert [name for name, _ in counts.most_common()] == ["s0", "s1", "s2", "s3"]
    assert counts["s0"] / 5000 > 0.35


def test_a_server_that_was_slow_once_is_asked_again_and_a_slow_one_hardly_ever() -> None:
    rng = random.Random(1)
    fast, was_slow, is_slow = server("fast"), server("was slow", latency_s=0.1), server("is slow", latency_s=0.1)
    for other, answers_s, least, most in ((was_slow, 0.001, 0.25, 0.6), (is_slow, 0.01, 0.001, 0.03)):
        asked = 0
        for _ in range(5000):
            chosen = choose([fast, other], rng)
            asked += chosen is other
            chosen.took(answers_s if chosen is other else 0.001, now=0.0)
        assert least < asked / 5000 < most


def test_a_server_that_starts_slowly_gets_an_eighth_of_its_share_even_if_nobody_has_anything_to_do() -> None:
    rng = random.Random(1)
    old, new = server("old"), server("new", latency_s=0.0005)
    new.handicap = 8.0
    asked = 0
    for _ in range(4000):
        chosen = choose([old, new], rng)
        asked += chosen is new
        chosen.took(0.0005 if chosen is new else 0.001, now=0.0)
    assert 0.10 < asked / 4000 < 0.15


def test_what_a_server_has_from_others_counts_as_much_as_what_it_has_of_ours() -> None:
    rng = random.Random(1)
    idle, loaded = server("idle"), server("loaded")
    loaded.load = 50
    assert [choose([idle, loaded], rng).name for _ in range(20)] == ["idle"] * 20


def test_a_load_that_was_heard_of_long_ago_fades_while_the_server_is_passed_over() -> None:
    rng = random.Random(1)
    idle, loaded = server("idle"), server("loaded")
    loaded.load = 1000
    assert "loaded" in [choose([idle, loaded], rng).name for _ in range(400)]
