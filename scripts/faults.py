"""What faults cost: kills, freezes and restarts real servers on loopback, and prints the figures.

    python -m scripts.faults [--json] [--trials N] [NAME…]

A figure that other work on the machine may have spoilt has a yardstick beside it: `quiet_ms` is the longest gap between
two answers in the half second before the fault.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mesh import AsyncClient, CallError, Client, ServerView
from scripts.fleet import LOOPBACK, Fleet, Node
from scripts.pace import AsyncPace, Done, Pace, longest_gap_s

__all__ = [
    "FREEZE",
    "KILL",
    "RESTART",
    "SCENARIOS",
    "Discovery",
    "Outage",
    "Stale",
    "discover_many",
    "discover_one",
    "outage",
    "outage_in_flight",
    "read_runs",
    "stale",
]

KILL, FREEZE, RESTART = "kill -9", "freeze and thaw", "rolling restart"
_QUIET_S = 1.0
"""Calls are made for so long before a fault and after it."""
_FROZEN_S = 2.5
_TIMEOUT_S = 2.0
"""Less than a server is frozen, so that the calls it holds are expired when it thaws."""
_HOLD_S = 0.003


@dataclass(frozen=True)
class Discovery:
    """Milliseconds from just before a server binds until it has answered a waiting client."""

    first_ms: list[float]

    @property
    def worst_ms(self) -> float:
        """The slowest."""
        return max(self.first_ms)


@dataclass
class Outage:
    """What the calls felt of one kind of fault, over all trials."""

    calls: int = 0
    failed: int = 0
    expired_runs: int = 0
    """Calls that a server ran although their deadline had passed."""
    gap_ms: list[float] = field(default_factory=list)
    """Longest time without an answer in the half second after each fault."""
    quiet_ms: list[float] = field(default_factory=list)
    """The same in the half second before."""
    slowest_ms: list[float] = field(default_factory=list)
    """Slowest call of each trial."""
    errors: list[str] = field(default_factory=list)

    def count(self, done: list[Done]) -> None:
        """Take in the calls of a trial."""
        self.calls += len(done)
        self.errors += [one.error for one in done if one.error]
        self.failed = len(self.errors)
        self.slowest_ms.append(_ms(max(one.finished_at - one.started_at for one in done)))


@dataclass(frozen=True)
class Stale:
    """Calls that nobody waited for any more when their server thawed."""

    calls: int
    answered: int
    runs: int
    """How many of them the server ran after the thaw."""


def _ms(seconds: float) -> float:
    return round(seconds * 1000.0, 1)


def _client(fleet: Fleet) -> Client:
    return Client(servers=[], realm=fleet.realm, interfaces=[LOOPBACK])


def _async_client(fleet: Fleet) -> AsyncClient:
    return AsyncClient(servers=[], realm=fleet.realm, interfaces=[LOOPBACK])


def read_runs(log: Path) -> list[dict[str, Any]]:
    """Return what the servers of a fleet have run: `server`, `token`, `at`, `deadline`."""
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def discover_one(starts: int = 20) -> Discovery:
    """Start one server after the other while a client waits for it with a call."""
    first_ms = []
    with Fleet() as fleet, _client(fleet) as client, ThreadPoolExecutor(1) as pool:
        for number in range(starts):
            name = f"s{number}"

            def call(peer: str = name) -> float:
                client.request("work.echo", b"first 0", timeout=30.0, peer=peer)
                return time.monotonic()

            answered = pool.submit(call)
            node = fleet.launch(name)
            starts_at = node.ready().starts_at
            first_ms.append(_ms(answered.result() - starts_at))
            node.terminate()
            node.wait()
    return Discovery(first_ms)


def discover_many(processes: int = 10, each: int = 20) -> Discovery:
    """Start many servers at once while a client waits for all of them; the time is from the last bind."""
    count = processes * each
    with Fleet() as fleet, _client(fleet) as client, ThreadPoolExecutor(1) as pool:

        def wait() -> float:
            client.wait_for(count, service="work", timeout=60.0)
            return time.monotonic()

        alive = pool.submit(wait)
        nodes = [fleet.launch(f"p{number}", count=each) for number in range(processes)]
        last = max(node.ready().starts_at for node in nodes for _ in range(each))
        return Discovery([_ms(alive.result() - last)])


def outage(kind: str, workers: int, trials: int = 3, rate: float = 200.0) -> Outage:
    """Make calls to three servers from threads, and have a fault in the middle of each trial.

    Args:
        kind: KILL, FREEZE or RESTART.
        workers: Threads that share the calls; with one they are strictly sequential.
        trials: How often.
        rate: Calls a second.
    """
    result = Outage()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "runs"
        with Fleet(log) as fleet, _client(fleet) as client:
            nodes: dict[str, Node] = {}
            for _ in range(trials):
                _replace(fleet, nodes)
                client.wait_for(3, service="work")
                with Pace(client, rate, workers, _HOLD_S, _TIMEOUT_S) as pace:
                    time.sleep(_QUIET_S)
                    faults = _inflict(kind, fleet, nodes, _busiest(client.servers()))
                    time.sleep(_QUIET_S)
                _measure(result, pace.done, faults)
        result.expired_runs = sum(run["at"] > run["deadline"] for run in read_runs(log))
    return result


def outage_in_flight(kind: str, in_flight: int, trials: int = 3) -> Outage:
    """Do what `outage` does, with an AsyncClient that keeps `in_flight` calls open."""
    return asyncio.run(_outage_in_flight(kind, in_flight, trials))


async def _outage_in_flight(kind: str, in_flight: int, trials: int) -> Outage:
    result = Outage()
    with Fleet() as fleet:
        nodes: dict[str, Node] = {}
        async with _async_client(fleet) as client:
            for _ in range(trials):
                await asyncio.to_thread(_replace, fleet, nodes)
                await client.wait_for(3, service="work")
                async with AsyncPace(client, in_flight, timeout_s=_TIMEOUT_S) as pace:
                    await asyncio.sleep(_QUIET_S)
                    faults = await asyncio.to_thread(_inflict, kind, fleet, nodes, _busiest(client.servers()))
                    await asyncio.sleep(_QUIET_S)
                _measure(result, pace.done, faults)
    return result


def _busiest(servers: list[ServerView]) -> str:
    return max(servers, key=lambda server: (server.state == "alive", server.in_flight, server.answered)).name


def _inflict(kind: str, fleet: Fleet, nodes: dict[str, Node], busiest: str) -> list[float]:
    """Do it to the busiest server, or to each in turn; return the times of the faults."""
    if kind == RESTART:
        return [_restart(fleet, nodes, name) for name in list(nodes)]
    node = nodes[busiest]
    at = time.monotonic()
    if kind == KILL:
        node.kill()
        del nodes[busiest]
    else:
        node.freeze()
        time.sleep(_FROZEN_S)
        node.thaw()
    return [at]


def _restart(fleet: Fleet, nodes: dict[str, Node], name: str) -> float:
    node = nodes.pop(name)
    at = time.monotonic()
    node.terminate()
    node.wait()
    _replace(fleet, nodes)
    return at


def _replace(fleet: Fleet, nodes: dict[str, Node]) -> None:
    """Start servers until there are three."""
    names = [f"s{fleet.launched + number}" for number in range(1, 4 - len(nodes))]
    nodes.update(zip(names, fleet.start(*names), strict=True))


def _measure(result: Outage, done: list[Done], faults: list[float]) -> None:
    result.count(done)
    result.quiet_ms.append(_ms(longest_gap_s(done, faults[0] - _QUIET_S / 2, faults[0] - 0.05)))
    result.gap_ms.extend(_ms(longest_gap_s(done, at, at + _QUIET_S / 2)) for at in faults)


def stale(calls: int = 1000, timeout_s: float = 0.3) -> Stale:
    """Freeze the only server, make calls that time out, thaw it, and count what it runs."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "runs"
        with Fleet(log) as fleet:
            [node] = fleet.start("only")
            answered = asyncio.run(_call_frozen(fleet, node, calls, timeout_s))
        runs = [run for run in read_runs(log) if run["token"].startswith("stale")]
    return Stale(calls, answered, len(runs))


