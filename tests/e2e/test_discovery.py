"""Servers are found and called: on loopback, as soon as they start, and between hosts on a LAN."""

from __future__ import annotations

import statistics

import pytest

from scripts.faults_discovery import discover_many, discover_one
from tests.e2e.hosts import Lan
from tests.helpers import Process, needs_netns, needs_program, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow]

REALM = "lan-test"
CLIENT = ("tests/e2e/paced_client.py", REALM)


def test_a_server_is_called_soon_after_it_binds() -> None:
    assert statistics.median(discover_one(starts=6).first_ms) < 250.0, "20 to 40 ms on a quiet machine"


def test_two_hundred_servers_that_start_at_once_are_all_found_soon() -> None:
    assert discover_many(processes=10, each=20).worst_ms < 3000.0, "150 to 350 ms on a quiet machine"


def serve(name: str) -> tuple[str, ...]:
    return "-m", "scripts.fleet_server", name


def answered(client: Process, name: str) -> None:
    """Wait until a call that ends from now on is answered by this server."""
    client.wait_line(f"answered by {name} ", 10.0, since=len(client.lines))


@needs_netns
@needs_program("ip")
@pytest.mark.usefixtures("realm")
def test_a_partition_between_two_hosts_heals() -> None:
    with Lan("a", "b") as lan, lan.spawn("a", *serve("far")) as server, lan.spawn("b", *CLIENT) as client:
        server.wait_line('"name": "far"')
        answered(client, "far")
        lan.unplug("a")
        client.wait_line("failed:", since=len(client.lines))
        lan.plug("a")
        answered(client, "far")


@needs_netns
@needs_program("ip")
@pytest.mark.usefixtures("realm")
def test_calls_move_from_a_host_whose_cable_is_pulled() -> None:
    with (
        Lan("a", "b", "c") as lan,
        lan.spawn("a", *serve("a")) as one,
        lan.spawn("b", *serve("b")) as two,
        lan.spawn("c", *CLIENT) as client,
    ):
        for server in (one, two):
            server.wait_line('"name":')
        busy = client.wait_line("2 alive; answered by (a|b)")[1]
        lan.unplug(busy)
        before = len(client.lines)
        wait_until(lambda: len(client.lines) > before + 50)
        moved = client.lines[before + 1 : before + 50]  # the first one may have been answered just before
        other = "b" if busy == "a" else "a"
        assert all(f"answered by {other} " in line for line in moved), moved


@needs_netns
@needs_program("ip")
@pytest.mark.usefixtures("realm")
def test_an_address_that_leads_nowhere_costs_nothing_beside_one_that_does() -> None:
    with Lan("a", "b") as lan:
        lan.ip("a", "link", "add", "other", "type", "bridge")
        lan.ip("a", "address", "add", "10.66.0.1/24", "dev", "other")
        lan.ip("a", "link", "set", "other", "up")
        lan.ip("b", "route", "add", "default", "via", "10.77.0.99")  # nobody: what goes there is lost
        with lan.spawn("b", *CLIENT) as client, lan.spawn("a", *serve("both")) as server:
            server.wait_line('"name": "both"')
            addresses = client.wait_line(r"answered by both (.+)", 2.0)[1].split()
    assert [address.rpartition(":")[0] for address in addresses] == ["tcp://10.77.0.1", "tcp://10.66.0.1"]


@needs_netns
@needs_program("ip")
@pytest.mark.usefixtures("realm")
def test_a_server_on_every_address_is_found_under_one_that_its_host_got_later() -> None:
    with Lan("a", "b") as lan, lan.spawn("a", *serve("far")) as server, lan.spawn("b", *CLIENT) as client:
        server.wait_line('"name": "far"')
        answered(client, "far")
        lan.ip("a", "address", "delete", "10.77.0.1/24", "dev", "lan")
        lan.ip("a", "address", "add", "10.77.0.99/24", "dev", "lan")
        client.wait_line(r"answered by far tcp://10\.77\.0\.99:\d+$", 20.0)


@pytest.fixture
def realm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_REALM", REALM)
