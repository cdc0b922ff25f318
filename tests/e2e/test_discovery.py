"""Servers are found and called: on loopback, as soon as they start, and between hosts on a LAN."""

from __future__ import annotations

import statistics
import time

import pytest

from scripts.faults_discovery import discover_many, discover_one
from tests.e2e.hosts import Lan, serve
from tests.helpers import needs_netns, needs_program, quickest, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow]


def test_a_server_is_called_soon_after_it_binds() -> None:
    def median_ms() -> float:
        return statistics.median(discover_one(starts=6).first_ms)

    assert quickest(median_ms, 250.0, tries=3) < 250.0, "20 to 40 ms on a quiet machine"


def test_two_hundred_servers_that_start_at_once_are_all_found_soon() -> None:
    began = time.monotonic()
    found = discover_many(processes=10, each=20)
    took_ms = (time.monotonic() - began) * 1000.0  # most of which is the start of the processes
    assert found.worst_ms < max(3000.0, took_ms / 4), "150 to 350 ms on a quiet machine"


@needs_netns
@needs_program("ip")
def test_an_address_that_leads_nowhere_costs_nothing_beside_one_that_does() -> None:
    with Lan("a", "b") as lan:
        lan.ip("a", "link", "add", "other", "type", "bridge")
        lan.ip("a", "address", "add", "10.66.0.1/24", "dev", "other")
        lan.ip("a", "link", "set", "other", "up")
        lan.ip("b", "route", "add", "default", "via", "10.77.0.99")  # nobody: what goes there is lost
        with lan.caller("b") as caller, lan.spawn("a", *serve("both", 5001)) as server:
            server.wait_line('"name": "both"', 15.0)
            caller.answered("both")
            both = ["alive", "tcp://10.77.0.1:5001", "tcp://10.66.0.1:5001"]
            wait_until(lambda: caller.servers["both"] == both, what="both addresses to be known")


@needs_netns
@needs_program("ip")
def test_hosts_that_have_link_local_addresses_only_find_and_call_each_other() -> None:
    with Lan("a", "b") as lan:
        for number, host in enumerate(("a", "b"), 1):
            lan.ip(host, "address", "delete", f"10.77.0.{number}/24", "dev", "lan")
            # nodad: it may be used at once, and not only when it is known that no other host has it.
            lan.ip(host, "address", "add", f"fe80::{number}/64", "dev", "lan", "nodad")
        kept = ("env", "MESH_INTERFACE=lan")
        with (
            lan.caller("b") as caller,
            lan.spawn("a", *serve("wild", 5001)),
            lan.spawn("a", *serve("kept", 5002), prefix=kept),
        ):
            for name in ("wild", "kept"):
                caller.answered(name)
            assert "tcp://[fe80::1%lan]:5002" in caller.servers["kept"]
