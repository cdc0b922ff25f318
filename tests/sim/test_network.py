"""The virtual network does to links what TCP and libzmq do."""

from __future__ import annotations

import random

import pytest

from discovery.model import Address
from mesh.sim.clock import VirtualClock
from mesh.sim.faults import Faults, Spread
from mesh.sim.link import Link
from mesh.sim.network import VirtualNetwork
from mesh.sim.process import DOWN, MESSAGE, TIMER, UP, Process

ADDRESS = Address("10.0.0.1", 5555)


class End:
    """Both a client's and a server's socket: writes down what happens."""

    def __init__(self, name: str, clock: VirtualClock) -> None:
        self.process = Process(name, clock)
        self.seen: list[str] = []
        self.reached: list[int] = []
        self.links: list[Link] = []

    def link_reached(self, conn_id: int) -> None:
        self.reached.append(conn_id)

    def link_up(self, conn_id: int) -> None:
        self.seen.append("up")

    def link_lost(self, conn_id: int, why: str) -> None:
        self.seen.append(why)

    def room(self) -> None:
        self.seen.append("room")

    def lost(self, link: Link) -> None:
        self.seen.append("lost")


class ClientEnd(End):
    def receive(self, conn_id: int, frames: list[bytes]) -> None:
        self.seen.append(frames[0].decode()[:10])


class ServerEnd(End):
    def receive(self, link: Link, frames: list[bytes]) -> None:
        self.links.append(link)
        self.seen.append(frames[0].decode()[:10])


class Wiring:
    """A client, a server, and a network that takes a millisecond each way."""

    def __init__(self, faults: Faults | None = None) -> None:
        self.clock = VirtualClock()
        faults = faults or Faults(delay=Spread(0.001))
        self.network = VirtualNetwork(self.clock, random.Random(1), faults, 1.0, 0.5, 1.5)
        self.client, self.server = ClientEnd("c", self.clock), ServerEnd("s", self.clock)
        self.network.name_host(ADDRESS, "s")

    def dial(self, *, listen: bool = True) -> Link:
        if listen:
            self.network.listen(ADDRESS, self.server)
        return self.network.dial(self.client, 1, ADDRESS)

    def established(self) -> Link:
        link = self.dial()
        self.pass_s(0.1)
        assert self.client.seen == ["up"]
        self.client.seen.clear()
        return link

    def pass_s(self, duration_s: float) -> None:
        self.clock.run_until(self.clock.now + duration_s)

    def send(self, link: Link, *texts: str) -> None:
        for text in texts:
            assert link.up.send([text.encode()])
            self.pass_s(0.0001)


@pytest.fixture
def wiring() -> Wiring:
    return Wiring()


def test_messages_arrive_after_their_delay(wiring: Wiring) -> None:
    link = wiring.established()
    wiring.send(link, "a")
    wiring.pass_s(0.0008)
    assert wiring.server.seen == []
    wiring.pass_s(0.0003)
    assert wiring.server.seen == ["a"]
    wiring.server.links[0].down.send([b"b"])
    wiring.pass_s(0.1)
    assert wiring.client.seen == ["b"]


def test_loss_delays_and_keeps_the_order() -> None:
    wiring = Wiring(Faults(delay=Spread(0.001, 0.001), loss=0.2))
    wiring.dial()
    wiring.pass_s(10.0)
    [link] = wiring.network.links()
    sent = [f"m{number}" for number in range(100)]
    wiring.send(link, *sent)
    began_at = wiring.clock.now
    while len(wiring.server.seen) < 100:
        wiring.pass_s(0.01)
    assert wiring.server.seen == sent
    assert wiring.clock.now - began_at > 0.15, "no retransmission has held anything up"


def test_nobody_listens_and_the_dial_is_refused(wiring: Wiring) -> None:
    wiring.dial(listen=False)
    wiring.pass_s(0.1)
    assert wiring.client.seen == ["connection refused"]


def test_dial_into_a_cut_fails_at_its_timeout(wiring: Wiring) -> None:
    wiring.network.cut("c", "s")
    wiring.dial()
    wiring.pass_s(0.9)
    assert wiring.client.seen == []
    wiring.pass_s(0.2)
    assert wiring.client.seen == ["connection refused"]


def test_stopped_server_takes_connections_and_shakes_hands_on_thaw(wiring: Wiring) -> None:
    wiring.server.process.stop()
    wiring.dial()
    wiring.pass_s(5.0)
    assert (wiring.client.reached, wiring.client.seen) == ([1], [])
    wiring.server.process.thaw()
    wiring.pass_s(0.1)
    assert wiring.client.seen == ["up"]


