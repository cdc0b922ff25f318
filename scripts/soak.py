"""Runs simulated worlds by the thousand, and says how to repeat those that broke a promise.

    python -m scripts.soak [--minutes N]                    worlds of random seeds, for a while
    python -m scripts.soak --seeds FIRST:LAST               these worlds, without LAST; to go on, begin later
    python -m scripts.soak --seed SEED                      this world only, with its trace

Progress on a terminal, a line every ten seconds elsewhere; what the worlds have met at the end. Stops at the first
broken promise unless told to keep going. Exit code 0: every promise was kept; 1: one was not; 130: interrupted. A seed
that has found something belongs into tests/sim/seeds.txt.
"""

from __future__ import annotations

import argparse
import gc
import itertools
import json
import multiprocessing
import os
import random
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from mesh.sim import World
from mesh.sim.checkers import run_checked
from mesh.sim.coverage import Coverage, met
from mesh.sim.worlds import random_world

__all__ = ["main"]

_LINE_S = 10.0
_SHOWN = 5
"""Violations of one world that are printed."""
_CALLS = 80
_SERVERS_MAX = 10_000
_BATCH_SERVERS = 1000
"""Servers, over all its worlds, that one batch has about: it takes a second or two."""
_GARBAGE_SERVERS = 500
"""After so many servers what their worlds leave behind is collected: not more often, for each time costs as much."""
_TWICE_EVERY = 100
"""Every world of so many is run twice: the same seed gives the same trace."""


@dataclass
class _Worlds:
    """Which worlds, and how each is drawn."""

    seeds: Sequence[int]
    servers: int | None
    calls: int


@dataclass
class _Tally:
    """What has been run so far."""

    coverage: Coverage = field(default_factory=Coverage)
    broken: dict[int, list[str]] = field(default_factory=dict)
    """Violations, by seed."""
    recovered_s: float = 0.0
    """The longest that any world took to recover."""

    def merge(self, other: _Tally) -> None:
        self.coverage.merge(other.coverage)
        self.broken.update(other.broken)
        self.recovered_s = max(self.recovered_s, other.recovered_s)

    def __str__(self) -> str:
        totals = self.coverage.totals
        minutes = totals["milliseconds"] / 60_000
        return (
            f"{self.coverage.worlds} worlds, {totals['call asked']} calls in {minutes:.1f} virtual minutes, "
            f"{len(self.broken)} broken"
        )


