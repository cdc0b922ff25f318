"""What hostile callers, and servers that die, can do to those who call through a gateway; on loopback.

    python -m scripts.gateway_abuse                                    # everything, a minute and a half
    python -m scripts.gateway_abuse slow-head half-open --count 10000  # attacks by name
    python -m scripts.gateway_abuse kills --kills 100                  # servers killed with -9 under load

Meanwhile honest callers ask all the time: some over connections that are kept, one over a new connection each time. The
exit status is 1 if one of their requests failed, if hostile ones were answered with a status that is not theirs, or if
the gateway grew by more than 64 MB.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from scripts.gateway_attacks import ATTACKS, EXPECTED
from scripts.gateway_load import Load, Tally, request
from scripts.gateway_stage import Stage
from scripts.pace import percentile
from scripts.usage import resident_octets

__all__ = ["GROWTH_MB_MAX", "Result", "attack", "kills", "main"]

GROWTH_MB_MAX = 64.0
_EXEMPT_MB = dict.fromkeys(["bad-json", "endless-body", "never-reads"], 400.0)
"""Attacks against which 256 MiB of bodies may be held (GatewaySettings.bodies_max)."""
_CALLERS = 4
_ASKED = request("/v1/call/work/add", b'{"a": 2, "b": 3}')
_NEWCOMER = request("/v1/call/work/add", b'{"a": 2, "b": 3}', connection="close")
_PAUSE_S = 0.05
_MB = 1e6


@dataclass
class Result:
    """What one scenario did to the honest callers."""

    name: str
    answered: int = 0
    failed: int = 0
    newcomers: int = 0
    """Requests over a connection of their own, among the answered."""
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    worst_ms: float = 0.0
    grown_mb: float = 0.0
    """By how much the memory of the gateway was more at the end than at the beginning."""
    hostile: dict[str, int] = field(default_factory=dict)
    """Statuses that the hostile callers got; `none`: they got none."""
    killed: int = 0
    problems: list[str] = field(default_factory=list)


class _Honest:
    """Callers who ask until the end of the `with` block, from a loop in a thread."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._kept = Load(port, _ASKED, _CALLERS)
        self._new = Tally()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="honest")
        self._ended = threading.Event()

    def __enter__(self) -> _Honest:
        """Begin."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ask nothing new; return when all is answered."""
        self._ended.set()
        self._thread.join()

    async def _run(self) -> None:
        await self._kept.start()
        while not self._ended.is_set():
            once = Load(self._port, _NEWCOMER, 1)
            await once.start()
            tally = await once.stop()  # each caller asks at least once
            self._new.statuses += tally.statuses
            self._new.lost += tally.lost
            self._new.failures += tally.failures
            self._new.latencies_s += tally.latencies_s
            await asyncio.sleep(_PAUSE_S)
        await self._kept.stop()

    def tell(self, result: Result) -> None:
        """Write down what came."""
        kept, new = self._kept.tally, self._new
        latencies = sorted(kept.latencies_s + new.latencies_s)
        result.answered, result.newcomers = len(latencies), len(new.latencies_s)
        result.failed = kept.failed + new.failed
        result.p50_ms = round(percentile(latencies, 0.5) * 1e3, 2)
        result.p99_ms = round(percentile(latencies, 0.99) * 1e3, 2)
        result.worst_ms = round(latencies[-1] * 1e3, 2) if latencies else 0.0
        if result.failed:
            result.problems.append(f"{result.failed} honest requests failed: {(kept.failures + new.failures)[:3]}")
        if not result.newcomers:
            result.problems.append("no newcomer was answered")


def attack(name: str, count: int, seconds: float) -> Result:
    """Let so many hostile connections attack for so long, and return what the honest callers felt."""
    result = Result(name)
    with Stage() as stage:
        stage.serve("one")
        pid, port = stage.gateway()
        asyncio.run(Load(port, _ASKED, _CALLERS).run(0.5))
        before = resident_octets(pid)
        with _Honest(port) as honest:
            command = [sys.executable, "-m", "scripts.gateway_attacks", name, str(port), str(count), str(seconds)]
            told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + 120)
        honest.tell(result)
        result.grown_mb = round((resident_octets(pid) - before) / _MB, 1)
    result.hostile = json.loads(told.stdout)
    wrong = {status for status in result.hostile if status.isdigit() and int(status) not in EXPECTED[name]}
    if wrong:
        result.problems.append(f"hostile callers got {', '.join(sorted(wrong))}, not {EXPECTED[name]}")
    grown_max = _EXEMPT_MB.get(name, GROWTH_MB_MAX)
    if result.grown_mb > grown_max:
        result.problems.append(f"the gateway grew by {result.grown_mb} MB, more than {grown_max:g}")
    return result


def kills(count: int, seed: int) -> Result:
    """Kill so many servers with -9 under load, one after the other of three, and start another each time."""
    result = Result("kills")
    rng = random.Random(seed)
    with Stage() as stage:
        servers = stage.serve("server-0", "server-1", "server-2")
        _, port = stage.gateway(servers=3)
        with _Honest(port) as honest:
            for result.killed in range(1, count + 1):
                time.sleep(rng.uniform(0.05, 0.2))
                dying = rng.randrange(len(servers))
                servers[dying].kill()
                [servers[dying]] = stage.serve(f"server-{len(servers) + result.killed}")
        honest.tell(result)
    return result


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was named, or everything; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="gateway_abuse", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join([*ATTACKS, "kills"]))
    parser.add_argument(
        "--count", type=int, default=10_000, help="hostile connections (10000; fewer of those that send much)"
    )
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each (5)")
    parser.add_argument("--kills", type=int, default=20, help="servers that are killed (20)")
    parser.add_argument("--seed", type=int, default=1, help="beginning of the random sequence (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a scenario")
    given = parser.parse_args(argv)
    scenarios: dict[str, Callable[[], Result]] = {
        name: lambda name=name: attack(name, min(given.count, _MOST.get(name, given.count)), given.seconds)  # type: ignore[misc]
        for name in ATTACKS
    }
    scenarios["kills"] = lambda: kills(given.kills, given.seed)
    if unknown := set(given.names) - set(scenarios):
        parser.error(f"there is no {', '.join(sorted(unknown))}; take of {', '.join(scenarios)}")
    failed = 0
    for name in given.names or scenarios:
        result = scenarios[name]()
        failed += bool(result.problems)
        print(json.dumps(asdict(result)) if given.json else _sentence(result), flush=True)
    return 1 if failed else 0


_MOST = {
    "large-body": 50,
    "endless-body": 20,
    "never-reads": 50,
    "header-flood": 500,
    "one-header": 500,
    **dict.fromkeys(["bad-json", "foreign-host", "other-site", "no-http"], 2000),
}
"""Connections of attacks that send much, or ask: more would wait for the attacker's own processor."""


def _sentence(result: Result) -> str:
    hostile: Any = ", ".join(f"{status}: {count}" for status, count in sorted(result.hostile.items()))
    if result.name == "kills":
        hostile = f"{result.killed} killed"
    return (
        f"{'FAILED ' if result.problems else 'ok     '}{result.name:<13}honest {result.answered} "
        f"({result.newcomers} new), failed {result.failed}, p50 {result.p50_ms:g} ms, p99 {result.p99_ms:g}, "
        f"worst {result.worst_ms:g}; grown {result.grown_mb:g} MB; {hostile}"
        + "".join(f"\n        {problem}" for problem in result.problems)
    )


if __name__ == "__main__":
    sys.exit(main())
