"""Hosts run out of descriptors, their clocks are wrong, their servers become others: no call is lost or goes astray.

Real servers and clients in namespaces, 200 calls a second.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from scripts.fleet import read_runs
from tests.e2e.hosts import Caller, Lan, serve
from tests.helpers import Process, needs_netns, needs_program, needs_timens, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow, needs_netns, needs_program("ip")]

PORT = 5001

FLOOD = f"""
import socket, time
crowd = []
until = time.monotonic() + 2.5
while time.monotonic() < until:
    try:
        crowd.append(socket.create_connection(("10.77.0.1", {PORT}), 0.2))
    except OSError:
        time.sleep(0.01)
print("enough", flush=True)
time.sleep(60)
"""
"""Opens connections and says nothing, as fast as it can; at the end it holds those that are left."""


def cpu_s(process: Process) -> float:
    """Return the seconds of processor time that a process has used."""
    with open(f"/proc/{process.pid}/stat", encoding="ascii") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100.0


@needs_program("prlimit")
def test_a_server_whose_descriptors_are_used_up_serves_on_and_recovers() -> None:
    limit = ("prlimit", "--nofile=128:128")
    with (
        Lan("a", "c") as lan,
        lan.spawn("a", *serve("a", PORT), prefix=limit) as server,
        lan.caller("c") as caller,
    ):
        caller.wait_alive("a")
        began_at = time.monotonic()
        with lan.spawn("c", "-c", FLOOD) as flood:
            flood.wait_line("enough")
            assert caller.gap_s(began_at) < 2.0, "0.1 to 0.4 s on a quiet machine"
            at, used = time.monotonic(), cpu_s(server)
            with lan.caller("c") as late:
                late.wait_alive("a")
            assert (cpu_s(server) - used) / (time.monotonic() - at) < 0.6, "0.1 to 0.2 with 200 to 400 calls a second"
        caller.answered("a")
        caller.assert_no_call_failed()


POOR_CLIENT = """
import os, resource, time
from mesh import Client

resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
held = []

def take_all():
    try:
        while True:
            held.append(os.open(os.devnull, os.O_RDONLY))
    except OSError:
        pass

with Client(servers=[]) as client:
    client.wait_for(1, service="work", timeout=10)
    take_all()
    print("none left", flush=True)
    poor_since, used, seen_at = time.monotonic(), time.process_time(), 0.0
    state = ""
    while state != "alive":
        if held:
            take_all()  # also what was given back meanwhile
        client.request("work.echo", b"poor 0", peer="a")
        state = {view.name: view.state for view in client.servers()}.get("b", "")
        now = time.monotonic()
        seen_at = seen_at or (now if state else 0.0)
        if held and seen_at and now > seen_at + 1.5:
            print(state, (time.process_time() - used) / (now - poor_since), flush=True)
            while held:
                os.close(held.pop())
        time.sleep(0.01)
    print("recovered", flush=True)
"""
"""Uses up its descriptors, calls on, sees a server that it cannot dial, and gives the descriptors back."""


def test_a_client_whose_descriptors_are_used_up_calls_on_and_recovers() -> None:
    with (
        Lan("a", "b", "c") as lan,
        lan.spawn("a", *serve("a")),
        lan.spawn("c", "-c", POOR_CLIENT) as client,
    ):
        client.wait_line("none left")
        with lan.spawn("b", *serve("b")):
            cpu = client.wait_line(r"^connecting (\S+)")[1]
            assert float(cpu) < 0.6, "0.05 to 0.1 with 100 calls a second"
            client.wait_line("recovered")
            assert client.wait() == 0
    assert client.stderr == []


def time_namespace(ahead_s: int) -> tuple[str, ...]:
    """Return what runs a program with its monotonic clocks so many seconds ahead."""
    return "unshare", "--time", "--fork", "--kill-child", f"--monotonic={ahead_s}", f"--boottime={ahead_s}"


JUMPING_WALL_CLOCK = """
import runpy, sys, time
true = time.time
time.time = lambda: true() + 3e7 * (int(10 * true()) % 2)
time.time_ns = lambda: int(1e9 * time.time())
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
"""Runs a program whose wall clock jumps by a year ten times a second, forth and back."""


@needs_timens
def test_clocks_that_differ_and_wall_clocks_that_jump_change_nothing(tmp_path: Path) -> None:
    logs = {"far": tmp_path / "far", "odd": tmp_path / "odd"}
    with (
        Lan("a", "b", "c") as lan,
        lan.spawn("a", *serve("far"), "--log", str(logs["far"]), prefix=time_namespace(1_000_000)),
        lan.spawn("b", "-c", JUMPING_WALL_CLOCK, *serve("odd")[1:], "--log", str(logs["odd"])),
        lan.caller("c") as caller,
        lan.caller("c", prefix=time_namespace(5_000_000)) as ahead,
        lan.spawn("c", "-c", JUMPING_WALL_CLOCK, "tests.e2e.paced_client") as jumping,
    ):
        for each in (caller, ahead, Caller(jumping)):
            wait_until(lambda each=each: each.alive == {"far", "odd"})  # type: ignore[misc]
            wait_until(lambda each=each: len(each.calls) > 200)  # type: ignore[misc]
            each.assert_no_call_failed()
        nap = ("-m", "mesh.cli.main", "call", "--raw", "--timeout", "2", "--peer")
        with (
            lan.spawn("c", *nap, "far", "work.nap", "late 30") as one,
            lan.spawn("c", *nap, "odd", "work.nap", "late 30", prefix=time_namespace(5_000_000)) as other,
        ):
            assert (one.wait(), other.wait()) == (4, 4), "a server had it, and no answer came in time"
    for log in logs.values():
        left = [run["deadline"] - run["at"] for run in read_runs(log)]
        assert len(left) > 100
        assert all(0.0 < seconds < 10.5 for seconds in left), "what a server is told of a deadline is in its own clock"


def test_a_server_that_comes_back_with_another_service_gets_its_calls_and_no_others() -> None:
    with (
        Lan("a", "b", "c") as lan,
        lan.spawn("b", *serve("b")),
        lan.caller("c") as old,
        lan.caller("c", "--method", "other.echo") as new,
        ExitStack() as stack,
    ):
        with lan.spawn("a", *serve("a", PORT)):
            old.wait_alive("a", "b")
        killed_at = time.monotonic()
        changed = stack.enter_context(lan.spawn("a", *serve("changed", PORT, "other")))
        changed.wait_line('"name": "changed"')
        new.answered("changed")
        old.answered("b")
        assert old.gap_s(killed_at) < 1.0
        old.assert_no_call_failed()
        new.assert_no_call_failed()
        assert {call.server for call in old.calls if call.began_at > killed_at} == {"b"}
        assert {call.server for call in new.calls} == {"changed"}