def main(argv: list[str] | None = None) -> int:
    """Run what the arguments ask for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.soak", description=__doc__.partition("\n")[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--minutes", type=float, default=1.0, help="random seeds, for so long (default 1)")
    which.add_argument("--seeds", type=_seed_range, metavar="FIRST:LAST", help="the seeds from FIRST to before LAST")
    which.add_argument("--seed", type=int, help="run only the world of this seed, and print its trace")
    parser.add_argument("--servers", type=int, help="servers of each world (default: random, 1 to 13)")
    parser.add_argument("--calls", type=int, default=_CALLS, help=f"calls of each world (default {_CALLS})")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--keep-going", action="store_true", help="do not stop at the first broken promise")
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    options = parser.parse_args(argv)
    servers = 1 if options.servers is None else options.servers
    if options.calls < 1 or options.jobs < 1 or not 1 <= servers <= _SERVERS_MAX:
        parser.error(f"it takes at least one call, one job, and 1 to {_SERVERS_MAX} servers")
    if options.seed is not None:
        world, found = _run(options.seed, options.servers, options.calls, keep_trace=True)
        print("\n".join(world.history.trace if world is not None else []))
        print("\n".join(found) or "every promise was kept", file=sys.stderr)
        return 1 if found else 0
    return _soak(options)


def _seed_range(text: str) -> range:
    first, _, last = text.partition(":")
    seeds = range(int(first), int(last))
    if not seeds:
        raise ValueError("no seeds")
    return seeds


# -- one process


def _run(seed: int, servers: int | None, calls: int, *, keep_trace: bool) -> tuple[World | None, list[str]]:
    """Return a world that has been run, and what is wrong with it; an exception out of a core is wrong as well."""
    world = None
    try:
        world, workload = random_world(seed, servers, calls, keep_trace=keep_trace)
        return world, run_checked(world, workload)
    except Exception:
        return world, traceback.format_exc().splitlines()


def _begin_process() -> None:
    """Leave the machine to others, and the garbage to `_run_batch`."""
    os.nice(19)
    gc.freeze()
    gc.disable()


def _run_batch(worlds: _Worlds) -> _Tally:
    tally = _Tally()
    servers_since = 0
    for seed in worlds.seeds:
        world, found = _run(seed, worlds.servers, worlds.calls, keep_trace=False)
        if world is not None and not found and seed % _TWICE_EVERY == 0:
            again, found = _run(seed, worlds.servers, worlds.calls, keep_trace=False)
            if again is None or (again.history.digest, again.network.digest) != (
                world.history.digest,
                world.network.digest,
            ):
                found = [*found, "the same seed gave another trace"]
        if found:
            tally.broken[seed] = found
        if world is not None:
            tally.coverage.add(met(world))
            tally.recovered_s = max(tally.recovered_s, world.recovered_s)
            servers_since += len(world.servers)
        if servers_since > _GARBAGE_SERVERS:
            servers_since = 0
            del world
            gc.collect()
    return tally


# -- all of them


def _batches(options: argparse.Namespace) -> Iterator[_Worlds]:
    size = max(1, _BATCH_SERVERS // (options.servers or 5))
    if options.seeds is not None:
        for first in range(options.seeds.start, options.seeds.stop, size):
            yield _Worlds(range(first, min(first + size, options.seeds.stop)), options.servers, options.calls)
        return
    source = random.SystemRandom()
    until = time.monotonic() + options.minutes * 60.0
    while time.monotonic() < until:
        yield _Worlds([source.getrandbits(32) for _ in range(size)], options.servers, options.calls)


def _results(options: argparse.Namespace) -> Iterator[tuple[_Worlds, _Tally]]:
    """Yield batches with their results; with several processes, in the order in which they end."""
    batches = _batches(options)
    if options.jobs == 1:
        for worlds in batches:
            yield worlds, _run_batch(worlds)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context, _begin_process) as pool:
        pending: dict[Future[_Tally], _Worlds] = {}
        try:
            while True:
                for worlds in itertools.islice(batches, max(0, 2 * options.jobs - len(pending))):
                    pending[pool.submit(_run_batch, worlds)] = worlds
                if not pending:
                    return
                done, _ = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    yield pending.pop(future), future.result()
        finally:
            for future in pending:
                future.cancel()


def _soak(options: argparse.Namespace) -> int:
    console, tally = Console(highlight=False, stderr=options.json), _Tally()
    began_at = time.monotonic()
    line_at = began_at + _LINE_S
    unfinished = dict.fromkeys(options.seeds or ())
    interrupted = False
    bar = Progress(
        BarColumn(),
        TextColumn("{task.description}"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task = bar.add_task("", total=len(unfinished) or options.minutes * 60.0)
        results = _results(options)
        try:
            for worlds, result in results:
                tally.merge(result)
                for seed in worlds.seeds:
                    unfinished.pop(seed, None)
                for seed, found in result.broken.items():
                    _tell(console, options, seed, found)
                elapsed_s = time.monotonic() - began_at
                done = len(options.seeds) - len(unfinished) if options.seeds else elapsed_s
                bar.update(task, completed=done, description=str(tally))
                if not console.is_terminal and time.monotonic() >= line_at:
                    line_at += _LINE_S
                    console.print(f"{tally}; {_left(unfinished)}", soft_wrap=True)
                if tally.broken and not options.keep_going:
                    break
        except KeyboardInterrupt:
            interrupted = True
        finally:
            results.close()  # type: ignore[attr-defined]
    _conclude(console, options, tally, time.monotonic() - began_at, _left(unfinished))
    return 130 if interrupted else 1 if tally.broken else 0


def _left(unfinished: dict[int, None]) -> str:
    """Say which seeds are left: from the first that is not done, though some behind it may be."""
    return f"left: --seeds {next(iter(unfinished))}:{next(reversed(unfinished)) + 1}" if unfinished else "none left"


def _tell(console: Console, options: argparse.Namespace, seed: int, found: list[str]) -> None:
    given = f" --servers {options.servers}" if options.servers is not None else ""
    console.print(f"seed={seed} commit={_commit()}: {len(found)} violations", style="red", soft_wrap=True)
    console.print("\n".join(f"    {line}" for line in found[-_SHOWN:]), markup=False, soft_wrap=True)
    console.print(f"    python -m scripts.soak --seed {seed} --calls {options.calls}{given}", soft_wrap=True)


def _conclude(console: Console, options: argparse.Namespace, tally: _Tally, took_s: float, left: str) -> None:
    if options.json:
        result = {
            "commit": _commit(),
            "worlds": tally.coverage.worlds,
            "servers": options.servers,
            "calls": options.calls,
            "jobs": options.jobs,
            "broken": sorted(tally.broken),
            "took_s": round(took_s, 1),
            "recovered_max_s": round(tally.recovered_s, 2),
            "left": left,
            "met": {name: {"total": total, "worlds": worlds} for name, total, worlds in tally.coverage.rows()},
        }
        print(json.dumps(result))
        return
    table = Table("met", "in all", "worlds", box=None, header_style="")
    for name, total, worlds in tally.coverage.rows():
        table.add_row(name, str(total), str(worlds))
    console.print(table)
    per_world_ms = 1000.0 * took_s * options.jobs / max(1, tally.coverage.worlds)
    console.print(
        f"{tally}; {took_s:.0f} s, {per_world_ms:.0f} ms a world and process; "
        f"the slowest recovered in {tally.recovered_s:.2f} s; {left}",
        soft_wrap=True,
    )


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
