"""Five servers under load that are killed, frozen and restarted at random, and what became of the calls.

The client runs in the process that measures, so nothing is kept of a call but counts: its memory is to stay flat.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mesh import Client, OutcomeUnknown
from mesh.io.usage import resident_octets
from scripts.faults_chaos import Chaos
from scripts.faults_report import Finding, Report, ms
from scripts.fleet import Fleet, read_runs
from scripts.pace import AsyncPace, Call, Done, LoopClient, Pace

__all__ = ["Soak", "soak"]

_SERVERS = 5
_HOLD_S_MAX = 0.03
_RATE = 150.0
"""Calls a second of each of the two clients."""
_WORKERS = 8
_WARM_UP = 0.4
"""Share of the time after which memory is to grow no more."""
_RSS_MB_MAX = 8.0
_FREE, _KEYED, _ASKED, _ONCE = "free", "keyed", "asked", "once"
"""Kinds of calls: may be repeated; the same with a key; must not be repeated, as the call says; as the method says."""


@dataclass(frozen=True)
class Footprint:
    """What a process holds."""

    rss_mb: float
    threads: int
    descriptors: int
    objects: Counter[str]

    @classmethod
    def now(cls) -> Footprint:
        """Return that of this process, after a collection."""
        gc.collect()
        objects = Counter(type(one).__name__ for one in gc.get_objects())
        return cls(
            round(resident_octets() / 1e6, 1), threading.active_count(), len(os.listdir("/proc/self/fd")), objects
        )


@dataclass(frozen=True)
class Soak:
    """What became of the calls, and of the process that made them."""

    seed: int
    seconds: float
    calls: dict[str, int]
    """Calls by kind."""
    outcomes: dict[str, int]
    """Calls by kind and outcome."""
    failed: list[str]
    """Errors of calls that may be repeated."""
    stuck: list[str]
    """Errors of other calls, but for those whose outcome is unknown: no server is frozen for as long as they wait."""
    doubled: list[str]
    """Calls that must not be repeated and ran twice."""
    doubled_keys: list[str]
    """Keys that ran twice on one server."""
    faults: Counter[str]
    slowest_ms: dict[str, float]
    """The slowest call of each kind."""
    before: Footprint
    """After the warm-up."""
    after: Footprint
    stragglers: int
    """Calls and tasks that were still open when all had ended."""

    def report(self) -> Report:
        """Hold the figures against the promises."""
        grown = round(self.after.rss_mb - self.before.rss_mb, 1)
        unknown = sum(count for what, count in self.outcomes.items() if what.endswith("OutcomeUnknown"))
        findings = (
            Finding("idempotent calls failed", len(self.failed), 0, why=f"of {self.calls[_FREE] + self.calls[_KEYED]}"),
            Finding("other calls stuck until their deadline", len(self.stuck), 0),
            Finding("other calls run twice", len(self.doubled), 0, why=f"of {self.calls[_ASKED] + self.calls[_ONCE]}"),
            Finding("keys run twice on a server", len(self.doubled_keys), 0, why=f"of {self.calls[_KEYED]}"),
            Finding("memory gained after the warm-up", grown, _RSS_MB_MAX, "MB", f"at the end {self.after.rss_mb} MB"),
            Finding("threads gained after the warm-up", self.after.threads - self.before.threads, 0),
            Finding("calls and tasks left over", self.stragglers, 0),
        )
        gained = self.after.objects - self.before.objects
        notes = {
            "seed": self.seed,
            "faults": dict(self.faults),
            "outcomes": self.outcomes,
            "outcome unknown": unknown,
            "slowest (ms)": self.slowest_ms,
            "descriptors": f"{self.before.descriptors} -> {self.after.descriptors}",
            "objects gained": dict(gained.most_common(5)),
            "errors": [*self.failed[:3], *self.stuck[:3]],
            "ran twice": (self.doubled + self.doubled_keys)[:3],
        }
        return Report(findings, notes)


class _Tally:
    """Counts calls as they end, in whichever thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.failed: list[str] = []
        self.stuck: list[str] = []
        self.slowest_ms: dict[str, float] = {}

    def add(self, done: Done) -> None:
        """Count one call."""
        kind = done.call.token.partition("-")[0]
        with self._lock:
            self.calls[kind] += 1
            self.outcomes[f"{kind} {done.outcome}"] += 1
            self.slowest_ms[kind] = max(self.slowest_ms.get(kind, 0.0), ms(done.took_s))
            if done.error and kind in (_FREE, _KEYED):
                self.failed.append(done.error)
            elif done.error and done.outcome != OutcomeUnknown.__name__:
                self.stuck.append(f"{done.call.token}: {done.error}")


def _mixed(who: str, rng: random.Random) -> Iterator[Call]:
    """Yield calls of all kinds without end; each has a token of its own."""
    number = 0
    while True:
        number += 1
        kind = rng.choice((_FREE, _FREE, _KEYED, _ASKED, _ONCE))
        token = f"{kind}-{who}-{number}"
        body = f"{token} {rng.uniform(0, _HOLD_S_MAX):.4f}".encode()
        # A coroutine that is cancelled has not run, and may run again under the same key; a thread runs to its end.
        method = {_ONCE: "work.once", _KEYED: "work.hold"}.get(kind, "work.nap")
        yield Call(method, body, idempotent=False if kind == _ASKED else None, key=token if kind == _KEYED else None)


def soak(seconds: float = 60.0, seed: int = 1) -> Soak:
    """Load five servers from an AsyncClient and from threads while servers fail at random.

    Args:
        seconds: How long.
        seed: Of the faults and of the calls; what the machine makes of them differs each time.
    """
    tally = _Tally()
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "runs"
        with Fleet(log) as fleet, LoopClient(**fleet.settings) as loop_client, Client(**fleet.settings) as client:
            chaos = Chaos(fleet, _SERVERS, (loop_client, client), random.Random(seed))
            chaos.calm()
            begun_at = time.monotonic()
            calls = [_mixed(who, random.Random(f"{seed} {who}")) for who in ("loop", "threads")]
            with (
                AsyncPace(loop_client, _RATE, calls[0], tell=tally.add),
                Pace(client, _RATE, _WORKERS, calls[1], tell=tally.add),
            ):
                chaos.rage(begun_at + _WARM_UP * seconds)
                before = Footprint.now()
                chaos.rage(begun_at + seconds)
                after = Footprint.now()
                chaos.calm()  # before the last calls: some of them have nobody else to wait for
            stragglers = _stragglers(loop_client, client)
        runs = read_runs(log)
    return Soak(
        seed=seed,
        seconds=seconds,
        calls=dict(tally.calls),
        outcomes=dict(sorted(tally.outcomes.items())),
        failed=tally.failed,
        stuck=tally.stuck,
        doubled=_repeated(run["token"] for run in runs if run["token"].startswith((_ASKED, _ONCE))),
        doubled_keys=_repeated(f"{run['token']} on {run['server']}" for run in runs if run["token"].startswith(_KEYED)),
        faults=chaos.faults,
        slowest_ms=tally.slowest_ms,
        before=before,
        after=after,
        stragglers=stragglers,
    )


def _stragglers(loop_client: LoopClient, client: Client) -> int:
    async def tasks() -> int:
        return len(asyncio.all_tasks()) - 1

    views = [*loop_client.servers(), *client.servers()]
    return loop_client.run(tasks()) + sum(view.in_flight for view in views)


def _repeated(what: Any) -> list[str]:
    return [one for one, count in Counter(what).items() if count > 1]
