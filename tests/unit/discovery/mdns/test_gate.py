"""The gate before python-zeroconf: what it admits of whom, for how long it shuts out, and that every socket has it."""

from __future__ import annotations

import asyncio
import socket
import struct
import sys
from collections.abc import Callable, Iterator

import pytest

from discovery.mdns import gate as module
from discovery.mdns import link as links
from discovery.mdns.gate import Gate
from discovery.mdns.sieve import Source
from tests.helpers.wait import wait_until


class Loop(asyncio.SelectorEventLoop):
    """A loop with a clock in the hands of the test."""

    now = 100.0

    def __init__(self) -> None:
        super().__init__()
        self.due: list[tuple[float, Callable[..., object], tuple[object, ...]]] = []

    def time(self) -> float:
        return self.now

    def remember(self, delay: float, callback: Callable[..., object], *args: object) -> None:
        """Take the place of `call_later`."""
        self.due.append((delay, callback, args))

    def ring(self) -> float:
        """Do what is due next, and return after how many seconds it was."""
        delay, callback, args = self.due.pop(0)
        self.now += delay
        callback(*args)
        return delay


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loop]:
    loop = Loop()
    monkeypatch.setattr(loop, "call_later", loop.remember)
    yield loop
    loop.close()


def gate_of(clock: Loop, useless: bytes = b"useless") -> Gate:
    return Gate(clock, lambda source, octets: octets != useless, lambda source: None)


def admitted(gate: Gate, host: str, count: int, is_answer: bool = True, octets: bytes = b"") -> int:
    return sum(gate.admits(Source(host, is_answer), octets) for _ in range(count))


def test_a_burst_of_one_source_passes_and_a_flood_does_not(clock: Loop) -> None:
    gate = gate_of(clock)
    assert admitted(gate, "10.0.0.1", 5000) == 400
    assert gate.dropped == 4600
    clock.now += 1.0
    assert admitted(gate, "10.0.0.1", 1000) == 50
    clock.now += 1000.0
    assert admitted(gate, "10.0.0.1", 2000) == 400


def test_a_flood_of_one_source_costs_another_nothing(clock: Loop) -> None:
    gate = gate_of(clock)
    admitted(gate, "10.0.0.66", 5000)
    assert admitted(gate, "10.0.0.1", 300) == 300
    assert admitted(gate, "10.0.0.66", 2000, is_answer=False) == 1000


def test_a_flood_of_made_up_senders_is_bounded_and_so_is_what_is_kept_of_them(clock: Loop) -> None:
    gate = gate_of(clock)
    assert sum(admitted(gate, f"10.0.{number >> 8}.{number & 255}", 1) for number in range(9000)) == 4000
    clock.now += 2.0
    assert sum(admitted(gate, f"10.1.{number >> 8}.{number & 255}", 1) for number in range(9000)) == 800
    assert len(gate._sources) <= 1024


def test_what_nobody_can_use_is_not_read_and_shut_out_soon(clock: Loop) -> None:
    gate = gate_of(clock)
    assert admitted(gate, "10.0.0.1", 40, octets=b"useless") == 0
    assert not gate.misses_answers
    assert gate.dropped == 0
    admitted(gate, "10.0.0.1", 1, octets=b"useless")
    assert gate.misses_answers


def test_who_goes_on_flooding_is_shut_out_ever_longer_until_it_keeps_to_its_rate(clock: Loop) -> None:
    gate = gate_of(clock)
    shut_out_s = []
    for _ in range(6):
        admitted(gate, "10.0.0.66", 1000)
        shut_out_s.append(clock.ring())
        assert not gate.misses_answers
    assert shut_out_s == [1.0, 2.0, 4.0, 8.0, 16.0, 16.0]
    assert admitted(gate, "10.0.0.66", 1000) == 50  # others may be behind the same address
    clock.ring()
    clock.now += 8.0
    assert admitted(gate, "10.0.0.66", 1000) == 400
    assert clock.ring() == 1.0


