"""The question that brings an answer at once."""

from __future__ import annotations

import asyncio
import socket

import pytest
from zeroconf import Zeroconf

from discovery import choose_interfaces
from discovery.mdns import oneshot as module

pytestmark = pytest.mark.network


def test_it_is_asked_twice_for_the_first_may_be_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WAIT_S", 0.02)
    zeroconf = Zeroconf(["127.0.0.1"])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hearing:
        hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        hearing.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        hearing.bind(("224.0.0.251", 5353))
        group = socket.inet_aton("224.0.0.251") + socket.inet_aton("127.0.0.1")
        hearing.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        hearing.settimeout(5)
        question = module.OneShot(zeroconf, "_twice._tcp.local.", lambda work: work())
        asyncio.run(question.ask(choose_interfaces(["127.0.0.1"])))
        askers: list[tuple[str, int]] = []
        while len(askers) < 2:
            data, asker = hearing.recvfrom(9000)
            if b"_twice" in data:
                askers.append(asker)
    zeroconf.close()
    assert askers[0] == askers[1]
    assert askers[0][1] != 5353
