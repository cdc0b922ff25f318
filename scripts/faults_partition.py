"""Hosts that are cut off and come back: how long until calls reach their servers again, and who was born meanwhile.

Every host is a network namespace on a bridge, so this needs root; the way back begins with the ARP of the kernel.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from scripts.faults_report import Finding, Report, spread
from tests.e2e.hosts import Caller, Lan, serve
from tests.helpers import wait_until

__all__ = ["Partitions", "partitions"]

_FLOW_S = 1.0
_FOUND_S = 2.0
_CUTS_S = (0.3, 1.8, 6.0, 15.0)
"""Shorter and longer than the silence (1.5 s) after which heartbeats take a connection down, and longer than the kernel
believes an address of the link layer (5 s and three probes): then it asks for that once a second."""
_PHASE_S = 1.0
"""Added at random, so that a heal meets every phase of what is repeated."""
_BORN_EVERY = 3
_TIMEOUT_S = 60.0
"""Calls wait for the heal."""
_RATE = 500.0
"""Calls a second, so that a server that is back is called at once."""


@dataclass
class Partitions:
    """How long it took, each time."""

    calls: int = 0
    failed: int = 0
    flow_s: dict[str, list[float]] = field(default_factory=dict)
    """From each heal until a call crossed what had been cut, by what that was."""
    all_s: list[float] = field(default_factory=list)
    """From each heal of the client's way until both servers had answered."""
    found_s: list[float] = field(default_factory=list)
    """From each heal until a server answered that was started during the partition."""

    def report(self) -> Report:
        """Hold the slowest against the promises."""
        slowest_s = max(itertools.chain(*self.flow_s.values()))
        findings = (
            Finding("calls failed", self.failed, 0, why=f"of {self.calls}"),
            Finding("calls flow after the heal", slowest_s, _FLOW_S, "s"),
            Finding("a server born meanwhile is found", max(self.found_s), _FOUND_S, "s"),
        )
        notes = {what: spread([1000.0 * one for one in times]) for what, times in self.flow_s.items()}
        notes["all servers of a client"] = spread([1000.0 * one for one in self.all_s])
        return Report(findings, notes | {"born meanwhile": spread([1000.0 * one for one in self.found_s])})


def partitions(trials: int, seed: int) -> Partitions:
    """Cut off a server, the client and a part of the switch in turn, `trials` times each, and heal it."""
    rng = random.Random(seed)
    found = Partitions()
    with (
        Lan("a", "b", "c") as lan,
        lan.caller("c", "--rate", str(_RATE), "--timeout", str(_TIMEOUT_S)) as caller,
        lan.spawn("a", *serve("a")),
        lan.spawn("b", *serve("b")),
    ):
        caller.wait_alive("a", "b")
        cuts: tuple[tuple[str, str, Callable[[str], None], Callable[[str], None]], ...] = (
            ("cable of a server", "a", lan.down, lan.up),
            ("cable of the client", "c", lan.down, lan.up),
            ("switch before a server", "a", lan.unplug, lan.plug),
            ("switch before the client", "c", lan.unplug, lan.plug),
        )
        for number, (what, host, cut, heal) in enumerate(cuts * trials):
            name = f"born{number}" if number % _BORN_EVERY == 0 else ""
            with contextlib.ExitStack() as born:
                cut(host)
                if name:
                    newcomer = born.enter_context(lan.spawn(host if host == "a" else "b", *serve(name)))
                    newcomer.wait_line(f'"name": "{name}"', 15.0)
                time.sleep(_CUTS_S[number // len(cuts) % len(_CUTS_S)] + rng.random() * _PHASE_S)
                heal(host)
                healed_at = time.monotonic()
                took_s = [caller.answered(each, healed_at) for each in (("a",) if host == "a" else ("a", "b"))]
                found.flow_s.setdefault(what, []).append(min(took_s))
                if host == "c":
                    found.all_s.append(max(took_s))
                if name:
                    found.found_s.append(caller.answered(name, healed_at))
            _settle(caller)
        found.calls = len(caller.calls)
        found.failed = sum(bool(call.error) for call in caller.calls)
    return found


def _settle(caller: Caller) -> None:
    """Wait until both servers are alive, and no others, and longer than a server that is back starts slowly."""
    wait_until(lambda: caller.alive == {"a", "b"}, 20.0, f"a and b to be alive: {caller.servers}")
    time.sleep(1.5)
