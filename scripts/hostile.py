"""What hostile peers can do to live servers, clients and discovery, on this machine's loopback.

    python -m scripts.hostile                           # everything, some five minutes
    python -m scripts.hostile fuzz --runs 100000        # random and damaged messages at a live server
    python -m scripts.hostile bomb never-reads          # attacks by name
    python -m scripts.hostile discovery --seconds 30    # false advertisements

In each an honest client calls all the time. What is random follows from --seed, which is printed. The exit status is 1
if a promise was broken: a process that ended or hangs, an honest call that failed, memory that grew by more than 16 MB
(for `never-reads` by what may wait for a client), a call that went to a rogue, a healthy server that was dropped.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.progress import Progress

from scripts.hostile_attacks import ATTACKS, attack
from scripts.hostile_client import CONDUCTS, meet
from scripts.hostile_discovery import flood
from scripts.hostile_server import Felt, Prey, fuzz

__all__ = ["GROWTH_MB_MAX", "main"]

GROWTH_MB_MAX = 16.0
_EXEMPT_MB = {"never-reads": 300.0, "half-open": 40.0, "discovery": 64.0}
"""Attacks of which something stays: answers that nobody reads, until they are dropped; a thousand false servers."""
Tell = Callable[[float], None]


def _problems(name: str, felt: Felt) -> list[str]:
    problems = [f"an honest call failed: {error}" for error in felt.errors]
    grown_max = _EXEMPT_MB.get(name, GROWTH_MB_MAX)
    if felt.grown_mb > grown_max:
        problems.append(f"memory grew by {felt.grown_mb:g} MB, more than {grown_max:g}")
    if not felt.calls:
        problems.append("the honest client made no call")
    return problems


def _fuzz(given: argparse.Namespace, kind: str, tell: Tell) -> tuple[dict[str, Any], list[str]]:
    with Prey(kind) as prey:
        fuzz(prey, given.runs, given.seed, lambda done: tell(done / given.runs))
        prey.calm(8.0)
    return {**asdict(prey.felt), "grown_mb": prey.felt.grown_mb, "messages": given.runs}, _problems("fuzz", prey.felt)


def _attack(name: str, given: argparse.Namespace, kind: str, tell: Tell) -> tuple[dict[str, Any], list[str]]:
    felt = attack(name, kind, given.seed)
    return {**asdict(felt), "grown_mb": felt.grown_mb}, _problems(name, felt)


def _client(name: str, given: argparse.Namespace, tell: Tell) -> tuple[dict[str, Any], list[str]]:
    with Prey("async") as prey:
        felt, villain = meet(name, prey.endpoint, given.seed, 4.0)
    figures = {**asdict(felt), "grown_mb": felt.grown_mb, "villain_calls": villain.calls, "dials": villain.dials}
    # A villain that floods has its memory freed only when it is cut.
    return figures, [problem for problem in _problems(name, felt) if name != "bomb" or "memory" not in problem]


def _discovery(given: argparse.Namespace, tell: Tell) -> tuple[dict[str, Any], list[str]]:
    result = flood(given.seconds, given.rate, given.seed, lambda done: tell(done / given.seconds))
    problems = _problems("discovery", result.felt)
    if result.rogue_calls:
        problems.append(f"{result.rogue_calls} calls went to a rogue that answers no PING")
    if result.healthy_alive < 3:
        problems.append(f"only {result.healthy_alive} of 3 healthy servers are alive")
    return {**asdict(result), "grown_mb": result.felt.grown_mb}, problems


def _scenarios(given: argparse.Namespace) -> dict[str, Callable[[Tell], tuple[dict[str, Any], list[str]]]]:
    scenarios: dict[str, Callable[[Tell], tuple[dict[str, Any], list[str]]]] = {}
    for kind in ("sync", "async"):
        scenarios[f"fuzz {kind}"] = lambda tell, kind=kind: _fuzz(given, kind, tell)  # type: ignore[misc]
        for name in ATTACKS:
            scenarios[f"{name} {kind}"] = lambda tell, name=name, kind=kind: _attack(name, given, kind, tell)  # type: ignore[misc]
    for name in CONDUCTS:
        scenarios[f"client {name}"] = lambda tell, name=name: _client(name, given, tell)  # type: ignore[misc]
    scenarios["discovery"] = lambda tell: _discovery(given, tell)
    return scenarios


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was named, or everything; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="hostile", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    words = ["fuzz", *ATTACKS, "client", *CONDUCTS, "discovery"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(dict.fromkeys(words)))
    parser.add_argument("--runs", type=int, default=100_000, help="messages of `fuzz` (100000)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the attack of `discovery` (30)")
    parser.add_argument("--rate", type=float, default=1000.0, help="packets a second of `discovery` (1000)")
    parser.add_argument("--kind", choices=("sync", "async"), help="attack only this kind of server")
    parser.add_argument("--seed", type=int, default=1, help="beginning of the random sequence (1)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a scenario")
    given = parser.parse_args(argv)
    for name in given.names:
        if name not in words:
            parser.error(f"there is no {name!r}; choose from {', '.join(dict.fromkeys(words))}")
    console = Console(stderr=given.json)
    failed = False
    for title, run in _scenarios(given).items():
        parts = title.split()
        if given.names and not set(parts) & set(given.names):
            continue
        if given.kind and parts[-1] in ("sync", "async") and parts[-1] != given.kind:
            continue
        with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
            task = progress.add_task(title, total=1.0)
            try:
                figures, problems = run(lambda share, task=task: progress.update(task, completed=share))  # type: ignore[misc]
            except AssertionError as error:
                figures, problems = {}, [str(error)]
        failed |= bool(problems)
        if given.json:
            print(json.dumps({"scenario": title, "seed": given.seed, **figures, "problems": problems}), flush=True)
        else:
            _print(console, title, figures, problems, given.seed)
    return int(failed)


def _print(console: Console, title: str, figures: dict[str, Any], problems: list[str], seed: int) -> None:
    felt = {**figures.pop("felt", {}), **figures}
    shown = ", ".join(f"{name} {value}" for name, value in felt.items() if name != "errors")
    verdict = "; ".join(problems) or "ok"
    console.print(f"{title}: {verdict} (seed {seed}; {shown})", highlight=False, markup=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(main())
