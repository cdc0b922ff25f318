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
    """Run a program so often, as if it was installed: its first run, which is not counted, leaves the bytecode."""
    with tempfile.TemporaryDirectory() as bytecode:
        compiled = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": bytecode}
        took_ms = _times_ms(runs, command, {**os.environ, **environment, **compiled})
    return {"wall_ms": statistics.median(took_ms[1:])}


def _times_ms(runs: int, command: list[str], environment: dict[str, str]) -> list[float]:
    took_ms = []
    for _ in range(1 + runs):
        began = time.perf_counter()
        try:
            ended = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        except FileNotFoundError:
            raise BenchError(f"there is no {command[0]}; install the project into this environment") from None
        took_ms.append((time.perf_counter() - began) * 1000.0)
        if ended.returncode:
            raise BenchError(f"{' '.join(command)} failed: {ended.stderr.strip()}")
    return took_ms


def _call(runs: int, *more: str, given: bool = False) -> Sample:
    """Call a server that is given, or found; what an earlier run has left in the cache is used."""
    with Fleet() as fleet, tempfile.TemporaryDirectory() as cache:
        endpoint = fleet.launch("s1", bind=f"tcp://{LOOPBACK}:0").ready().endpoint
        command = [*_CALL, *(["--server", endpoint] if given else more)]
        where = {"MESH_INTERFACE": LOOPBACK, "MESH_REALM": fleet.realm, "XDG_CACHE_HOME": cache, "MESH_NO_CACHE": ""}
        return _wall_ms(runs, command, **where)


def _first_call() -> Sample:
    return {"wall_ms": discover_one(starts=1).worst_ms}


def start_section(effort: Effort) -> Section:
    """Return the section."""
    runs = max(1, round(_RUNS_PER_S * effort.seconds))
    base, given = "python -c 'import zmq'", "mesh call --server"
    cached, found = "mesh call, server in the cache", "mesh call --no-cache, by mDNS"
    return Section(
        "start",
        (
            Contender(base, lambda: _wall_ms(runs, [sys.executable, "-c", "import zmq"])),
            Contender(given, lambda: _call(runs, given=True)),
            Contender(cached, lambda: _call(runs)),
            Contender(found, lambda: _call(runs, "--no-cache")),
            Contender("from bind to first call, by mDNS", _first_call),
        ),
        (
            Ratio(given, base, "wall_ms"),
            Ratio(cached, base, "wall_ms", Limit(at_most=4.0)),
            Ratio(found, base, "wall_ms"),
        ),
    )
