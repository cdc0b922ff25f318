"""Servers to which something happens all the time, but never to all of them at once."""

from __future__ import annotations

import random
import time
from collections import Counter
from typing import Literal

from mesh import Client
from scripts.fleet import LOOPBACK, Fleet, Node
from scripts.pace import LoopClient

__all__ = ["Chaos"]

_PAUSE_S = (0.1, 0.7)
"""Bounds of the time between two faults."""
_FROZEN_S = (0.05, 1.5)
_ABSENT_S = (0.0, 0.5)
"""Bounds of the time between the end of a killed server and the start of its successor."""
_STARTS_S_MAX = 15.0
_LOOK_S = 0.02


class _Slot:
    """One place in the mesh and the processes that take it, one after the other.

    Args:
        fleet: Launches them.
        number: Part of their names.
        keeps_port: Whether each listens on the port of the one before.
    """

    def __init__(self, fleet: Fleet, number: int, keeps_port: bool) -> None:
        self._fleet = fleet
        self._number = number
        self._keeps_port = keeps_port
        self._bind = f"tcp://{LOOPBACK}:0"
        self._lives = 0
        self._doomed = False
        self.state: Literal["absent", "starting", "serving", "frozen", "leaving"] = "absent"
        self._due_at = 0.0
        """When it is to be started or thawed, or ought to have started."""
        self._node: Node

    @property
    def name(self) -> str:
        """Name of its process, another one in each life."""
        return f"s{self._number}-{self._lives}"

    def look(self, alive: set[str]) -> bool:
        """Do what is due, and tell whether it serves and is known to be alive by its name."""
        due = time.monotonic() >= self._due_at
        if self.state == "absent" and due:
            self._start()
        elif self.state == "starting" and (self.name in alive or self._node.ended or due):
            endpoint = self._node.ready().endpoint  # raises where it has ended instead
            if self._keeps_port:
                self._bind = endpoint
            self.state = "serving"
        elif self.state == "frozen" and due:
            if self._doomed:
                self.kill(0.0)
            else:
                self._node.thaw()
                self.state = "serving"
        elif self.state == "leaving" and self._node.ended:
            self.kill(0.0)
        return self.state == "serving" and self.name in alive

    def kill(self, absent_s: float) -> None:
        """End its process; the next one starts after a while."""
        self._node.close()
        self.state, self._due_at = "absent", time.monotonic() + absent_s

    def stop(self) -> None:
        """Ask it to drain and end; the next one starts when it has."""
        self._node.terminate()
        self.state = "leaving"

    def freeze(self, seconds: float, doomed: bool) -> None:
        """Freeze it for a while; then it goes on or, if `doomed`, is killed."""
        self._node.freeze()
        self._doomed = doomed
        self.state, self._due_at = "frozen", time.monotonic() + seconds

    def _start(self) -> None:
        self._lives += 1
        self._node = self._fleet.launch(self.name, bind=self._bind)
        self.state, self._due_at = "starting", time.monotonic() + _STARTS_S_MAX


class Chaos:
    """Servers that are killed, frozen and restarted at random; at least one at a time is alive to all clients.

    Args:
        fleet: Launches them.
        servers: How many; three of five keep their ports when they are restarted.
        clients: Whose word counts on who is alive.
        rng: Decides what happens to whom, and when.
    """

    def __init__(
        self, fleet: Fleet, servers: int, clients: tuple[Client | LoopClient, ...], rng: random.Random
    ) -> None:
        self._slots = [_Slot(fleet, number, keeps_port=number % 5 < 3) for number in range(servers)]
        self._clients = clients
        self._rng = rng
        self.faults: Counter[str] = Counter()
        """What was done, and how often."""

    def calm(self) -> None:
        """Let all servers come back. Raises TimeoutError."""
        give_up_at = time.monotonic() + 2 * _STARTS_S_MAX
        while missing := set(self._slots).difference(self._healthy()):
            if time.monotonic() > give_up_at:
                seen = {view.name: view.state for client in self._clients for view in client.servers()}
                told = [f"{slot.name} {slot.state} and {seen.get(slot.name, 'not')} seen" for slot in missing]
                raise TimeoutError(f"after {2 * _STARTS_S_MAX:g} s there are still {', '.join(told)}")
            time.sleep(_LOOK_S)

    def rage(self, until: float) -> None:
        """Do something to one server after the other."""
        strikes_at = 0.0
        while (now := time.monotonic()) < until:
            healthy = self._healthy()
            if now >= strikes_at and len(healthy) > 1:
                self._strike(self._rng.choice(healthy))
                strikes_at = now + self._rng.uniform(*_PAUSE_S)
            time.sleep(_LOOK_S)

    def _healthy(self) -> list[_Slot]:
        views = [{server.name for server in client.servers() if server.state == "alive"} for client in self._clients]
        alive = set.intersection(*views)
        return [slot for slot in self._slots if slot.look(alive)]

    def _strike(self, slot: _Slot) -> None:
        what = self._rng.choices(("kill", "freeze", "freeze, then kill", "restart"), (4, 4, 1, 2))[0]
        self.faults[what] += 1
        if what == "kill":
            slot.kill(self._rng.uniform(*_ABSENT_S))
        elif what == "restart":
            slot.stop()
        else:
            slot.freeze(self._rng.uniform(*_FROZEN_S), doomed=what != "freeze")