def test_stopped_server_finds_everything_on_thaw(wiring: Wiring) -> None:
    link = wiring.established()
    wiring.server.process.stop()
    wiring.send(link, "a", "b", "c")
    wiring.pass_s(1.0)
    assert wiring.server.seen == []
    wiring.server.process.thaw()
    assert wiring.server.seen == ["a", "b", "c"]


def test_silence_ends_a_link_by_its_heartbeat_and_what_was_sent_still_arrives(wiring: Wiring) -> None:
    link = wiring.established()
    wiring.network.cut("c", "s")
    wiring.send(link, "a")
    wiring.pass_s(1.4)
    assert wiring.client.seen == []
    wiring.pass_s(0.7)
    assert wiring.client.seen == ["disconnected"]
    wiring.network.heal("c", "s")
    wiring.pass_s(1.0)
    assert wiring.server.seen == ["a", "lost"]


def test_silence_that_ends_in_time_is_nothing(wiring: Wiring) -> None:
    link = wiring.established()
    wiring.network.cut("s", "c")
    wiring.send(link, "a")
    wiring.pass_s(1.0)
    assert wiring.server.seen == ["a"], "the other direction is not cut"
    wiring.server.links[0].down.send([b"b"])
    wiring.pass_s(0.1)
    wiring.network.heal("s", "c")
    wiring.pass_s(3.0)
    assert wiring.client.seen == ["b"]


def test_pipe_takes_one_message_and_tells_when_it_has_room(wiring: Wiring) -> None:
    link = wiring.established()
    assert link.up.send([b"a"])
    assert not link.up.send([b"b"])
    wiring.pass_s(0.001)
    assert wiring.client.seen == ["room"]
    assert link.up.send([b"b"])


def test_kernel_does_not_swallow_everything_for_a_stopped_server(wiring: Wiring) -> None:
    link = wiring.established()
    wiring.server.process.stop()
    taken = 0
    while link.up.send([b"x" * 10_000]):
        taken += 1
        wiring.pass_s(0.001)
    assert 20 < taken < 40
    wiring.server.process.thaw()
    wiring.pass_s(0.1)
    assert len(wiring.server.seen) == taken
    assert wiring.client.seen[-1] == "room"


def test_end_of_a_server_is_seen_at_once_and_its_last_words_are_a_matter_of_luck() -> None:
    heard = []
    for _ in range(2):
        wiring = Wiring()
        for seed in range(10):
            wiring.network.rng.seed(seed)
            wiring.client.seen.clear()
            link = wiring.dial()
            wiring.pass_s(0.1)
            wiring.send(link, "a")
            wiring.pass_s(0.1)
            wiring.server.links[-1].down.send([b"last"])
            wiring.pass_s(0.0005)
            wiring.network.unlisten(ADDRESS, abruptly=True)
            wiring.pass_s(0.1)
            assert wiring.client.seen[-1] == "disconnected"
            heard.append("last" in wiring.client.seen)
    assert True in heard
    assert False in heard
    assert heard[:10] == heard[10:], "luck is the seed's"


def test_end_in_good_order_delivers_what_was_on_its_way(wiring: Wiring) -> None:
    link = wiring.established()
    wiring.send(link, "a")
    wiring.pass_s(0.1)
    wiring.server.links[0].down.send([b"last"])
    wiring.pass_s(0.0005)
    wiring.network.unlisten(ADDRESS, abruptly=False)
    wiring.pass_s(0.1)
    assert wiring.client.seen == ["last", "disconnected"]


def test_what_was_meant_for_a_dead_server_does_not_reach_its_successor(wiring: Wiring) -> None:
    link = wiring.established()
    wiring.network.cut("c", "s")
    wiring.send(link, "a")
    wiring.network.unlisten(ADDRESS, abruptly=True)
    wiring.server.process.kill()
    wiring.server.process.start()
    wiring.network.listen(ADDRESS, wiring.server)
    wiring.network.heal("c", "s")
    wiring.pass_s(3.0)
    assert wiring.server.seen == []


def test_closed_link_says_nothing_more(wiring: Wiring) -> None:
    link = wiring.established()
    wiring.send(link, "a")
    wiring.pass_s(0.1)
    wiring.server.links[0].down.send([b"late"])
    link.close()
    wiring.pass_s(1.0)
    assert wiring.client.seen == []
    assert wiring.server.seen == ["a", "lost"]
    assert not wiring.network.links()


def test_thawed_process_reads_everything_before_it_believes_a_loss_or_its_clock() -> None:
    clock = VirtualClock()
    process, seen = Process("p", clock), list[str]()
    process.after(0.1, seen.append, "timer")
    process.stop()
    clock.run_until(clock.now + 1.0)
    process.deliver(MESSAGE, seen.append, "message 1")
    process.deliver(MESSAGE, seen.append, "message 2")
    process.deliver(DOWN, seen.append, "down")
    process.deliver(MESSAGE, seen.append, "message 3")
    process.deliver(UP, seen.append, "up")
    assert seen == []
    process.thaw()
    assert seen == ["up", "message 1", "message 2", "message 3", "down", "timer"]


