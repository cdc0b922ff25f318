"""Runs random simulated worlds for a while, and says how to repeat those that broke a promise.

    python -m scripts.soak [--minutes N] [--servers N] [--calls N]    worlds of random seeds, on one core
    python -m scripts.soak --seed SEED [--servers N] [--calls N]      this world only, with its trace

Progress on a terminal, a line every ten seconds elsewhere. Exit code 0: every promise was kept; 1: one was not. A seed
that has found something belongs into tests/sim/seeds.txt.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mesh.sim import World
from tests.sim.checkers import run_checked
from tests.sim.worlds import random_world

__all__ = ["main"]

_LINE_S = 10.0
_SHOWN = 5
"""Violations of one world that are printed."""
_CALLS = 400


@dataclass
class _Tally:
    """What has been run so far."""

    worlds: int = 0
    calls: int = 0
    virtual_s: float = 0.0
    broken: int = 0

    def __str__(self) -> str:
        minutes = self.virtual_s / 60
        return f"{self.worlds} worlds, {self.calls} calls in {minutes:.1f} virtual minutes, {self.broken} broken"


def main(argv: list[str] | None = None) -> int:
    """Run what the arguments ask for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.soak", description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="how long (default 1)")
    parser.add_argument("--servers", type=int, help="servers of each world (default: random, 1 to 13)")
    parser.add_argument("--calls", type=int, default=_CALLS, help=f"calls of each world (default {_CALLS})")
    parser.add_argument("--seed", type=int, help="run only the world of this seed, and print its trace")
    options = parser.parse_args(argv)
    if options.calls < 1 or (options.servers is not None and not 1 <= options.servers <= 10_000):
        parser.error("a world takes at least one call, and 1 to 10000 servers")
    if options.seed is not None:
        world, found = _run(options.seed, options.servers, options.calls)
        print("\n".join(world.history.trace if world is not None else []))
        print("\n".join(found) or "every promise was kept", file=sys.stderr)
        return 1 if found else 0
    return _soak(options.minutes * 60.0, options.servers, options.calls)


def _run(seed: int, servers: int | None, calls: int) -> tuple[World | None, list[str]]:
    """Return a world that has been run, and what is wrong with it; an exception out of a core is wrong as well."""
    world = None
    try:
        world, workload = random_world(seed, servers, calls)
        return world, run_checked(world, workload)
    except Exception:
        return world, traceback.format_exc().splitlines()


def _soak(duration_s: float, servers: int | None, calls: int) -> int:
    console, tally = Console(highlight=False), _Tally()
    seeds = random.SystemRandom()
    began_at = time.monotonic()
    line_at = began_at + _LINE_S
    bar = Progress(
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task: TaskID = bar.add_task("", total=duration_s)
        while (elapsed_s := time.monotonic() - began_at) < duration_s:
            seed = seeds.getrandbits(32)
            world, found = _run(seed, servers, calls)
            tally.worlds += 1
            tally.broken += bool(found)
            if world is not None:
                tally.calls += len(world.history.asked)
                tally.virtual_s += world.elapsed_s
            if found:
                given = f" --servers {servers}" if servers is not None else ""
                console.print(f"seed={seed} commit={_commit()}: {len(found)} violations", style="red", soft_wrap=True)
                console.print("\n".join(f"    {line}" for line in found[-_SHOWN:]), markup=False, soft_wrap=True)
                console.print(f"    python -m scripts.soak --seed {seed} --calls {calls}{given}", soft_wrap=True)
            bar.update(task, completed=elapsed_s, description=str(tally))
            if not console.is_terminal and time.monotonic() >= line_at:
                line_at += _LINE_S
                console.print(str(tally), soft_wrap=True)
    console.print(str(tally), soft_wrap=True)
    return 1 if tally.broken else 0


def _commit() -> str:
    """Return the short name of the commit that is checked out; `unknown` outside a repository."""
    try:
        asked = subprocess.run(
            ["git", "rev-parse", "--short", "HEAD"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return asked.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
