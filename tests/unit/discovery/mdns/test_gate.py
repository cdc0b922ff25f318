"""The gate before python-zeroconf: what it admits of whom, and that every socket has it."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Iterator

import pytest

from discovery.mdns import gate as module
from discovery.mdns import link as links
from discovery.mdns.gate import Gate
from tests.helpers.wait import wait_until


class Loop(asyncio.SelectorEventLoop):
    """A loop with a clock in the hands of the test."""

    now = 100.0

    def time(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.close()


def admitted(gate: Gate, sender: str, count: int) -> int:
    return sum(gate.admits(sender) for _ in range(count))


def test_a_burst_of_one_sender_passes_and_a_flood_does_not(clock: Loop) -> None:
    gate = Gate(clock)
    assert admitted(gate, "10.0.0.1", 5000) == 1000
    assert gate.dropped == 4000
    clock.now += 1.0
    assert admitted(gate, "10.0.0.1", 1000) == 100
    clock.now += 1000.0
    assert admitted(gate, "10.0.0.1", 2000) == 1000


def test_a_flood_of_one_sender_costs_another_nothing(clock: Loop) -> None:
    gate = Gate(clock)
    admitted(gate, "10.0.0.66", 5000)
    assert admitted(gate, "10.0.0.1", 300) == 300


def test_a_flood_of_made_up_senders_is_bounded_and_so_is_what_is_kept_of_them(clock: Loop) -> None:
    gate = Gate(clock)
    assert sum(gate.admits(f"10.0.{number >> 8}.{number & 255}") for number in range(9000)) == 4000
    clock.now += 2.0
    assert sum(gate.admits(f"10.1.{number >> 8}.{number & 255}") for number in range(9000)) == 800
    assert len(gate._senders) <= 1024


class Flooder:
    """Sends packets to the group on loopback, from one of its addresses."""

    def __init__(self, host: str) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        self.sock.bind((host, 0))

    def send(self, count: int) -> None:
        for _ in range(count):
            self.sock.sendto(bytes(12), ("224.0.0.251", 5353))


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Iterator[links.Link]:
    monkeypatch.setattr(module, "_BURST", 10)
    link = links.acquire(["127.0.0.1"])
    wait_until(lambda: link.zeroconf.engine.readers)
    yield link
    links.release(link)


@pytest.mark.network
def test_every_socket_of_a_link_has_its_gate_once(link: links.Link, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHUT_OUT_MAX", 0)
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
    heard: list[str] = []
    admits = link.gate.admits

    def hear(sender: str) -> bool:
        heard.append(sender)
        return admits(sender)

    monkeypatch.setattr(link.gate, "admits", hear)
    monkeypatch.setattr(module, "_SHUT_OUT_S", 0.2)
    flooder, other, third = Flooder("127.0.0.66"), Flooder("127.0.0.67"), Flooder("127.0.0.68")
    with flooder.sock, other.sock, third.sock:
        flooder.send(12)
        other.send(12)
        wait_until(lambda: len(link.gate._shut_out) == 2)
        count = len(heard)
        flooder.send(100)
        third.send(1)
        wait_until(lambda: "127.0.0.68" in heard)
        assert heard[count:] == ["127.0.0.68"]
        wait_until(lambda: not link.gate._shut_out)
        flooder.send(1)
        wait_until(lambda: heard[-1] == "127.0.0.66")
