"""The demo, without a terminal: what it prints, its exit code, and what it leaves behind."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.helpers import Process, spawn, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow]

DEMO = [sys.executable, "-m", "scripts.demo_show"]
"""What scripts/demo runs once it has installed the project."""


def servers_of(demo: Process) -> list[int]:
    """Return the processes whose parent is the demo."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except FileNotFoundError:
            continue
        if int(after_name[1]) == demo.pid and after_name[0] != "Z":
            found.append(int(stat.parent.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.timeout(180)  # 13 s on a machine that has nothing else to do
def test_the_demo_loses_servers_and_no_call() -> None:
    with spawn([*DEMO, "--json"]) as demo:
        assert demo.wait(150.0) == 0, demo.lines
    summary = json.loads("\n".join(demo.stdout))
    assert summary["failed"] == 0
    assert summary["errors"] == []
    assert summary["calls"] > 1000
    faults = " ".join(summary["gaps_ms"])
    for word in ("kill -9", "SIGSTOP", "SIGCONT", "the start of s4", "SIGTERM"):
        assert word in faults
    story = "\n".join(demo.stderr)
    for word in ("s1 appeared", "s4 appeared", "is gone", "is alive again"):
        assert word in story


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -signal.SIGKILL)]
)
def test_the_servers_do_not_outlive_the_demo_even_frozen(number: signal.Signals, code: int) -> None:
    with spawn(DEMO) as demo:
        demo.wait_line(r"the freeze of", 30.0)
        servers = servers_of(demo)
        assert len(servers) == 2
        os.kill(demo.pid, number)
        assert demo.wait() == code
        wait_until(lambda: not any(alive(pid) for pid in servers), what="the end of the servers")
        assert not any("Traceback" in line for line in demo.lines), demo.lines
