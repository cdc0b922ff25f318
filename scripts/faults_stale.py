"""Calls that wait in frozen servers until nobody wants their answers any more, and what the servers run of them."""

from __future__ import annotations

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from mesh import CallError
from scripts.faults_report import Finding, Report
from scripts.fleet import Fleet, Node, read_runs
from scripts.pace import LoopClient

__all__ = ["Stale", "stale"]

_TIMEOUT_S = 0.3
_WINDOW = 512
"""Calls that a client gives to one server at a time."""


@dataclass(frozen=True)
class Stale:
    """Calls that nobody waited for any more when their servers thawed."""

    calls: int
    given: int
    """How many of them a frozen server was given."""
    answered: int
    runs: int
    """How many of them a server ran after the thaw."""
    discarded: int
    """Copies of them that the servers say they have discarded."""

    def report(self) -> Report:
        """Hold the runs against none."""
        findings = (
            Finding("expired calls run", self.runs, 0, why=f"of {self.given} given to frozen servers"),
            Finding("expired calls answered", self.answered, 0),
            Finding("expired calls that no server had", self.calls - self.given, 0),
        )
        return Report(findings, {"calls": self.calls, "discarded by the servers": self.discarded})


def stale(calls: int = 10_000, servers: int = 4) -> Stale:
    """Freeze all servers, give them as many calls as they may have, thaw them when those have expired; and again."""
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "runs"
        answered = given = made = 0
        with Fleet(log) as fleet, LoopClient(**fleet.settings) as client:
            nodes = fleet.start(*(f"s{number}" for number in range(servers)))
            client.wait_for(servers, service="work")
            while made < calls:
                _settle(client, nodes)
                for node in nodes:
                    node.freeze()
                count = min(calls - made, servers * _WINDOW)
                outcomes = client.run(_ask(client, made, count))
                made += count
                answered += sum(outcome is None for outcome in outcomes)
                given += sum(outcome is not None and bool(outcome.attempts) for outcome in outcomes)
                for node in nodes:
                    node.thaw()
            _settle(client, nodes)
            stats = [client.call("mesh.stats", peer=node.name) for node in nodes]
        runs = [run for run in read_runs(log) if run["token"].startswith("stale")]
    return Stale(calls, given, answered, len(runs), sum(one["num_expired"] for one in stats))


def _settle(client: LoopClient, nodes: list[Node]) -> None:
    """Get an answer from every server: it comes only after whatever lay there before."""
    for node in nodes:
        for _ in range(3):
            client.run(client.client.request("work.echo", b"after 0", timeout=10.0, peer=node.name))


async def _ask(client: LoopClient, first: int, count: int) -> list[CallError | None]:
    """Make calls that no server will answer in time; return how each ended, None for an answer."""

    async def ask(number: int) -> CallError | None:
        try:
            await client.client.request("work.nap", b"stale%d 0" % number, timeout=_TIMEOUT_S)
        except CallError as error:
            return error
        return None

    return await asyncio.gather(*(ask(number) for number in range(first, first + count)))
