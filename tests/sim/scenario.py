"""Scenarios as text: a line that begins with `>` is a command, the lines below it are the trace that it left.

    # What this is about.
    > world seed=1 clients=1 takes_s=0.001
    > add-servers 3
    > advance 0.1s
       0.0012  c1 notes: s1 (tcp://10.0.0.2:5555) is alive

`play` gives the whole text with the traces as they are now; `pytest tests/sim --rewrite` writes it to the file, to be
reviewed like code. Each command is one small function below. After the last one every fault is mended, and the checkers
judge the world.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

from discovery.model import Peer
from mesh.config import ClientConfig, ServerConfig
from mesh.sim import Faults, Handlers, Spread, World
from mesh.sim.checkers import violations
from mesh.sim.server import SERVICE

__all__ = ["Scenario", "ScenarioError", "play"]

_SETTLING_S = 12.0


class ScenarioError(Exception):
    """A command that is unknown, or an expectation that did not come true."""


def play(text: str) -> tuple[str, list[str]]:
    """Return the scenario with the traces of today, and what the checkers found at its end."""
    scenario = Scenario()
    played: list[str] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if line.startswith("#") or not line:
            played.append(line)
        elif line.startswith("> "):
            played.append(line)
            try:
                played += scenario.do(line[2:])
            except ScenarioError as error:
                raise ScenarioError(f"line {number}, {line}: {error}") from None
    world = scenario.world
    world.make_whole()
    world.advance(_SETTLING_S)
    return "\n".join(played) + "\n", violations(world)


def _seconds(text: str) -> float:
    return float(text[:-2]) / 1000.0 if text.endswith("ms") else float(text.removesuffix("s"))


class Scenario:
    """One world, and the commands that act on it."""

    def __init__(self) -> None:
        self.world = World(seed=1)
        self._shown = 0
        self._commands: dict[str, Callable[..., list[str] | None]] = {
            "world": self._make_world,
            "add-servers": lambda count, *takes: self._add_servers(int(count), *takes),
            "call": self._call,
            "kill": self._each(lambda name: self.world.kill(name)),
            "start": self._each(lambda name: self.world.restart(name)),
            "stop": self._each(lambda name: self.world.stop(name)),
            "cont": self._each(lambda name: self.world.thaw(name)),
            "wake": self._each(lambda name: self.world.wake(name)),
            "drain": self._each(lambda name: self.world.drain(name)),
            "take-out": self._each(lambda name: self.world.take_out(name)),
            "take-back": self._each(lambda name: self.world.take_back(name)),
            "quick": self._each(lambda name: self.world.quicken(name)),
            "slow": lambda name, factor: self.world.slow(name, float(factor)),
            "lie": lambda name, kind: self.world.corrupt(name, kind, random.Random(1)),
            "honest": self._each(lambda name: self.world.reform(name)),
            "partition": self._partition,
            "clog": lambda source, target, rate: self.world.clog(source, target, float(rate)),
            "heal": self._heal,
            "forget": self._each(lambda name: self.world.hub.withdraw(self.world.servers[name].peer.peer_id)),
            "announce": self._each(lambda name: self.world.announce(name)),
            "spoof": self._spoof,
            "advance": lambda duration: self.world.advance(_seconds(duration)),
            "expect": self._expect,
            "show": self._show,
        }

    def do(self, line: str) -> list[str]:
        """Do what a line says; return the trace that it left."""
        word, *arguments = line.split()
        if word not in self._commands:
            raise ScenarioError(f"there is no such command; there are {', '.join(self._commands)}")
        shown = self._commands[word](*arguments) or []
        trace = self.world.history.trace
        new, self._shown = trace[self._shown :], len(trace)
        return new + shown

    @staticmethod
    def _each(act: Callable[[str], None]) -> Callable[..., None]:
        def act_on_each(*names: str) -> None:
            for name in names:
                act(name)

        return act_on_each

    def _make_world(self, *settings: str) -> None:
        """`seed= clients= takes_s= threads= delay_s= window= admitted_max= drain_s= retry_min_per_s=`."""
        given = dict(setting.split("=") for setting in settings)
        client = {name: float(given.pop(name)) for name in ("retry_min_per_s",) if name in given}
        server = {name: int(given.pop(name)) for name in ("window", "admitted_max") if name in given}
        self.world = World(
            seed=int(given.pop("seed", "1")),
            clients=int(given.pop("clients", "1")),
            faults=Faults(delay=Spread(float(given.pop("delay_s", "0.0002")))),
            handlers=Handlers(Spread(float(given.pop("takes_s", "0.001"))), int(given.pop("threads", "0"))),
            client_config=ClientConfig(**client),  # type: ignore[arg-type]
            server_config=ServerConfig(drain_s=float(given.pop("drain_s", "1")), **server),  # type: ignore[arg-type]
        )
        if given:
            raise ScenarioError(f"a world has no {', '.join(given)}")

    def _add_servers(self, count: int, *takes: str) -> None:
        for _ in range(count):
            self.world.add_server(Handlers(Spread(_seconds(takes[0]))) if takes else None)

    def _call(self, method: str, *options: str) -> None:
        """`call echo [times 10] [every 2ms] [timeout 1s] [at s1] [from c2]`."""
        given = dict(zip(options[::2], options[1::2], strict=False))
        if len(options) % 2 or given.keys() - {"times", "every", "timeout", "at", "from"}:
            raise ScenarioError(f"a call takes no {' '.join(options)}")
        gap_s = _seconds(given.get("every", "0s"))
        for _ in range(int(given.get("times", "1"))):
            self.world.call(
                given.get("from", "c1"),
                f"{SERVICE}.{method}",
                _seconds(given.get("timeout", "5s")),
                peer=given.get("at", ""),
            )
            self.world.advance(gap_s)

    def _partition(self, source: str, target: str, ways: str = "both") -> None:
        """`partition c1 s1`, or `partition c1 s1 one-way`."""
        self.world.cut(source, target)
        if ways == "both":
            self.world.cut(target, source)

    def _heal(self) -> None:
        for source, target in self.world.network.ways_hindered():
            self.world.heal(source, target)

    def _spoof(self, name: str, victim: str) -> None:
        """Advertise NAME at the address of a server."""
        address = self.world.servers[victim].address
        self.world.hub.announce(Peer(name, name, (SERVICE,), (address,), {}, ("memory",)))

    def _expect(self, what: str, *amount: str) -> None:
        """`expect ok 10`, `expect OutcomeUnknown 1`, `expect runs at-most 12`, `expect open 0`."""
        history = self.world.history
        counts = Counter(ended.outcome for ended in history.ended)
        counts["runs"] = len(history.runs)
        counts["attempts"] = len(history.written)
        counts["open"] = len(history.asked) - len(history.ended) - len(history.abandoned)
        seen, most = counts[what], int(amount[-1])
        if seen != most if len(amount) == 1 else seen > most:
            raise ScenarioError(f"there are {seen} {what}")

    def _show(self, what: str) -> list[str]:
        """`show peers`, `show counters`, `show runs`."""
        shown: list[str] = []
        for name, client in self.world.clients.items():
            if what == "peers":
                for view in client.core.views(self.world.clock.now):
                    note = f", {view.note}" if view.note else ""
                    shown.append(f"           {name} sees {view.name} {view.state}, in flight {view.in_flight}{note}")
            elif what == "counters":
                counters = client.core.counters()
                shown.append(
                    f"           {name}: {counters.calls} calls, {counters.moved} moved, "
                    f"{counters.retries_paid} retries paid, {counters.late_replies} late replies"
                )
        if what == "runs":
            runs = Counter(run.server for run in self.world.history.runs)
            shown.append("           " + ", ".join(f"{name} ran {runs[name]}" for name in self.world.servers))
        return shown
