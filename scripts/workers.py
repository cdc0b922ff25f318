"""Kills workers of `mesh serve --workers` while they run calls, and says what it cost.

    python -m scripts.workers [--kills N] [--workers N] [--rate CALLS] [--json]

Exit code 0: no call was lost, and each replacement answered a client's PING within half a second of the kill; 1: not.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mesh import Client, ServerView
from scripts.pace import Pace, percentile, steady
from scripts.supervised import Supervised
from tests.helpers import wait_until

__all__ = ["Toll", "kill_workers", "main"]

_HOLD_S = 0.05
_REPLACED_S_MAX = 0.5
_APPLICATION = Path(__file__).parent / "workers_app.py"


@dataclass
class Toll:
    """What the kills cost."""

    kills: int = 0
    calls: int = 0
    errors: list[str] = field(default_factory=list)
    """What calls that were lost say."""
    ran: list[int] = field(default_factory=list)
    """Calls that ran in each worker that was killed."""
    replaced_s: list[float] = field(default_factory=list)
    """From each kill until its replacement had answered a PING."""
    serving_s: list[float] = field(default_factory=list)
    """From the supervisor's notice of each death until the replacement served; the rest is the client's finding it."""
    slowest_s: float = 0.0
    """The slowest call."""

    @property
    def is_kept(self) -> bool:
        """Whether everything was as promised."""
        return not self.errors and max(self.replaced_s, default=0.0) <= _REPLACED_S_MAX

    def figures(self) -> dict[str, Any]:
        """Return what is to be printed."""
        shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
        return {
            "kills": self.kills,
            "kills_mid_call": sum(ran > 0 for ran in self.ran),
            "calls": self.calls,
            "lost": len(self.errors),
            "errors": sorted(set(self.errors))[:5],
            **{f"replaced_{name}_ms": _ms(percentile(self.replaced_s, share)) for name, share in shares.items()},
            **{f"serving_{name}_ms": _ms(percentile(self.serving_s, share)) for name, share in shares.items()},
            "slowest_call_ms": _ms(self.slowest_s),
        }


def _ms(seconds: float) -> float:
    return round(seconds * 1000, 1)


def kill_workers(
    kills: int, workers: int = 4, rate: float = 400.0, pause_s: float = 0.3, tell: Callable[[Toll], None] | None = None
) -> Toll:
    """Kill the worker that has served longest, `kills` times, under a load of `rate` calls a second.

    Args:
        kills: How often.
        workers: How many serve.
        rate: Calls a second; each takes 50 ms at its server.
        pause_s: Seconds from the moment when the next spare has loaded to the next kill.
        tell: Called after each kill.
    """
    toll = Toll()
    with Supervised(_APPLICATION, "--workers", str(workers)) as supervised, supervised.client() as client:
        supervised.wait_for("serving", count=workers, deadline_s=30.0)
        client.wait_for(workers, service="work", timeout=10.0)
        with Pace(client, rate, 16, steady("work.nap", _HOLD_S), timeout_s=10.0) as pace:
            for number in range(kills):
                supervised.wait_for("loaded", count=workers + number + 1, deadline_s=30.0)
                time.sleep(pause_s)
                toll.replaced_s.append(_kill_oldest(supervised, client))
                toll.kills += 1
                if tell is not None:
                    tell(toll)
            time.sleep(pause_s)
        toll.calls = len(pace.done)
        toll.errors = [one.error for one in pace.done if one.error]
        toll.slowest_s = max(one.took_s for one in pace.done)
        toll.serving_s = [one["after_s"] for one in supervised.wait_for("serving", workers + kills)[workers:]]
        toll.ran = [one["running"] for one in supervised.wait_for("died", count=kills)]
    return toll


def _kill_oldest(supervised: Supervised, client: Client) -> float:
    """Kill a worker that holds calls, and return the seconds until its replacement has answered a PING."""
    name, pid = min(supervised.pids().items(), key=lambda one: _served_at(supervised, one[1]))
    victim = wait_until(lambda: [view for view in _alive(client, name) if view.in_flight], 30.0, f"calls at {name}")[0]
    killed_at = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: _alive(client, name, victim.peer_id), 30.0, f"another {name}")
    return time.monotonic() - killed_at


def _served_at(supervised: Supervised, pid: int) -> int:
    events = supervised.events
    return max(number for number, one in enumerate(events) if one["event"] == "serving" and one["pid"] == pid)


def _alive(client: Client, name: str, other_than: str = "") -> list[ServerView]:
    views = client.servers()
    return [view for view in views if view.name == name and view.peer_id != other_than and view.state == "alive"]


def main(argv: list[str] | None = None) -> int:
    """Run what the arguments ask for; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.workers", description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="how often a worker is killed (default 100)")
    parser.add_argument("--workers", type=int, default=4, help="how many serve (default 4)")
    parser.add_argument("--rate", type=float, default=400.0, help="calls a second (default 400)")
    parser.add_argument(
        "--pause", type=float, default=0.3, help="seconds from each loaded spare to the next kill (default 0.3)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    given = parser.parse_args(argv)
    if given.kills < 1 or given.workers < 2 or given.rate <= 0:
        parser.error("it takes at least one kill, two workers, and a rate above 0")
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=given.kills)

        def tell(toll: Toll) -> None:
            bar.update(task, completed=toll.kills, description=f"worst {max(toll.replaced_s) * 1000:.0f} ms")
            if not console.is_terminal and toll.kills % 50 == 0:
                console.print(f"{toll.kills} kills, worst replacement {max(toll.replaced_s) * 1000:.0f} ms")

        toll = kill_workers(given.kills, given.workers, given.rate, given.pause, tell)
    if given.json:
        print(json.dumps(toll.figures()))
    else:
        for name, value in toll.figures().items():
            print(f"{name:<18}{value}")
    return 0 if toll.is_kept else 1


if __name__ == "__main__":
    sys.exit(main())
