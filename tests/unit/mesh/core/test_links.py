"""Connections: dialling, proving, identity, pings, and what becomes of a server that falls silent or vanishes."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from discovery.model import Address, PeerAdded, PeerRemoved, PeerUpdated
from mesh.config import ClientConfig
from mesh.core.actions import Connect, Disconnect, Search, Send
from mesh.core.events import LinkDown, LinkReached, LinkUp, Received
from mesh.core.wire import Call, Hello, Ping, Pong, Record, encode
from tests.unit.mesh.core.harness import Client, assert_quiet, match, peer

FAST = ClientConfig(ping_interval_s=1.0, ping_timeout_s=0.1, misses_max=3, dial_timeout_s=1.0)


def conn_of(client: Client, address: str) -> int:
    """Return the connection that is open to an address."""
    [conn_id] = [conn_id for conn_id, other in client.conns.items() if other == address]
    return conn_id


def prove(
    client: Client, conn_id: int, identity: str = "a", *, boot: int = 7, services: tuple[str, ...] = ("calc",)
) -> None:
    """Let a connection answer its first PING."""
    hello = Hello(identity, identity, "default", list(services), [])
    [ping] = [ping for sent_to, ping in client.sent(Ping) if sent_to == conn_id and ping.hello]
    tell(client, conn_id, hello, Pong(ping.nonce, boot, 0, window=512))


def tell(client: Client, conn_id: int, *records: Record) -> None:
    client.feed(Received(conn_id, encode(records, client.config.limits)[0]))


# -- dialling


def test_all_addresses_of_a_discovered_server_are_dialled_in_parallel(client: Client) -> None:
    actions = client.feed(PeerAdded(peer("a", "10.0.0.1:1", "[fe80::1%eth0]:1", "host:1")))
    assert actions == [
        match(Connect, address=Address("10.0.0.1", 1), proto="mesh/1"),
        match(Connect, address=Address("fe80::1%eth0", 1), proto="mesh/1"),
        match(Connect, address=Address("host", 1), proto="mesh/1"),
    ]
    assert len({action.conn_id for action in client.took(Connect)}) == 3


def test_no_more_than_addresses_max_are_dialled() -> None:
    client = Client(ClientConfig(addresses_max=2))
    client.feed(PeerAdded(peer("a", *[f"10.0.0.{number}:1" for number in range(1, 9)])))
    assert list(client.conns.values()) == ["10.0.0.1:1", "10.0.0.2:1"]


def test_a_record_alone_never_gets_a_call(client: Client) -> None:
    client.feed(PeerAdded(peer("a", "10.0.0.1:1")))
    call = client.call()
    client.feed(LinkUp(conn_of(client, "10.0.0.1:1")))
    assert client.took(Send) == [match(Send, records=[match(Ping)])]
    prove(client, conn_of(client, "10.0.0.1:1"))
    assert match(Send, records=[match(Call, call_id=call.call_id)]) in client.actions


def test_an_established_link_is_asked_for_a_pong_and_a_hello(client: Client) -> None:
    client.feed(PeerAdded(peer("a", "10.0.0.1:1")))
    conn_id = conn_of(client, "10.0.0.1:1")
    assert client.feed(LinkUp(conn_id)) == [Send(conn_id, [match(Ping, hello=True)])]
    assert client.feed(LinkUp(conn_id)) == []


def test_the_first_pong_wins_and_the_others_are_taken_down(client: Client) -> None:
    client.feed(PeerAdded(peer("a", "10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1")))
    first, second, third = client.conns
    for conn_id in (first, second, third):
        client.feed(LinkUp(conn_id))
    client.call()
    prove(client, second)
    assert set(client.took(Disconnect)) == {Disconnect(first), Disconnect(third)}
    assert client.took(Send)[-1] == match(Send, conn_id=second, records=[match(Call)])
    assert client.state("a") == "alive"


def test_what_comes_on_a_connection_that_lost_the_race_is_stray(client: Client) -> None:
    client.feed(PeerAdded(peer("a", "10.0.0.1:1", "10.0.0.2:1")))
    first, second = client.conns
    client.feed(LinkUp(first))
    client.feed(LinkUp(second))
    prove(client, first)
    tell(client, second, Pong(1, 7, 0))
    assert client.core.counters().stray == 1


def test_a_message_may_come_before_the_news_of_the_link(client: Client) -> None:
    client.feed(PeerAdded(peer("a", "10.0.0.1:1")))
    [conn_id] = client.conns
    tell(client, conn_id, Pong(0, 7, 0))
    client.feed(LinkUp(conn_id))
    assert client.state("a") == "alive"


@pytest.mark.parametrize("up", [False, True], ids=["no connection", "connected, but no PONG"])
def test_a_dial_that_comes_to_nothing_is_given_up_and_tried_again(up: bool) -> None:
    client = Client(FAST)
    client.feed(PeerAdded(peer("a", "10.0.0.1:1")))
    [first] = client.conns
    if up:
        client.feed(LinkUp(first))
    client.advance(FAST.dial_timeout_s - 0.001)
    assert client.took(Disconnect) == []
    client.advance(0.002)
    assert client.took(Disconnect) == [Disconnect(first)]
    [view] = client.core.views(client.now)
    if up:
        assert view.state == "waiting"
        client.advance(FAST.dial_backoff_min_s)
    assert view.note == ("connected, but no PONG within 1 s" if up else "no connection within 1 s")
    assert len(client.took(Connect)) == 2
    assert client.took(Connect)[1].conn_id != first


def test_pauses_between_dials_grow_up_to_their_maximum() -> None:
    client = Client(ClientConfig(dial_backoff_min_s=0.1, dial_backoff_max_s=1.0))
    far = client.far("a")
    far.refusing = True
    times: list[float] = []
    client.feed(PeerAdded(far.peer))
    while len(times) < 12:
        count = len(client.took(Connect))
        client.advance(0.01)
        times += [client.now] * (len(client.took(Connect)) - count)
    pauses = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(0.49 <= pause <= 1.02 for pause in pauses[6:])
    assert pauses[0] < pauses[2] < pauses[4]


def test_a_fresh_record_of_an_unreachable_server_ends_the_pause(client: Client) -> None:
    far = client.far("a")
    far.refusing = True
    client.feed(PeerAdded(far.peer))
    client.advance(30.0)
    far.refusing = False
    client.feed(PeerUpdated(far.peer))
    assert client.state("a") == "alive"


def test_strangers_that_never_answer_share_the_dials_however_many_they_are_and_however_often_they_are_advertised(
    client: Client,
) -> None:
    strangers = [client.far(f"rogue-{number}", f"10.1.0.1:{number + 1}") for number in range(150)]
    for far in strangers:
        far.refusing = True
        client.feed(PeerAdded(far.peer))
    client.advance(10.0)
    before = len(client.took(Connect))
    for _ in range(5):
        for far in strangers:
            client.feed(PeerUpdated(far.peer))
        client.advance(1.0)
    assert 100 < len(client.took(Connect)) - before < 300
    newcomer = client.join("newcomer")  # is dialled at once
    newcomer.kill()
    newcomer.refusing = False
    client.advance(2.0)  # and not like a stranger when it is lost
    assert client.state("newcomer") == "alive"


def test_strangers_are_dialled_soon_when_one_of_them_answers_for_then_they_are_no_flood(client: Client) -> None:
    strangers = [client.far(f"far-{number}", f"10.1.0.1:{number + 1}") for number in range(200)]
    for far in strangers:
        far.frozen = True
        client.feed(PeerAdded(far.peer))
    client.advance(6.0)
    for far in strangers:
        far.thaw()  # the network that was cut is whole
    client.advance(2.0)
    assert [view.state for view in client.core.views(client.now)] == ["alive"] * 200


def test_a_dial_into_the_void_is_the_pause_before_the_next_one() -> None:
    client = Client(ClientConfig(dial_timeout_s=1.0, dial_backoff_max_s=1.0))
    client.feed(PeerAdded(peer("a", "10.0.0.1:1")))
    client.advance(60.0)
    assert 59 <= len(client.took(Connect)) <= 61


def test_word_of_a_server_ends_a_dial_that_was_perhaps_lost(client: Client) -> None:
    client.feed(PeerAdded(peer("a", "10.0.0.1:1")))
    [first] = client.conns
    client.feed(PeerUpdated(peer("a", "10.0.0.1:1")))
    client.advance(0.2)
    client.feed(PeerUpdated(peer("a", "10.0.0.1:1")))
    assert client.took(Disconnect) == []  # it may still arrive
    client.advance(0.1)
    client.feed(PeerUpdated(peer("a", "10.0.0.1:1")))
    assert client.took(Disconnect) == [Disconnect(first)]
    assert len(client.took(Connect)) == 2


def test_word_of_a_server_does_not_end_a_dial_that_has_arrived(client: Client) -> None:
    client.feed(PeerAdded(peer("a", "10.0.0.1:1")))
    [first] = client.conns
    client.feed(LinkUp(first))
    client.advance(0.5)
    client.feed(PeerUpdated(peer("a", "10.0.0.1:1")))
    assert client.took(Disconnect) == []


def test_a_lost_link_is_dialled_again_under_a_new_id(client: Client) -> None:
    far = client.join("a")
    first = far.conn_id
    far.down()
    client.advance(0.1)
    assert client.state("a") == "alive"
    assert far.conn_id > first


def cut_off(client: Client, *names: str, rtt_s: float = 0.001) -> None:
    """Have servers be met, and then be lost in a network that lets nothing through any more."""
    fars = [client.join(name) for name in names]
    for far in fars:
        far.rtt_s = rtt_s
    client.advance(3.0)
    for far in fars:
        far.frozen = True
        far.down("disconnected")
    client.actions.clear()


def test_a_server_that_is_known_is_dialled_again_before_the_kernel_would(client: Client) -> None:
    cut_off(client, "a")
    client.advance(5.0)
    assert 18 <= len(client.took(Connect)) <= 22, "four times a second"
    assert len(client.conns) == 1
    [view] = client.core.views(client.now)
    assert view.note == "no connection within 1 s"


def test_whoever_takes_the_connection_of_a_dial_gets_the_whole_time_for_its_handshake(client: Client) -> None:
    cut_off(client, "a")
    client.advance(0.06)  # the first pause
    [conn_id] = client.conns
    client.advance(0.1)
    client.feed(LinkReached(conn_id))
    client.advance(0.9)
    assert list(client.conns) == [conn_id]
    client.feed(LinkUp(conn_id))
    assert client.took(Send)[-1] == Send(conn_id, [match(Ping, hello=True)])


def test_a_refusal_after_silence_may_be_the_kernel_that_found_no_host_and_is_believed_the_second_time(
    client: Client,
) -> None:
    cut_off(client, "a")
    client.advance(0.8)
    [conn_id] = client.conns
    client.feed(LinkDown(conn_id, "connection refused"))
    [conn_id] = client.conns
    client.feed(LinkDown(conn_id, "connection refused"))
    assert not client.conns
    [view] = client.core.views(client.now)
    assert view.note == "connection refused"


def test_a_server_is_not_dialled_again_before_its_answer_could_be_there(client: Client) -> None:
    cut_off(client, "a", rtt_s=0.3)
    client.advance(5.0)
    assert len(client.took(Connect)) <= 8


def test_many_servers_that_are_cut_off_are_not_dialled_at_every_moment(client: Client) -> None:
    cut_off(client, *[f"server{number}" for number in range(100)])
    client.advance(2.0)
    client.actions.clear()
    client.advance(4.0)
    assert len(client.took(Connect)) <= 4 * (100 + 50) + 50, "each once a second, and fifty more for all"


def test_a_slow_answer_once_does_not_keep_a_silent_server_from_being_asked_again(client: Client) -> None:
    far = client.join("a")
    client.core._links.conns[far.conn_id].rtt.add(3.0)  # the client itself was stopped meanwhile
    call = client.call()
    client.advance(0.2)  # the call is overdue: its server is asked, and answers
    far.answer(call)
    client.actions.clear()
    client.advance(3.2)
    assert len(client.sent(Ping)) == 3


def test_a_server_that_was_dead_is_asked_what_its_clock_says_as_soon_as_it_speaks(client: Client) -> None:
    far = client.join("a")
    far.frozen = True
    client.advance(10.0)
    assert client.state("a") == "dead"
    far.thaw()
    client.actions.clear()
    far.pong()
    assert client.state("a") == "alive"
    assert client.took(Send) == [Send(far.conn_id, [match(Ping)])]


def test_a_vanished_record_does_not_take_down_a_server_that_answers(client: Client) -> None:
    far = client.join("a")
    client.feed(PeerRemoved(far.peer))
    client.advance(60.0)
    assert client.state("a") == "alive"
    far.down()
    assert client.names() == []
    client.advance(60.0)
    assert len(client.took(Connect)) == 1
    assert_quiet(client)


def test_a_vanished_record_ends_the_dialling(client: Client) -> None:
    client.feed(PeerAdded(peer("a", "10.0.0.1:1", "10.0.0.2:1")))
    client.feed(PeerRemoved(peer("a")))
    assert len(client.took(Disconnect)) == 2
    assert_quiet(client)


def test_servers_beyond_peers_max_are_left_aside_and_counted() -> None:
    client = Client(ClientConfig(peers_max=2))
    for number in range(1, 6):
        client.feed(PeerAdded(peer(f"p{number}", f"10.0.0.{number}:1")))
    assert client.names() == ["p1", "p2"]
    assert client.core.counters().peers_refused == 3
    assert "peers_max: p3 is left aside" in client.notices()
    client.feed(PeerRemoved(peer("p3")))
    client.feed(PeerUpdated(peer("p4", "10.0.0.44:1")))
    client.feed(PeerRemoved(peer("p1")))
    assert client.names() == ["p2", "p4"], "the first one that was left aside and is still advertised"
    assert [str(action.address) for action in client.took(Connect)][-1] == "10.0.0.44:1"
    client.feed(PeerRemoved(peer("p2")))
    assert client.names() == ["p4"], "no more are remembered than are used"


def test_a_server_without_an_address_is_known_and_not_dialled(client: Client) -> None:
    client.feed(PeerAdded(peer("a")))
    client.advance(10.0)
    assert client.took(Connect) == []
    assert client.state("a") == "waiting"
    client.feed(PeerUpdated(peer("a", "10.0.0.1:1")))
    assert len(client.took(Connect)) == 1


def test_a_service_that_a_record_names_twice_or_reserves_does_no_harm(client: Client) -> None:
    far = client.far("a", services=["calc"])
    far.hello.services = ["calc", "mesh", "calc"]
    client.feed(PeerAdded(peer("a", far.address, services=("mesh", "calc", "calc"))))
    assert client.core.views(client.now)[0].services == ("calc",)
    client.vanish(far)
    assert_quiet(client)


# -- who is it


def test_a_static_server_tells_its_name_and_services(client: Client) -> None:
    far = client.far("id-1", "10.0.0.1:1", name="one", services=["calc", "echo"])
    client.feed(PeerAdded(peer("static:10.0.0.1:1", "10.0.0.1:1", services=(), source="static")))
    [view] = client.core.views(client.now)
    assert (view.name, view.peer_id, view.services, view.sources) == ("one", "id-1", ("calc", "echo"), ("static",))
    client.call("echo.say")
    assert [call.method for call in far.calls] == ["echo.say"]


@pytest.mark.parametrize("static_first", [True, False])
def test_one_server_learnt_twice_is_one_server(client: Client, static_first: bool) -> None:
    far = client.far("id-1", "10.0.0.1:1", name="one")
    static = peer("static:10.0.0.1:1", "10.0.0.1:1", services=(), source="static")
    for record in (static, far.peer) if static_first else (far.peer, static):
        client.feed(PeerAdded(record))
    client.advance(3.0)
    [view] = client.core.views(client.now)
    assert (view.name, view.peer_id, view.state, view.sources) == ("one", "id-1", "alive", ("mdns", "static"))
    client.feed(PeerRemoved(far.peer))
    client.feed(PeerRemoved(static))
    far.kill()
    assert_quiet(client)


def test_one_server_under_two_addresses_learnt_twice_is_one_server(client: Client) -> None:
    client.feed(PeerAdded(peer("id-1", "10.0.0.1:1", name="one")))
    mdns = conn_of(client, "10.0.0.1:1")
    client.feed(LinkUp(mdns))
    prove(client, mdns, "id-1")
    client.feed(PeerAdded(peer("static:localhost:1", "localhost:1", services=(), source="static")))
    static = conn_of(client, "localhost:1")
    client.feed(LinkUp(static))
    prove(client, static, "id-1")
    assert client.took(Disconnect) == [Disconnect(static)]
    [view] = client.core.views(client.now)
    assert (view.peer_id, view.state, view.sources) == ("id-1", "alive", ("mdns", "static"))
    client.feed(PeerRemoved(peer("static:localhost:1")))
    client.feed(PeerRemoved(peer("id-1")))
    client.feed(LinkDown(mdns, "reset"))
    assert_quiet(client)


def test_another_server_at_a_static_address_takes_its_place(client: Client) -> None:
    first = client.far("id-1", "10.0.0.1:1", name="one")
    client.feed(PeerAdded(peer("static:10.0.0.1:1", "10.0.0.1:1", services=(), source="static")))
    first.kill()
    client.fars.remove(first)
    client.far("id-2", "10.0.0.1:1", name="two")
    client.advance(3.0)
    [view] = client.core.views(client.now)
    assert (view.name, view.peer_id, view.state) == ("two", "id-2", "alive")


def test_a_restarted_server_is_used_under_its_new_id_while_the_old_record_lasts(client: Client) -> None:
    old = client.join("id-1", address="10.0.0.1:1", name="one")
    old.kill()
    client.fars.remove(old)
    new = client.far("id-2", "10.0.0.1:1", name="one")
    client.advance(3.0)
    assert [view.state for view in client.core.views(client.now) if view.peer_id == "id-2"] == ["alive"]
    client.call()
    assert len(new.calls) == 1
    client.feed(PeerAdded(new.peer))
    client.feed(PeerRemoved(old.peer))
    [view] = client.core.views(client.now)
    assert (view.peer_id, view.sources) == ("id-2", ("mdns",))


def test_a_second_claim_of_an_address_is_refused(client: Client) -> None:
    honest = client.join("honest", address="10.0.0.1:1")
    client.feed(PeerAdded(peer("liar", "10.0.0.1:1")))
    client.advance(10.0)
    assert len(client.took(Connect)) == 1
    assert client.state("honest") == "alive"
    [note] = [view.note for view in client.core.views(client.now) if view.name == "liar"]
    assert note == "another server holds its address"
    client.vanish(honest)
    client.advance(3.0)
    assert len(client.took(Connect)) > 1, "the address is free now"


def test_a_server_of_another_realm_is_ignored(client: Client) -> None:
    client.feed(PeerAdded(peer("a", "10.0.0.1:1", realm="other")))
    assert client.took(Connect) == []
    [view] = client.core.views(client.now)
    assert (view.state, view.note) == ("ignored", "it is in realm 'other', this client in 'default'")


def test_a_hello_from_another_realm_is_believed_over_the_record(client: Client) -> None:
    far = client.join("a", realm="other")
    client.call()
    watch = client.watch()
    assert far.calls == []
    assert client.state("a") == "ignored"
    assert not watch.done


def test_a_client_of_a_realm_uses_the_servers_of_it() -> None:
    client = Client(realm="lab")
    far = client.far("a", realm="lab")
    client.feed(PeerAdded(peer("a", far.address, realm="lab")))
    assert client.state("a") == "alive"


@pytest.mark.parametrize("identity", ["", "\x1b[2J", "x" * 300])
def test_a_hello_without_a_usable_id_is_garbage(client: Client, identity: str) -> None:
    far = client.join("a")
    far.say(Hello(identity, "evil", "default", ["calc"], []))
    assert client.core.counters().garbage == 1
    assert client.names() == ["a"]


def test_a_hello_that_names_too_much_is_garbage(client: Client) -> None:
    far = client.join("a")
    names = [f"s{number}" for number in range(4097)]
    far.say(Hello("a", "a", "default", names[:96], names[96:4096]))
    assert client.core.counters().garbage == 0
    far.say(Hello("a", "a", "default", names[:97], names[97:]))
    assert client.core.counters().garbage == 1


def test_the_name_in_a_hello_cannot_write_to_a_terminal(client: Client) -> None:
    far = client.join("a")
    far.say(Hello("a", "\x1b[2J" + "x" * 100, "default", ["calc"], []))
    assert client.names() == ["?[2J" + "x" * 59]


def test_a_server_that_changes_its_id_on_a_live_connection_is_dialled_anew(client: Client) -> None:
    far = client.join("a")
    far.say(Hello("b", "b", "default", ["calc"], []))
    client.advance(3.0)
    call = client.call()
    assert call.at is not None
    client.vanish(far)


# -- pings


def test_a_silent_server_is_pinged_once_an_interval() -> None:
    client = Client(FAST)
    client.join("a")
    client.actions.clear()
    client.advance(10.5)
    assert len(client.sent(Ping)) == 10
    assert client.state("a") == "alive"


def test_very_many_idle_servers_share_a_bounded_number_of_pings() -> None:
    client = Client(dataclasses.replace(FAST, pings_per_s_max=10.0))
    for number in range(40):
        client.join(f"s{number}")
    client.actions.clear()
    client.advance(20.5)
    assert 190 <= len(client.sent(Ping)) <= 210
    assert client.state("s39") == "alive"


def test_very_many_idle_servers_are_asked_some_at_a_time() -> None:
    client = Client(dataclasses.replace(FAST, pings_per_s_max=100.0))
    for number in range(150):
        client.join(f"s{number}")
        client.advance(0.0101)
    client.advance(3.0)
    client.actions.clear()
    times = 0
    for _ in range(200):
        before = len(client.sent(Ping))
        client.advance(0.002)
        times += len(client.sent(Ping)) > before
    assert 35 <= len(client.sent(Ping)) <= 45
    assert 15 <= times <= 21


def test_traffic_spares_the_ping() -> None:
    client = Client(FAST)
    far = client.join("a")
    client.actions.clear()
    for _ in range(20):
        far.answer(client.call())
        client.advance(0.5)
    assert client.sent(Ping) == []


def test_a_frozen_server_is_a_suspect_then_dead_and_alive_again_when_it_thaws() -> None:
    client = Client(FAST)
    far = client.join("a")
    client.advance(0.5)
    far.frozen = True
    client.advance(0.5 + FAST.ping_timeout_s + 0.01)
    assert client.state("a") == "suspect"
    client.advance(2 * FAST.ping_timeout_s)
    assert client.state("a") == "dead"
    assert client.took(Disconnect) == [], "its link is up as long as the transport believes in it"
    client.advance(1.5)
    far.thaw()
    client.advance(FAST.ping_interval_s)
    assert client.state("a") == "alive"
    for word in ("suspect", "dead", "alive"):
        assert f"a ({far.hello.name and 'tcp://' + far.address}) is {word}" in client.notices()


def test_any_message_revives_a_suspect() -> None:
    client = Client(FAST)
    far = client.join("a")
    far.frozen = True
    client.advance(1.0 + FAST.ping_timeout_s + 0.01)
    assert client.state("a") == "suspect"
    far.pong()
    assert client.state("a") == "alive"


def test_a_suspect_gets_no_new_call_while_anybody_better_is_there() -> None:
    client = Client(FAST)
    bad, good = client.join("bad"), client.join("good")
    bad.frozen = True
    client.advance(1.0 + FAST.ping_timeout_s + 0.01)
    for _ in range(20):
        client.call()
    assert (len(bad.calls), len(good.calls)) == (0, 20)
    good.kill()
    client.call()
    assert len(bad.calls) > 0, "the only one left, and not dead yet"


def test_a_dead_server_gets_no_call() -> None:
    client = Client(FAST)
    far = client.join("a")
    far.frozen = True
    client.advance(1.5)
    assert client.state("a") == "dead"
    call = client.call()
    assert far.calls == []
    far.thaw()
    client.advance(1.1)
    assert [got.call_id for got in far.calls] == [call.call_id]


def test_a_dead_connection_without_calls_is_dialled_anew() -> None:
    client = Client(FAST)
    far = client.join("a")
    first = far.conn_id
    far.frozen = True
    client.advance(30.0)
    assert Disconnect(first) in client.actions
    far.thaw()
    client.advance(5.0)
    assert client.state("a") == "alive"
    assert far.conn_id != first


def test_a_slow_link_has_more_patience() -> None:
    client = Client(FAST)
    far = client.join("a")
    far.rtt_s = 0.09
    client.advance(10.0)
    far.rtt_s = 0.3
    client.advance(20.0)
    assert client.notices().count("is suspect") <= 1, "it learns after the first one"
    assert client.state("a") == "alive"
    [view] = client.core.views(client.now)
    assert view.rtt_s == pytest.approx(0.3, abs=0.05)


def test_the_views_tell_what_is_known_of_a_server(client: Client) -> None:
    far = client.join("a", name="one", services=["calc"], window=9)
    for _ in range(3):
        call = client.call()
        client.advance(0.1)
        far.load = 4
        far.answer(call)
    far.fail(client.call())
    client.call()
    client.advance(0.25)
    [view] = client.core.views(client.now)
    assert (view.name, view.state, view.address, view.proto, view.version) == (
        "one",
        "alive",
        "tcp://10.0.0.1:5555",
        "mesh/1",
        "1.0",
    )
    assert (view.in_flight, view.window, view.load, view.answered, view.errors) == (1, 9, 4, 3, 1)
    assert view.latency_p50_s == pytest.approx(0.1, rel=0.1)
    assert view.last_seen_s is not None
    assert view.last_seen_s <= 0.25


def test_after_everything_is_gone_nothing_is_left(client: Client) -> None:
    fars = [client.join(f"s{number}", window=2) for number in range(5)]
    calls = [client.call(timeout=1.0) for _ in range(30)]
    watch = client.watch(9, timeout=0.5)
    for far in fars[:2]:
        far.frozen = True
    fars[2].kill()
    client.advance(0.3)
    for far in fars[3:]:
        for got in far.calls:
            far.answer(got.call_id)
    client.advance(2.0)
    assert all(call.done for call in calls)
    assert watch.error is not None
    assert len(client.finished) == 31
    client.vanish(*fars)
    assert_quiet(client)


def test_whoever_answers_after_a_silence_makes_discovery_ask_who_else_is_there(client: Client) -> None:
    far = client.join("a")
    far.frozen = True
    client.advance(5.0)
    assert client.state("a") == "dead"
    assert client.took(Search) == []
    far.thaw()
    client.advance(1.0)
    assert client.state("a") == "alive"
    assert client.took(Search) == [Search()]


def test_a_link_that_was_lost_in_silence_makes_discovery_ask_when_it_is_back(client: Client) -> None:
    far = client.join("a")
    far.frozen = True
    client.advance(1.5)
    assert client.state("a") in ("suspect", "dead")
    far.down()
    assert client.took(Search) == []
    far.frozen = False
    client.advance(1.0)
    assert client.state("a") == "alive"
    assert client.took(Search) == [Search()]


def test_a_link_that_breaks_at_once_is_no_reason_to_ask(client: Client) -> None:
    far = client.join("a")
    far.down()
    client.advance(1.0)
    assert client.state("a") == "alive"
    assert client.took(Search) == []


def test_who_is_refused_everywhere_asks_discovery_for_others_once(client: Client) -> None:
    gone = client.far("gone")
    gone.refusing = True
    client.feed(PeerAdded(gone.peer))
    assert client.took(Search) == [Search()]
    client.advance(20.0)
    assert client.took(Search) == [Search()]


def test_one_refusal_is_no_reason_to_ask_while_another_server_is_dialled(client: Client) -> None:
    client.join("a")
    gone = client.far("gone")
    gone.refusing = True
    client.feed(PeerAdded(gone.peer))
    client.advance(1.0)
    assert client.took(Search) == []


def test_discovery_is_not_asked_all_the_time(client: Client) -> None:
    far = client.join("a")
    for _ in range(12):
        far.frozen = True
        client.advance(1.0)
        far.thaw()
        client.advance(1.0)
    assert 2 <= len(client.took(Search)) <= 4


# -- who may have an address


@pytest.mark.parametrize("proto", ["rep", "flp"])
def test_a_false_record_of_a_server_that_cannot_prove_itself_keeps_no_mesh_server_away(
    client: Client, proto: str
) -> None:
    false = client.far("false", "10.0.0.1:1", services=["legacy"], proto=proto)
    client.feed(PeerAdded(false.peer))
    client.advance(0.1)
    assert client.state("false") == "alive"
    client.fars.remove(false)
    far = client.join("a", address="10.0.0.1:1")
    assert client.state("a") == "alive"
    call = client.call()
    far.answer(call)
    client.advance(5.0)
    assert (client.state("a"), client.state("false")) == ("alive", "waiting")


@pytest.mark.parametrize("why", ["the user has named it", "it has answered a call"])
def test_a_rep_server_that_is_known_to_be_one_keeps_its_address(client: Client, why: str) -> None:
    source = "static" if why == "the user has named it" else "mdns"
    rep = client.far("legacy", "10.0.0.1:1", services=["legacy"], proto="rep")
    client.feed(PeerAdded(peer("legacy", rep.address, services=["legacy"], source=source, proto="rep")))
    if source == "mdns":
        call = client.call("legacy", plain=True)
        client.feed(Received(rep.conn_id, [rep.frames[0][0], b"", b"yes"]))
        assert call.body == b"yes"
    client.feed(PeerAdded(peer("a", rep.address)))
    assert client.state("legacy") == "alive"
    assert client.state("a") == "waiting"


def test_a_server_that_breaks_each_connection_is_dialled_more_and_more_rarely(client: Client) -> None:
    far = client.join("a")
    dials = 0
    for _ in range(1000):  # ten seconds
        client.advance(0.01)
        if far.conn_id:
            dials += 1
            far.down()
    assert dials <= 25


def test_a_flood_of_pongs_is_read_in_part(client: Client) -> None:
    far = client.join("a")
    far.say(*(Pong(0, far.boot, 1, load=load) for load in range(1, 101)))
    [view] = client.core.views(client.now)
    assert view.load == 16
