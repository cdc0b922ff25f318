"""What mesh-top costs, and how old its figures are.

    python -m scripts.top_cost [--servers N] [--seconds S] [--json]

Servers (50 to a process, found by mDNS on loopback, not called by anybody) are shown for a while in a terminal of 80x24
and in one of 200x50, at one refresh a second; the processor time of the whole process of mesh-top counts, its threads
included, once it has started. Then the ages of the figures are read from its JSON. Exit code 1: a bound does not hold.
"""

from __future__ import annotations

import argparse
import fcntl
import itertools
import json
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from scripts.fleet import LOOPBACK, Fleet, Node
from scripts.usage import cpu_s

__all__: list[str] = []

_PROGRAM = str(Path(sys.executable).parent / "mesh-top")
_PER_PROCESS = 50
_SIZES = ((80, 24), (200, 50))
_WARM_S = 4.0
"""Until all are found, dialled and asked twice."""
_COST_MAX = 15.0
"""Percent of one core."""
_REFRESH_S = 1.0
_BURST_S = 0.3
"""Output after a pause of this length is another refresh."""


@dataclass(frozen=True)
class Cost:
    """One run in a terminal."""

    width: int
    height: int
    percent: float
    """Processor time as a share of one core."""
    gap_s: float
    """Longest time between two refreshes."""
    octets: int
    """What one refresh writes to the terminal."""


def _live(environment: dict[str, str], width: int, height: int, seconds: float) -> Cost:
    """Show the servers in a terminal of this size."""
    user, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
    process = subprocess.Popen(
        [_PROGRAM], stdin=program, stdout=program, env=environment | {"TERM": "xterm-256color"}, process_group=0
    )
    os.close(program)
    try:
        _drain(user, time.monotonic() + _WARM_S)
        before, began = cpu_s(process.pid), time.monotonic()
        output = _drain(user, began + seconds)
        percent = 100 * (cpu_s(process.pid) - before) / (time.monotonic() - began)
    finally:
        process.terminate()
        _drain(user, time.monotonic() + 0.5)
        process.wait(10.0)
        os.close(user)
    refreshes = [
        at for earlier, (at, _) in zip([(0.0, 0), *output], output, strict=False) if at - earlier[0] > _BURST_S
    ]
    gap_s = max((later - earlier for earlier, later in itertools.pairwise(refreshes)), default=seconds)
    octets = sum(count for _, count in output) // max(1, len(refreshes))
    return Cost(width, height, round(percent, 1), round(gap_s, 3), octets)


def _drain(descriptor: int, until: float) -> list[tuple[float, int]]:
    """Read until then; return when something came and how much."""
    came = []
    while (left_s := until - time.monotonic()) > 0:
        if select.select([descriptor], [], [], left_s)[0]:
            try:
                came.append((time.monotonic(), len(os.read(descriptor, 65536))))
            except OSError:  # the program has ended
                break
    return came


def _ages_s(environment: dict[str, str], servers: int) -> list[float]:
    """Return how old the figures of each server were at each of five refreshes."""
    shown = subprocess.run(
        [_PROGRAM, "--json", "-n", "8", "-o", "name,age_s"], env=environment, capture_output=True, check=True, text=True
    )
    lines = [json.loads(line) for line in shown.stdout.splitlines()][-5 * servers :]
    return [line["age_s"] if line["age_s"] is not None else float("inf") for line in lines]


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="scripts.top_cost", description="What mesh-top costs.")
    parser.add_argument("--servers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=15.0, help="of each run in a terminal")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with Fleet() as fleet:
        environment = {**os.environ, "MESH_INTERFACE": LOOPBACK, "MESH_REALM": fleet.realm}
        left = given.servers
        nodes: list[tuple[Node, int]] = []
        while left > 0:
            count = min(left, _PER_PROCESS)
            nodes.append((fleet.launch(f"node{len(nodes)}", count=count), count))
            left -= count
        for node, count in nodes:
            for _ in range(count):
                node.ready()
        costs = [_live(environment, width, height, given.seconds) for width, height in _SIZES]
        ages_s = _ages_s(environment, given.servers)
    worst = max(cost.percent for cost in costs)
    oldest_s = max(ages_s)
    gap_s = max(cost.gap_s for cost in costs)
    if given.json:
        print(json.dumps({"costs": [asdict(cost) for cost in costs], "oldest_s": oldest_s}))
    else:
        for cost in costs:
            print(
                f"{given.servers} servers at {cost.width}x{cost.height}: {cost.percent} % of one core, "
                f"{cost.octets} octets a refresh, at most {cost.gap_s:.2f} s between two"
            )
        print(f"oldest figure on a screen: {oldest_s:.2f} s")
    return 0 if worst < _COST_MAX and oldest_s <= _REFRESH_S and gap_s < 2 * _REFRESH_S else 1


if __name__ == "__main__":
    sys.exit(main())