def test_only_the_one_who_floods_with_answers_makes_others_miss_some(clock: Loop) -> None:
    lost: list[Source] = []
    gate = Gate(clock, lambda source, octets: True, lost.append)
    admitted(gate, "10.0.0.66", 2000, is_answer=False)
    assert lost == [Source("10.0.0.66", False)]
    assert not gate.misses_answers
    admitted(gate, "10.0.0.67", 2000)
    assert lost[1:] == [Source("10.0.0.67", True)]
    assert gate.misses_answers


def test_a_backlog_is_worked_off_in_half_of_the_time(clock: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = gate_of(clock)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(round(seconds, 6))
        clock.now += seconds

    def work(seconds: float) -> Callable[[], None]:
        return lambda: setattr(clock, "now", clock.now + seconds)

    monkeypatch.setattr("time.sleep", sleep)
    gate.pace(work(0.003))
    assert slept == []  # who comes alone is not kept waiting
    gate.pace(work(0.001))
    clock.now += 0.0004
    gate.pace(work(5.0))
    gate.pace(work(0.001))
    assert slept == [0.003, 0.0006, 0.02]
    clock.now += 1.0
    gate.pace(work(0.001))
    assert len(slept) == 3


def test_an_error_is_passed_on_and_rested_from(clock: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    gate = gate_of(clock)
    slept: list[float] = []
    monkeypatch.setattr("time.sleep", slept.append)

    def fail() -> None:
        clock.now += 0.001
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        gate.pace(fail)
    gate.pace(lambda: None)
    assert slept


class Flooder:
    """Sends packets to the group on loopback, from one of its addresses."""

    def __init__(self, host: str) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        self.sock.bind((host, 0))

    def send(self, count: int, flags: int = 0x84) -> None:
        for number in range(count):
            packet = struct.pack("!HBB8x", number, flags, 0)
            self.sock.sendto(packet, ("224.0.0.251", 5353))


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Iterator[links.Link]:
    monkeypatch.setattr(module, "_ANSWERS", module._Rate(50.0, 10.0))
    monkeypatch.setattr(links.Link, "_is_wanted", lambda self, source, octets: True)
    link = links.acquire(["127.0.0.1"])
    wait_until(lambda: link.zeroconf.engine.readers)
    yield link
    links.release(link)


@pytest.mark.network
def test_every_socket_of_a_link_has_its_gate_once(link: links.Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SOURCES_MAX", 0)
    link.loop.call_soon_threadsafe(link._prepare_readers)  # as after a change of the interfaces
    flooder = Flooder("127.0.0.1")
    with flooder.sock:
        flooder.send(50)
        wait_until(lambda: link.gate.dropped >= 40)
        assert link.gate.dropped <= 45


@pytest.mark.network
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such filters")
def test_the_kernel_drops_what_a_flooder_sends_and_nothing_else_and_not_for_ever(
    link: links.Link, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Source] = []
    admits = link.gate.admits

    def hear(source: Source, octets: bytes) -> bool:
        if source.host != "127.0.0.1":  # where others may be
            heard.append(source)
        return admits(source, octets)

    monkeypatch.setattr(link.gate, "admits", hear)
    monkeypatch.setattr(module, "_SHUT_OUT_S", (0.2, 0.2))
    flooder, other, third = Flooder("127.0.0.66"), Flooder("127.0.0.67"), Flooder("127.0.0.68")
    with flooder.sock, other.sock, third.sock:
        flooder.send(12)
        other.send(12)
        wait_until(lambda: len(link.gate._shut_out) == 2)
        count = len(heard)
        flooder.send(100)
        flooder.send(1, flags=0)
        third.send(1)
        wait_until(lambda: Source("127.0.0.68", True) in heard)
        assert heard[count:] == [Source("127.0.0.66", False), Source("127.0.0.68", True)]
        wait_until(lambda: not link.gate._shut_out)
        flooder.send(1)
        wait_until(lambda: heard[-1] == Source("127.0.0.66", True))
