"""The gate before python-zeroconf: what it admits of whom, and that every socket has it."""

from __future__ import annotations

import socket

import pytest

from discovery.mdns import gate as module
from discovery.mdns import link as links
from discovery.mdns.gate import Gate
from tests.helpers.wait import wait_until


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def admitted(gate: Gate, sender: str, count: int) -> int:
    return sum(gate.admits(sender) for _ in range(count))


def test_a_burst_of_one_sender_passes_and_a_flood_does_not(clock: Clock) -> None:
    gate = Gate(clock)
    assert admitted(gate, "10.0.0.1", 5000) == 400
    assert gate.dropped == 4600
    clock.now += 1.0
    assert admitted(gate, "10.0.0.1", 1000) == 50
    clock.now += 1000.0
    assert admitted(gate, "10.0.0.1", 1000) == 400


def test_a_flood_of_one_sender_costs_another_nothing(clock: Clock) -> None:
    gate = Gate(clock)
    admitted(gate, "10.0.0.66", 5000)
    assert admitted(gate, "10.0.0.1", 300) == 300


def test_a_flood_of_made_up_senders_is_bounded_and_so_is_what_is_kept_of_them(clock: Clock) -> None:
    gate = Gate(clock)
    assert sum(gate.admits(f"10.0.{number >> 8}.{number & 255}") for number in range(5000)) == 2000
    clock.now += 2.0
    assert sum(gate.admits(f"10.1.{number >> 8}.{number & 255}") for number in range(5000)) == 400
    assert len(gate._senders) <= 1024


@pytest.mark.network
def test_every_socket_of_a_link_has_its_gate_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BURST", 10)
    link = links.acquire(["127.0.0.1"])
    try:
        wait_until(lambda: link.zeroconf.engine.readers)
        link.loop.call_soon_threadsafe(link._prepare_readers)  # as after a change of the interfaces
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            for _ in range(50):
                sender.sendto(bytes(12), ("224.0.0.251", 5353))
        wait_until(lambda: link.gate.dropped >= 40)
        assert link.gate.dropped <= 45
    finally:
        links.release(link)
