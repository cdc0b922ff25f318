"""What faults cost: kills, freezes, slows and restarts real servers on loopback, and holds it against the promises.

    python -m scripts.faults [all | NAME…] [--json] [--trials N] [--seconds N] [--seed N]

Everything takes five minutes on a quiet machine. A figure that other work on the machine may have spoilt has a
yardstick of the same run beside it: the time before the fault. Exit code 1: a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable

from rich.console import Console

from mesh import MeshError
from scripts.faults_discovery import discover_many, discover_one
from scripts.faults_outage import FREEZE, KILL, RESTART, Setting, outage
from scripts.faults_partition import partitions
from scripts.faults_report import Finding, Report, Result, as_json, print_report
from scripts.faults_slow import all_slow, flapping, overload, slow_one
from scripts.faults_soak import soak
from scripts.faults_stale import stale

__all__ = ["EXPERIMENTS", "main"]

_ASYNC = Setting()
_THREADS = Setting(workers=16)
_SEQUENTIAL = Setting(rate=200.0, workers=1, hold_s=0.003)
_IN_FLIGHT = Setting(hold_s=0.25)

EXPERIMENTS: dict[str, Callable[[argparse.Namespace], Result]] = {
    "appear-one": lambda given: discover_one(4 * given.trials),
    "appear-200": lambda given: discover_many(),
    "kill-async": lambda given: outage(KILL, _ASYNC, given.trials),
    "kill-threads": lambda given: outage(KILL, _THREADS, given.trials),
    "kill-sequential": lambda given: outage(KILL, _SEQUENTIAL, given.trials),
    "kill-in-flight": lambda given: outage(KILL, _IN_FLIGHT, given.trials),
    "stop-async": lambda given: outage(FREEZE, _ASYNC, given.trials),
    "stop-threads": lambda given: outage(FREEZE, _THREADS, given.trials),
    "stop-sequential": lambda given: outage(FREEZE, _SEQUENTIAL, given.trials),
    "restart-async": lambda given: outage(RESTART, _ASYNC, given.trials),
    "restart-threads": lambda given: outage(RESTART, _THREADS, given.trials),
    "restart-sequential": lambda given: outage(RESTART, _SEQUENTIAL, given.trials),
    "thaw": lambda given: stale(),
    "slow-one": lambda given: slow_one(),
    "all-slow": lambda given: all_slow(),
    "overload": lambda given: overload(),
    "flapping": lambda given: flapping(),
    "partition": lambda given: partitions(given.trials, given.seed),
    "soak": lambda given: soak(given.seconds, given.seed),
}
_ALL = "all"


def _arguments() -> argparse.Namespace:
    names = ", ".join(EXPERIMENTS)
    parser = argparse.ArgumentParser(description="Measure what faults of real servers on loopback cost their callers.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to do to them (default: {_ALL}): {names}")
    parser.add_argument("--trials", type=int, default=4, help="faults of each kind (default: 4)")
    parser.add_argument("--seconds", type=float, default=60.0, help="length of the soak (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="of the soak and of the partitions (default: 1)")
    parser.add_argument("--json", action="store_true", help="print a JSON object; the tables go to standard error")
    given = parser.parse_args()
    for name in given.names:
        if name != _ALL and name not in EXPERIMENTS:
            parser.error(f"there is no {name!r}; choose from {_ALL}, {names}")
    if given.trials < 1 or given.seconds <= 0:
        parser.error("--trials takes a number from 1, --seconds one above 0")
    if not given.names or _ALL in given.names:
        given.names = list(EXPERIMENTS)
    return given


def _report(name: str, given: argparse.Namespace) -> Report:
    """Run one experiment; one that cannot go on has broken a promise, and the others are run all the same."""
    try:
        return EXPERIMENTS[name](given).report()
    except (MeshError, RuntimeError, TimeoutError) as error:
        return Report((Finding("experiments that could not go on", 1, 0),), {"error": str(error)})


def main() -> int:
    """Run the experiments that were named, or all; return the exit code."""
    given = _arguments()
    console = Console(stderr=given.json, highlight=False)
    if not console.is_terminal:
        console.width = 128
    reports = []
    begun_at = time.monotonic()
    for name in given.names:
        at = time.monotonic()
        with console.status(name):
            report = _report(name, given)
        took_s = time.monotonic() - at
        print_report(console, name, report, took_s)
        reports.append(as_json(name, report, took_s))
    broken = [report["name"] for report in reports if not report["kept"]]
    console.print(
        f"{len(reports) - len(broken)} of {len(reports)} kept their promises in {time.monotonic() - begun_at:.0f} s"
    )
    if given.json:
        machine = {"cpus": os.cpu_count(), "load": os.getloadavg()}
        json.dump({"broken": broken, "machine": machine, "experiments": reports}, sys.stdout, indent=2)
        print()
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
