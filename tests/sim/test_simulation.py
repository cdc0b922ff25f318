"""Runs whole worlds and has the checkers judge them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mesh.config import ClientConfig, ServerConfig
from mesh.sim import Bout, Faults, Handlers, Spread, Workload, World
from tests.sim.checkers import run_checked, violations
from tests.sim.worlds import random_world

HERE = Path(__file__).parent
FOUND = [int(line.split()[0]) for line in (HERE / "seeds.txt").read_text().splitlines() if not line.startswith("#")]
ROUGH = Faults(
    loss=0.01,
    crash=Bout(0.1, Spread(0.2, 0.5)),
    pause=Bout(0.1, Spread(0.1, 1.0)),
    client_pause=Bout(1.0, Spread(0.05, 0.3)),
    partition=Bout(0.1, Spread(0.1, 1.0)),
    slow=Bout(0.2, Spread(0.1, 0.5)),
    drain=Bout(0.3, Spread(0.2, 0.5)),
    forget=Bout(0.1, Spread(0.001, 0.3)),
    spoof=Bout(0.3, Spread(0.01, 1.0)),
    repeat=0.1,
    spared=5,
)


@pytest.mark.parametrize("seed", [*range(20), *FOUND])
def test_random_world_breaks_no_promise(seed: int) -> None:
    world, workload = random_world(seed, calls=200)
    assert run_checked(world, workload) == []
    assert len(world.history.asked) == workload.calls


@pytest.mark.slow
def test_hundred_servers_and_ten_thousand_calls_under_every_fault() -> None:
    world = World(7, servers=100, clients=4, faults=ROUGH, handlers=Handlers(Spread(0.001, 0.002)))
    assert run_checked(world, Workload(calls=10_000, per_s=2000.0)) == []
    outcomes = Counter(ended.outcome for ended in world.history.ended)
    assert outcomes.keys() == {"ok", "RemoteError", "OutcomeUnknown"}
    assert outcomes["ok"] > 9_700
    moved = sum(ended.attempts > 1 for ended in world.history.ended)
    assert moved > 100, "the faults have struck nobody"


@pytest.mark.slow
def test_no_expired_call_of_ten_thousand_runs_on_a_server_that_is_thawed() -> None:
    many = 10_000
    world = World(
        3,
        servers=1,
        clients=4,
        client_config=ClientConfig(window_max=many),
        server_config=ServerConfig(window=many, admitted_max=many),
    )
    world.advance(0.1)
    world.stop("s1")
    for number in range(many):
        world.call(f"c{number % 4 + 1}", timeout_s=0.3)
    world.advance(1.0)
    world.thaw("s1")
    world.advance(8.0)
    assert world.history.runs == []
    assert world.servers["s1"].core.expired == many
    assert violations(world) == []


def _rough_world() -> World:
    world = World(3, servers=8, clients=2, faults=ROUGH)
    world.run(Workload(calls=300, per_s=300.0))
    return world


def test_same_seed_gives_the_same_trace() -> None:
    one, other = _rough_world(), _rough_world()
    assert one.history.trace == other.history.trace
    assert one.network.digest == other.network.digest


def test_another_seed_gives_another_trace() -> None:
    one, other = (World(seed, servers=3) for seed in (1, 2))
    for world in (one, other):
        world.run(Workload(calls=20))
    assert one.history.trace != other.history.trace


@pytest.mark.slow
def test_trace_does_not_depend_on_the_process() -> None:
    """Strings hash differently in each process; nothing may follow from their order in a set."""
    program = "from tests.sim.test_simulation import _rough_world as w; print(*w().history.trace, sep='\\n')"
    environment = {**os.environ, "PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"}
    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=HERE.parent.parent,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.splitlines() == _rough_world().history.trace