async def _call_frozen(fleet: Fleet, node: Node, calls: int, timeout_s: float) -> int:
    async with _async_client(fleet) as client:
        await client.wait_for(1, service="work")
        await client.request("work.echo", b"before 0")
        await asyncio.to_thread(node.freeze)
        asked = (client.request("work.echo", b"stale%d 0" % number, timeout=timeout_s) for number in range(calls))
        replies = await asyncio.gather(*asked, return_exceptions=True)
        node.thaw()
        for _ in range(3):  # answered only after whatever lay there before them
            await client.request("work.echo", b"after 0", timeout=10.0)
    return sum(not isinstance(reply, CallError) for reply in replies)


SCENARIOS: dict[str, Callable[[int], Discovery | Outage | Stale]] = {
    "appear-one": lambda trials: discover_one(4 * trials),
    "appear-200": lambda trials: discover_many(),
    "kill-paced": lambda trials: outage(KILL, 8, trials),
    "kill-sequential": lambda trials: outage(KILL, 1, trials),
    "freeze-paced": lambda trials: outage(FREEZE, 8, trials),
    "freeze-sequential": lambda trials: outage(FREEZE, 1, trials),
    "restart-paced": lambda trials: outage(RESTART, 8, trials),
    "restart-sequential": lambda trials: outage(RESTART, 1, trials),
    "kill-50-in-flight": lambda trials: outage_in_flight(KILL, 50, trials),
    "freeze-50-in-flight": lambda trials: outage_in_flight(FREEZE, 50, trials),
    "restart-50-in-flight": lambda trials: outage_in_flight(RESTART, 50, trials),
    "kill-256-in-flight": lambda trials: outage_in_flight(KILL, 256, trials),
    "stale": lambda trials: stale(),
}


def _line(name: str, value: object) -> str:
    return f"  {name:<13}{value}"


def _describe(figures: Discovery | Outage | Stale) -> list[str]:
    lines = []
    for name, value in asdict(figures).items():
        if name.endswith("_ms") and value:
            value = f"median {statistics.median(value):.1f}, worst {max(value):.1f}, of {len(value)}"
        if value or value == 0:
            lines.append(_line(name, value))
    return lines


def main() -> None:
    """Run the scenarios that were named, or all."""
    parser = argparse.ArgumentParser(description="Measure what faults of real servers on loopback cost their callers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to measure: {', '.join(SCENARIOS)}")
    parser.add_argument("--trials", type=int, default=5, help="faults of each kind (default: 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    given = parser.parse_args()
    for name in given.names:
        if name not in SCENARIOS:
            parser.error(f"there is no {name!r}; choose from {', '.join(SCENARIOS)}")
    figures: dict[str, Any] = {}
    for name in given.names or SCENARIOS:
        measured = SCENARIOS[name](given.trials)
        figures[name] = asdict(measured)
        if not given.json:
            print(name, *_describe(measured), sep="\n", flush=True)
    if given.json:
        json.dump(figures, sys.stdout, indent=2)
        print()


if __name__ == "__main__":
    main()
