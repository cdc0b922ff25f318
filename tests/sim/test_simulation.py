"""Runs whole worlds and has the checkers judge them."""

from __future__ import annotations

import dataclasses
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from mesh.config import ClientConfig, ServerConfig
from mesh.sim import Bout, Faults, Handlers, Spread, Workload, World
from mesh.sim.checkers import run_checked, violations
from mesh.sim.coverage import Coverage, met
from mesh.sim.liar import LIES
from mesh.sim.recovery import recover
from mesh.sim.worlds import random_world

HERE = Path(__file__).parent
FOUND = [
    (int(seed), None if servers == "-" else int(servers))
    for seed, servers, *_ in map(str.split, (HERE / "seeds.txt").read_text().splitlines())
    if seed != "#"
]
ROUGH = Faults(
    loss=0.01,
    crash=Bout(0.1, Spread(0.2, 0.5)),
    pause=Bout(0.1, Spread(0.1, 1.0)),
    drain=Bout(0.3, Spread(0.2, 0.5)),
    slow=Bout(0.2, Spread(0.1, 0.5)),
    full=Bout(0.2, Spread(0.1, 0.5)),
    client_pause=Bout(1.0, Spread(0.05, 0.3)),
    client_suspend=Bout(1.0, Spread(0.05, 0.3)),
    client_crash=Bout(1.0, Spread(0.01, 0.1)),
    partition=Bout(0.1, Spread(0.1, 1.0)),
    clog=Bout(0.2, Spread(0.1, 1.0)),
    forget=Bout(0.1, Spread(0.001, 0.3)),
    flap=Bout(0.3, Spread(0.1, 0.3)),
    amnesia=Bout(1.0, Spread(0.0)),
    spoof=Bout(0.3, Spread(0.01, 1.0)),
    ghost=Bout(0.3, Spread(0.01, 1.0)),
    repeat=0.1,
    spared=5,
)
EVERY = dataclasses.replace(ROUGH, lie=Bout(0.2, Spread(0.3)))


@pytest.mark.parametrize(("seed", "servers"), [*((seed, None) for seed in range(12)), *FOUND])
def test_random_world_breaks_no_promise(seed: int, servers: int | None) -> None:
    world, workload = random_world(seed, servers)
    assert run_checked(world, workload) == []


@pytest.mark.slow
@pytest.mark.parametrize(("servers", "first", "count"), [(None, 100, 150), (50, 0, 60), (1000, 0, 2)])
def test_many_random_worlds_break_no_promise_and_meet_every_fault(servers: int | None, first: int, count: int) -> None:
    """A share of what `scripts/soak.py` runs in full."""
    coverage = Coverage()
    for seed in range(first, first + count):
        world, workload = random_world(seed, servers, keep_trace=False)
        assert run_checked(world, workload) == [], f"python -m scripts.soak --seed {seed}"
        coverage.add(met(world))
    if count >= 50:
        bouts = [name for name in Faults.__dataclass_fields__ if isinstance(getattr(EVERY, name), Bout)]
        assert [name for name in bouts if not coverage.totals[f"fault: {name}"]] == []
        for rare in ("core: moved", "core: expired", "core: late_replies", "core: garbage", "core: shed"):
            assert coverage.totals[rare], f"{rare}: the faults have struck nobody"


@pytest.mark.slow
def test_hundred_servers_and_ten_thousand_calls_under_every_fault() -> None:
    world = World(7, servers=100, clients=4, faults=ROUGH, handlers=Handlers(Spread(0.001, 0.002)), keep_trace=False)
    assert run_checked(world, Workload(calls=10_000, per_s=2000.0)) == []
    outcomes = Counter(ended.outcome for ended in world.history.ended)
    assert outcomes.keys() == {"ok", "RemoteError", "OutcomeUnknown"}
    assert outcomes["ok"] > 9_000
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


@pytest.mark.parametrize("lie", LIES)
def test_every_lie_is_survived(lie: str) -> None:
    """Two servers of five lie, in one way, from the beginning; whoever does not must be neither lost nor overrun."""
    world = World(9, servers=5, clients=2, handlers=Handlers(Spread(0.001), threads=8))
    for name in ("s1", "s2"):
        world.corrupt(name, lie, random.Random(1))
    world.advance(0.2)
    for number in range(100):
        world.call(f"c{number % 2 + 1}")
        world.advance(0.01)
    for name in ("s1", "s2"):
        world.reform(name)
    world.advance(5.0)
    recover(world, 5.0)
    assert violations(world) == []
    assert {ended.outcome for ended in world.history.ended} == {"ok"}


def _rough_world() -> World:
    world = World(3, servers=8, clients=2, faults=EVERY)
    world.run(Workload(calls=300, per_s=300.0))
    return world


def test_same_seed_gives_the_same_trace() -> None:
    one, other = _rough_world(), _rough_world()
    assert one.history.trace == other.history.trace
    assert (one.history.digest, one.network.digest) == (other.history.digest, other.network.digest)


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
