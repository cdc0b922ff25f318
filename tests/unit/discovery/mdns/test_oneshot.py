"""The question that brings an answer at once."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

import pytest
from zeroconf import Zeroconf
from zeroconf._dns import DNSPointer
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.const import _CLASS_IN, _FLAGS_QR_RESPONSE, _TYPE_PTR

from discovery import choose_interfaces
from discovery.mdns import oneshot as module
from tests.helpers.wait import PATIENCE_S, wait_until

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
        hearing.settimeout(PATIENCE_S)
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


def test_answers_are_taken_when_it_is_time() -> None:
    works: list[Callable[[], None]] = []
    zeroconf = Zeroconf(["127.0.0.1"])
    question = module.OneShot(zeroconf, "_paced._tcp.local.", works.append)
    out = DNSOutgoing(_FLAGS_QR_RESPONSE, id_=question._id, multicast=False)
    out.add_answer_at_time(DNSPointer("_paced._tcp.local.", _TYPE_PTR, _CLASS_IN, 4500, "one._paced._tcp.local."), 0)
    question.datagram_received(out.packets()[0], ("127.0.0.1", 5353))
    assert not zeroconf.cache.names()
    [work] = works
    assert zeroconf.loop is not None
    zeroconf.loop.call_soon_threadsafe(work)
    wait_until(lambda: "_paced._tcp.local." in zeroconf.cache.names())
    zeroconf.close()
