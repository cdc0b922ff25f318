"""Packets are dropped, delayed, refused and filtered: no call is lost, and each server is called as soon as it can be.

Real servers and clients in network namespaces, 200 calls a second.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.e2e.hosts import Caller, Lan, serve
from tests.helpers import needs_netns, needs_program, wait_until

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.network,
    pytest.mark.slow,
    needs_netns,
    needs_program("ip"),
    needs_program("nft"),
]

A, B, NEW = 5001, 5002, 5003
"""Ports of the servers."""


@dataclass(frozen=True)
class Office:
    """A LAN with a server on each of the hosts `a` and `b`, and a client on `c`."""

    lan: Lan
    caller: Caller


@pytest.fixture(scope="module")
def whole_office() -> Iterator[Office]:
    """The same for all tests: each leaves it as it was."""
    with (
        Lan("a", "b", "c") as lan,
        lan.caller("c") as caller,
        lan.spawn("a", *serve("a", A)),
        lan.spawn("b", *serve("b", B)),
    ):
        yield Office(lan, caller)


@pytest.fixture
def office(whole_office: Office) -> Iterator[Office]:
    """The office, in which no call fails."""
    whole_office.caller.wait_alive("a", "b")
    yield whole_office
    whole_office.caller.assert_no_call_failed()


@pytest.mark.parametrize(
    ("host", "rule"),
    [
        ("a", f"tcp dport {A} drop"),
        ("c", f"tcp sport {A} drop"),
        ("a", f"tcp dport {A} reject with tcp reset"),
    ],
    ids=["requests are lost", "answers are lost", "connections are reset"],
)
def test_calls_go_to_the_other_server_while_one_cannot_be_reached(office: Office, host: str, rule: str) -> None:
    caller = office.caller
    began_at = time.monotonic()
    calm_s = caller.gap_s(began_at - 0.5)
    with office.lan.rules(host, rule):
        time.sleep(1.0)
        assert caller.gap_s(began_at) < 0.7 + calm_s, "10 to 40 ms on a quiet machine"
        # In doubt after an unanswered PING (0.1 s), and not called from then on.
        assert caller.by("a", began_at + 0.5, time.monotonic()) == 0
        ended_at = time.monotonic()
    assert caller.answered("a", ended_at) < 4.0, "0.2 to 1 s on a quiet machine"


def test_a_wire_that_delays_and_loses_costs_time_and_no_call(office: Office) -> None:
    caller = office.caller
    with office.lan.wire("a", "c", delay_s=0.01, loss=0.02):
        wait_until(lambda: caller.alive == {"a"}, what="the server beside the wire to be gone")
        began_at = time.monotonic()
        with office.lan.spawn("a", *serve("far", NEW)) as far:
            far.wait_line('"name": "far"')
            found_s = caller.answered("far")
        took = [
            call.ended_at - call.began_at for call in caller.calls if call.began_at > began_at and call.server == "a"
        ]
        assert len(took) > 50
        assert 0.02 <= statistics.median(took) < 0.06, "21 to 22 ms on a quiet machine"
        assert found_s < 5.0


def test_known_and_static_servers_are_called_while_mdns_is_blocked(office: Office) -> None:
    lan, caller = office.lan, office.caller
    with (
        lan.rules("c", "udp dport 5353 drop", "udp sport 5353 drop"),
        lan.spawn("b", *serve("new", NEW)) as new,
        lan.caller("c", "--server", f"tcp://10.77.0.2:{NEW}") as told,
    ):
        new.wait_line('"name": "new"')
        told.wait_alive("new")
        assert caller.alive == {"a", "b"}
        for name in caller.alive:
            caller.answered(name)
        told.assert_no_call_failed()
    wait_until(lambda: caller.alive == {"a", "b"}, what="the server that ended to be gone")


def test_a_server_that_is_seen_and_cannot_be_reached_is_shown_and_never_called(office: Office) -> None:
    lan, caller = office.lan, office.caller
    call = ("-m", "mesh.cli.main", "call", "--peer", "walled", "--timeout", "2.5", "work.echo")
    with lan.rules("c", f"tcp sport {NEW} drop"), lan.spawn("b", *serve("walled", NEW)) as walled:
        walled.wait_line('"name": "walled"')
        with lan.spawn("c", *call) as asker:
            assert asker.wait() == 3
        [sentence] = asker.stderr
        assert f"walled (tcp://10.77.0.2:{NEW})" in sentence
        assert "no connection within 1 s" in sentence
        assert caller.servers["walled"][0] != "alive"
        assert caller.by("walled", 0.0, time.monotonic()) == 0