def test_killed_process_does_nothing_of_what_it_had_before_it() -> None:
    clock = VirtualClock()
    process, seen = Process("p", clock), list[str]()
    process.after(0.1, seen.append, "timer")
    process.stop()
    process.deliver(TIMER, seen.append, "kept")
    process.kill()
    process.deliver(MESSAGE, seen.append, "dead")
    process.start()
    clock.run_until(clock.now + 1.0)
    process.thaw()
    assert seen == []


def test_clock_runs_events_of_one_moment_in_their_order_and_notices_when_time_stands_still() -> None:
    clock, seen = VirtualClock(), list[str]()
    clock.after(2.0, seen.append, "later")
    clock.after(1.0, seen.append, "first")
    clock.after(1.0, seen.append, "second")
    clock.at(0.0, seen.append, "past")
    clock.run_until(clock.now + 1.0)
    assert seen == ["past", "first", "second"]

    def again() -> None:
        clock.after(0.0, again)

    again()
    with pytest.raises(AssertionError, match="time stands still"):
        clock.run_until(clock.now + 1.0)


def test_little_gets_through_a_clog_and_the_rest_waits_behind_it_in_order(wiring: Wiring) -> None:
    link = wiring.established()
    wiring.network.hinder("c", "s", 1000.0)
    wiring.send(link, "a" * 9, "b" * 9, "c" * 9)
    wiring.pass_s(0.1)
    assert wiring.server.seen == ["a" * 9], "69 octets take 69 ms"
    wiring.pass_s(0.07)
    assert wiring.server.seen == ["a" * 9, "b" * 9]
    wiring.network.heal("c", "s")
    wiring.pass_s(0.5)
    assert wiring.server.seen == ["a" * 9, "b" * 9, "c" * 9]


def test_clog_is_no_silence(wiring: Wiring) -> None:
    wiring.established()
    wiring.network.hinder("c", "s", 1000.0)
    wiring.pass_s(5.0)
    assert wiring.client.seen == []


def test_cut_ends_a_clog_and_its_healing_ends_both(wiring: Wiring) -> None:
    link = wiring.established()
    wiring.network.hinder("c", "s", 1000.0)
    wiring.send(link, "a", "b")
    wiring.network.cut("c", "s")
    wiring.pass_s(1.0)
    assert wiring.server.seen == []
    wiring.network.heal("c", "s")
    wiring.pass_s(0.5)
    assert wiring.server.seen == ["a", "b"]


def test_nothing_comes_back_from_a_black_hole(wiring: Wiring) -> None:
    wiring.network.swallow(ADDRESS)
    wiring.dial()
    wiring.pass_s(0.9)
    assert wiring.client.seen == []
    wiring.pass_s(0.2)
    assert wiring.client.seen == ["connection refused"]


def test_message_that_was_in_the_pipe_when_it_was_closed_is_dropped(wiring: Wiring) -> None:
    link = wiring.established()
    assert link.up.send([b"a"])
    link.close()
    wiring.pass_s(1.0)
    assert wiring.server.seen == ["lost"]


def test_calm_network_loses_nothing_and_has_no_tail() -> None:
    wiring = Wiring(Faults(delay=Spread(0.001, 0.001, 1.1), loss=0.5))
    wiring.network.calm()
    assert max(wiring.network.delay_s() for _ in range(1000)) < 0.02


def test_machine_that_slept_has_a_clock_that_knows_nothing_of_it() -> None:
    clock = VirtualClock()
    process, seen = Process("p", clock), list[str]()
    began_at = process.now
    clock.run_until(clock.now + 1.0)
    process.stop()
    clock.run_until(clock.now + 5.0)
    process.deliver(MESSAGE, seen.append, "message")
    process.thaw(slept=True)
    clock.run_until(clock.now + 1.0)
    assert process.now == pytest.approx(began_at + 2.0)
    assert seen == ["message"]
    process.stop()
    clock.run_until(clock.now + 5.0)
    process.thaw()
    assert process.now == pytest.approx(began_at + 7.0), "one that was only stopped finds that time has leapt"


def test_process_that_ends_on_thaw_does_nothing_of_the_rest() -> None:
    clock = VirtualClock()
    process, seen = Process("p", clock), list[str]()
    process.stop()
    process.deliver(MESSAGE, process.kill)
    process.deliver(MESSAGE, seen.append, "rest")
    process.thaw()
    assert seen == []
