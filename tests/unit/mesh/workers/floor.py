"""A supervisor's core with processes that are only told about, and a clock that is turned by hand."""

from __future__ import annotations

import itertools
import random
from collections import deque
from dataclasses import dataclass, field

from mesh.workers.actions import Finish, Kill, Notify, Say, Spawn, Tell
from mesh.workers.events import Died, Event, Heard, ReloadAsked, Running, Spawned, SpawnFailed, StopAsked, Tick
from mesh.workers.messages import (
    Activate,
    Beat,
    Doubt,
    Doubts,
    Drain,
    Failed,
    FromWorker,
    Leaving,
    Loaded,
    Serving,
    ToWorker,
)
from mesh.workers.policy import WorkerPolicy
from mesh.workers.supervisor import SupervisorCore

__all__ = ["KILL", "SEGV", "Fake", "Floor"]

KILL, SEGV = -9, -11


@dataclass
class Fake:
    """A process as the system has it."""

    number: int
    told: list[ToWorker] = field(default_factory=list)
    loaded: bool = False
    serving: bool = False
    hung: bool = False

    @property
    def activated(self) -> Activate | None:
        return next((message for message in self.told if isinstance(message, Activate)), None)

    @property
    def draining(self) -> bool:
        return any(isinstance(message, Drain) for message in self.told)

    @property
    def doubts(self) -> dict[str, Doubt]:
        """What it has been told about calls and not been told to forget."""
        held: dict[str, Doubt] = {}
        for message in self.told:
            if isinstance(message, Activate):
                held.update({doubt.mark: doubt for doubt in message.doubts})
            elif isinstance(message, Doubts):
                held.update({doubt.mark: doubt for doubt in message.changed})
        return {mark: doubt for mark, doubt in held.items() if doubt.deaths}


class Floor:
    """Performs what the core wants on fakes; the names of the methods say what happens to them."""

    def __init__(self, policy: WorkerPolicy, *, ports: bool = False) -> None:
        self.now = 100.0
        self.core = SupervisorCore(policy, random.Random(1), ports, self.now)
        self.fakes: dict[int, Fake] = {}
        self.killed: set[int] = set()
        self.said: list[Say] = []
        self.notified: list[Notify] = []
        self.finish: Finish | None = None
        self.refuses = False
        """Whether the system has no room for another process."""
        self._peers = itertools.count(1)
        self.handle(Tick())

    def handle(self, event: Event) -> None:
        events = deque([event])
        while events:
            for action in self.core.handle(events.popleft(), self.now):
                assert self.finish is None, "nothing follows Finish"
                match action:
                    case Spawn(number):
                        if self.refuses:
                            events.append(SpawnFailed(number, "out of memory"))
                        else:
                            self.fakes[number] = Fake(number)
                            events.append(Spawned(number, 1000 + number))
                    case Tell(number, message):
                        if number in self.fakes:
                            self.fakes[number].told.append(message)
                    case Kill(number):
                        self.killed.add(number)
                    case Say():
                        self.said.append(action)
                    case Notify():
                        self.notified.append(action)
                    case Finish():
                        self.finish = action
        due = self.core.deadline()
        assert self.finish or due is None or due > self.now, "the shell would spin"

    def say(self, number: int, message: FromWorker) -> None:
        self.handle(Heard(number, message))

    def load(self, *numbers: int) -> None:
        for number in numbers:
            self.fakes[number].loaded = True
            self.say(number, Loaded(("calc",), ("calc.add",)))

    def serve(self, *numbers: int) -> None:
        for number in numbers:
            activate = self.fakes[number].activated
            assert activate is not None, f"process {number} was not activated"
            self.fakes[number].serving = True
            port = 5000 + activate.offset
            name, peer_id = f"calc-{activate.slot}", f"id{next(self._peers)}"
            self.say(number, Serving(name, peer_id, (f"tcp://127.0.0.1:{port}",)))

    def fail(self, number: int, sentence: str, code: int = 2) -> None:
        self.say(number, Failed(sentence, code))
        self.die(number, code)

    def leave(self, number: int) -> None:
        self.say(number, Leaving())

    def die(self, number: int, status: int = KILL, *running: str) -> None:
        del self.fakes[number]
        calls = tuple(Running(mark, f"calc.{mark}") for mark in running)
        self.handle(Died(number, status, calls, ("last words",) if status else ()))

    def reload(self) -> None:
        self.handle(ReloadAsked())

    def stop(self, signal: int = 15) -> None:
        self.handle(StopAsked(signal))

    def beat(self, *numbers: int, memory: int = 0, calls: int = 0) -> None:
        for number in numbers:
            if number in self.fakes:
                self.say(number, Beat(memory, calls))

    def advance(self, seconds: float, *silent: int) -> None:
        """Let time pass; every process that is loaded shows life each 2 s, but the silent ones."""
        until = self.now + seconds
        while self.now < until and self.finish is None:
            due = self.core.deadline()
            step = min(until, self.now + 2.0, *([] if due is None else [due]))
            self.now = step
            self.beat(*[n for n, fake in list(self.fakes.items()) if fake.loaded and n not in silent])
            if self.finish is None:
                self.handle(Tick())

    def settle(self, rounds: int = 200) -> None:
        """Let every process do at once what it was told to, and let time pass, until nothing happens any more."""
        for _ in range(rounds):
            if self.finish is not None or not self.step():
                return
        raise AssertionError("it does not come to rest")

    def step(self) -> bool:
        """Let one process do what it was told to; return whether there was one."""
        for number, fake in list(self.fakes.items()):
            if number in self.killed:
                self.die(number, KILL)
            elif fake.draining and fake.loaded:
                self.die(number, 0)
            elif not fake.loaded:
                self.load(number)
            elif fake.activated and not fake.serving:
                self.serve(number)
            else:
                continue
            return True
        return False

    @property
    def serving(self) -> dict[int, int]:
        """Which process serves each slot, of those that were not told to drain."""
        return {
            fake.activated.slot: number
            for number, fake in self.fakes.items()
            if fake.serving and fake.activated and not fake.draining and number not in self.killed
        }

    @property
    def spares(self) -> list[int]:
        return [number for number, fake in self.fakes.items() if fake.activated is None and number not in self.killed]

    def heard(self, event: str) -> list[str]:
        """Return what was said of a kind."""
        return [say.text for say in self.said if say.event == event]
