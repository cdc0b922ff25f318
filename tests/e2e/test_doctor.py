"""`mesh doctor` names the fault: real servers in network namespaces, with real firewalls between them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.hosts import Lan, serve
from tests.helpers import Process, needs_netns, needs_program

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.network,
    pytest.mark.slow,
    needs_netns,
    needs_program("ip"),
    needs_program("nft"),
]

MESH = ("-m", "mesh.cli.main")
FINE, LOOPBACK, ASTRAY, DROPPED, REJECTED, RESET, FAR = range(5001, 5008)
"""Ports of the servers."""

SERVERS = f"""
import time
from mesh import Server, Service

def start(name, port, host="*", **settings):
    service = Service("work", version="1.0.0")
    service.method(lambda: None, name="rest")
    Server(service, bind=f"tcp://{{host}}:{{port}}", name=name, **settings).start()

start("fine", {FINE})
start("loopback", {LOOPBACK}, "127.0.0.1", interfaces=["lan"])
start("astray", {ASTRAY}, "10.99.0.1", interfaces=["lan"])
start("dropped", {DROPPED})
start("rejected", {REJECTED})
start("reset", {RESET})
start("far", {FAR}, realm="lab2")
print("ready", flush=True)
time.sleep(60)
"""
"""Seven servers in one process; all but the first are told to bind, or belong, where the client does not look."""

HOLDER = """
import socket, time
held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
held.bind(("0.0.0.0", 5353))
print("held", flush=True)
time.sleep(60)
"""
"""Has the port of mDNS and does not share it."""


@dataclass(frozen=True)
class Office:
    """A LAN with servers on `a`; somebody on `c` misses them."""

    lan: Lan

    @contextmanager
    def doctor(self, *words: str, host: str = "c") -> Iterator[Process]:
        """Start `mesh doctor`; several at a time do not take longer than one."""
        with self.lan.spawn(host, *MESH, "doctor", "--timeout", "1", *words) as process:
            yield process

    def told(self, *words: str, host: str = "c") -> tuple[int, dict[str, Any]]:
        """Return the exit code and what programs are told."""
        with self.doctor("--json", *words, host=host) as doctor:
            return result(doctor)


def result(doctor: Process) -> tuple[int, dict[str, Any]]:
    """Return the exit code and what programs are told, when it has ended."""
    code = doctor.wait()
    assert doctor.stderr == []
    [line] = doctor.stdout
    return code, json.loads(line)


def codes(told: dict[str, Any]) -> dict[str, str]:
    """Return the codes of findings by what they are about."""
    return {finding["subject"]: finding["code"] for finding in told["findings"] if finding["level"] != "note"}


@pytest.fixture(scope="module")
def office() -> Iterator[Office]:
    with Lan("a", "b", "c") as lan, ExitStack() as stack:
        lan.ip("a", "address", "add", "10.99.0.1/24", "dev", "lo")
        rules = (
            f"tcp dport {DROPPED} drop",
            f"tcp dport {REJECTED} reject with icmp type admin-prohibited",
            f"tcp dport {RESET} reject with tcp reset",
        )
        stack.enter_context(lan.rules("a", *rules))
        servers = stack.enter_context(lan.spawn("a", "-c", SERVERS))
        servers.wait_line("ready")
        yield Office(lan)


def test_of_a_server_that_is_well_it_says_so_in_few_lines(office: Office) -> None:
    with office.doctor("fine") as doctor:
        assert doctor.wait() == 0
    assert doctor.stderr == []
    multicast, server, verdict = doctor.stdout
    assert multicast == "lan (10.77.0.3/24): this host hears its own multicast, and on UDP port 5353 also 10.77.0.1"
    assert server.startswith(f"fine (work): 10.77.0.1:{FINE} answers in ")
    assert verdict == "ok: the mesh is usable for fine; servers that take calls: 1 of 1."


def test_each_server_that_is_not_reached_has_its_reason(office: Office) -> None:
    code, told = office.told()
    assert code == 1
    assert codes(told) == {
        "loopback": "bound-to-loopback",
        "astray": "wrong-interface",
        "dropped": "port-dropped",
        "rejected": "port-rejected",
        "reset": "port-refused",
    }
    assert {server["name"]: server["advertised_by"] for server in told["servers"]}["astray"] == ["10.77.0.1"]
    lo, lan = told["interfaces"]
    assert [each["others"] for each in lo["multicast"]] == [[]], "what comes over one interface is not heard on another"
    assert "10.77.0.1" in lan["multicast"][0]["by_multicast"]
    [far] = [finding for finding in told["findings"] if finding["code"] == "other-realm"]
    assert far["level"] == "note"


def test_who_is_in_another_realm_is_told_to_whom_misses_him(office: Office) -> None:
    with office.doctor("--json", "far") as doctor, office.doctor("--json", "far", "--realm", "lab2") as other:
        code, told = result(doctor)
        assert (code, codes(told)) == (3, {"lab2": "other-realm"})
        code, told = result(other)
        assert (code, codes(told)) == (0, {})


def test_a_host_that_is_not_there_is_told_from_one_whose_firewall_drops(office: Office) -> None:
    away, dropped = "tcp://10.77.0.99:5001", f"tcp://10.77.0.1:{DROPPED}"
    code, told = office.told("--server", away, "--server", dropped)
    assert code == 3
    assert codes(told) == {"10.77.0.99:5001": "no-host", f"10.77.0.1:{DROPPED}": "port-dropped"}


def test_multicast_that_a_firewall_drops_is_named_with_its_rule(office: Office) -> None:
    lan = office.lan
    with (
        lan.rules("b", "udp dport 5353 drop"),
        lan.rules("c", "udp dport 5353 drop", chain="output"),
        office.doctor("--json", "fine", host="b") as deaf,
        office.doctor("--json", "fine", host="c") as mute,
    ):
        code, told = result(deaf)
        # Whoever asks from another port than 5353 is answered there: such a firewall lets that in.
        assert (code, codes(told)) == (1, {"lan": "multicast-in-blocked"})
        assert "the rule 'udp dport 5353 drop' in inet faults input" in told["findings"][0]["text"]
        _, told = result(mute)  # it may hear what others are told
        assert codes(told)["lan"] == "multicast-out-blocked"
        assert "nft insert rule inet faults output udp dport 5353 accept" in told["findings"][0]["remedy"]


def test_who_hears_nobody_is_told_that_it_may_be_the_others(office: Office) -> None:
    lan = office.lan
    with lan.rules("c", "udp sport 5353 ip saddr != 10.77.0.3 drop", "udp sport 5353 ip6 saddr fe80::/10 drop"):
        code, told = office.told()
    assert code == 3
    assert set(codes(told).values()) == {"no-servers", "nobody-else"}


def test_a_port_that_somebody_holds_is_named_with_who_it_is(office: Office) -> None:
    with office.lan.spawn("b", "-c", HOLDER) as holder:
        holder.wait_line("held")
        code, told = office.told(host="b")
    assert (code, codes(told)["UDP port 5353"]) == (8, "port-held")
    assert f"(pid {holder.pid})" in told["findings"][0]["text"]


PATIENT = """
import os, sys, time
from mesh.doctor.examine import Order, examine
from mesh.doctor.findings import diagnose

def pause(doing):
    print(doing, flush=True)
    while doing.startswith("asking ") and not os.path.exists(sys.argv[1]):
        time.sleep(0.01)

for finding in diagnose(examine(Order(timeout_s=1.0), pause)).findings:
    print("found", finding.code, finding.subject, flush=True)
"""
"""The doctor, who waits between what he hears and what he asks until there is a file of this name."""


def test_the_advertisement_of_a_server_that_was_killed_is_stale(office: Office, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    lan = office.lan
    advertise = ("advertise", "tcp://10.77.0.2:5009", "--proto", "mesh", "--service", "work", "--name", "old")
    with lan.spawn("b", *serve("victim")) as victim, lan.spawn("a", *MESH, *advertise) as advertiser:
        victim.wait_line('"name": "victim"')
        advertiser.wait_line("^advertising")
        with lan.spawn("c", "-c", PATIENT, str(killed)) as doctor:
            doctor.wait_line("^asking ")
            victim.kill9()
            killed.touch()
            assert doctor.wait() == 0
    assert "found stale victim" in doctor.stdout
    assert "found stale old" in doctor.stdout, "somebody else still speaks for it"
