"""How long it takes to begin: a program that makes one call, and a server until its first call."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from scripts.bench_figures import BenchError, Contender, Effort, Limit, Ratio, Sample, Section
from scripts.faults_discovery import discover_one
from scripts.fleet import LOOPBACK, Fleet

__all__ = ["start_section"]

_RUNS_PER_S = 5
"""A program is run once, and then so often for each second of a measurement."""
_CALL = [str(Path(sys.executable).with_name("mesh")), "call", "--raw", "work.echo", "cold 0"]


def _wall_ms(runs: int, command: list[str], **environment: str) -> Sample:
    took_ms = []
    for _ in range(1 + runs):
        began = time.perf_counter()
        try:
            ended = subprocess.run(
                command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
            )
        except FileNotFoundError:
            raise BenchError(f"there is no {command[0]}; install the project into this environment") from None
        took_ms.append((time.perf_counter() - began) * 1000.0)
        if ended.returncode:
            raise BenchError(f"{' '.join(command)} failed: {ended.stderr.strip()}")
    return {"wall_ms": statistics.median(took_ms[1:])}


def _call(runs: int, *, given: bool) -> Sample:
    """Call a server that is given, or found by mDNS; whatever an earlier run left in the cache may be used."""
    with Fleet() as fleet, tempfile.TemporaryDirectory() as cache:
        endpoint = fleet.launch("s1", bind=f"tcp://{LOOPBACK}:0").ready().endpoint
        command = [*_CALL, *(["--server", endpoint] if given else [])]
        return _wall_ms(runs, command, MESH_INTERFACE=LOOPBACK, MESH_REALM=fleet.realm, XDG_CACHE_HOME=cache)


def _first_call() -> Sample:
    return {"wall_ms": discover_one(starts=1).worst_ms}


def start_section(effort: Effort) -> Section:
    """Return the section."""
    runs = max(1, round(_RUNS_PER_S * effort.seconds))
    base, given, found = "python -c 'import zmq'", "mesh call --server", "mesh call, found by mDNS"
    return Section(
        "start",
        (
            Contender(base, lambda: _wall_ms(runs, [sys.executable, "-c", "import zmq"])),
            Contender(given, lambda: _call(runs, given=True)),
            Contender(found, lambda: _call(runs, given=False)),
            Contender("from bind to first call, by mDNS", _first_call),
        ),
        (Ratio(given, base, "wall_ms"), Ratio(found, base, "wall_ms", Limit(at_most=4.0))),
    )
