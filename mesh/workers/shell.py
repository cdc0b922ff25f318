"""The supervising process: performs what its core decides, and sleeps until something happens."""

from __future__ import annotations

import random
import selectors
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence

from mesh.core.figures import ServerFigures
from mesh.notify import Notifier
from mesh.signals import SignalPipe
from mesh.workers.actions import Action, Finish, Kill, Notify, Say, Spawn, Tell
from mesh.workers.child import Child, Output
from mesh.workers.events import Event, Heard, ReloadAsked, Spawned, SpawnFailed, StopAsked, Tick
from mesh.workers.messages import Figures, Setup, TellFigures
from mesh.workers.policy import WorkerPolicy
from mesh.workers.supervisor import SupervisorCore
from mesh.workers.survey import Survey

__all__ = ["Supervisor"]


class Supervisor:
    """Keeps workers serving until it is told to stop.

    Args:
        policy: Settings.
        command: What a worker process is; see `Child`.
        setup: What each of them is told.
        ports: Whether the workers have ports by number.
        say: Called with what people and programs are to know.
        pass_on: Called with the name of a worker, of its output, and each line that it writes there.
        notifier: The way to the service manager.
    """

    def __init__(
        self,
        policy: WorkerPolicy,
        command: Sequence[str],
        setup: Setup,
        ports: bool,
        say: Callable[[Say], None],
        pass_on: Callable[[str, str, str], None],
        notifier: Notifier,
    ) -> None:
        self._core = SupervisorCore(policy, random.Random(), ports, time.monotonic())
        self._command = command
        self._setup = setup
        self._say = say
        self._pass_on = pass_on
        self._notifier = notifier
        self._children: dict[int, Child] = {}
        self._selector = selectors.DefaultSelector()
        self._signals = SignalPipe(signal.SIGCHLD, signal.SIGHUP, signal.SIGINT, signal.SIGTERM)
        self._finish: Finish | None = None
        self._survey = Survey()
        self._events: Counter[str] = Counter()

    def figures(self) -> tuple[Sequence[ServerFigures], Sequence[str]]:
        """Return how the workers do, and the names of those that do not say so within a second; in any other thread."""
        return self._survey.ask()

    def events(self) -> Mapping[str, int]:
        """Return how often it has said what, in any thread."""
        return dict(self._events)

    def run(self) -> Finish:
        """Supervise, and return how it ended. Main thread only."""
        with self._signals:
            self._selector.register(self._signals.descriptor, selectors.EVENT_READ)
            self._selector.register(self._survey.descriptor, selectors.EVENT_READ, self._survey)
            try:
                self._serve()
            finally:
                self._end()
        assert self._finish is not None
        return self._finish

    def _serve(self) -> None:
        alive_at = time.monotonic()  # when the service manager wants the next sign of life
        while True:
            self._handle(Tick())
            now = time.monotonic()
            watchdog_s = self._notifier.watchdog_s
            if watchdog_s is not None and now >= alive_at:
                alive_at = now + watchdog_s
                if self._core.healthy():
                    self._notifier.watchdog()
            if self._finish is not None:
                return
            due = self._core.deadline()
            times = [at for at in (due, alive_at if watchdog_s is not None else None) if at is not None]
            ready = self._selector.select(max(0.0, min(times) - now) if times else None)
            for key, _ in ready:
                if isinstance(key.data, Output):
                    self._pass(key.data)
                elif key.data is self._survey:
                    self._ask_workers()
                elif key.data is not None:
                    self._hear(key.data)
            self._look_at_signals()

    def _pass(self, output: Output) -> None:
        if not output.read():
            self._selector.unregister(output.descriptor)

    def _hear(self, number: int) -> None:
        line = self._children[number].line
        for message in line.receive():
            if isinstance(message, Figures):
                self._survey.answered(number, message.number, message.figures)
            else:
                self._handle(Heard(number, message))
        line.flush()
        if line.ended and line.descriptor in self._selector.get_map():
            self._selector.unregister(line.descriptor)  # its process dies, or has lost its mind and will be silent

    def _ask_workers(self) -> None:
        """Have those that serve say how they do."""
        serving = self._core.serving()
        number = self._survey.begin(serving)
        for worker in serving:
            self._children[worker].line.send(TellFigures(number))

    def _look_at_signals(self) -> None:
        for number in self._signals.read():
            if number == signal.SIGCHLD:
                for child in [number for number, child in self._children.items() if child.has_ended()]:
                    self._bury(child)
            else:
                self._handle(ReloadAsked() if number == signal.SIGHUP else StopAsked(number))

    def _bury(self, number: int) -> None:
        self._hear(number)
        child = self._children.pop(number)
        self._survey.died(number)
        self._forget(child)
        self._handle(child.bury(number))

    def _forget(self, child: Child) -> None:
        for descriptor in (child.line.descriptor, *(output.descriptor for output in child.outputs)):
            if descriptor in self._selector.get_map():
                self._selector.unregister(descriptor)

    def _handle(self, event: Event) -> None:
        """Let the core take in an event and what follows from it, and perform what it decides."""
        events = deque([event])
        while events:
            for action in self._core.handle(events.popleft(), time.monotonic()):
                if isinstance(action, Spawn):
                    events.append(self._spawn(action.number))
                else:
                    self._perform(action)

    def _perform(self, action: Action) -> None:
        match action:
            case Tell(number, message):
                if number in self._children:
                    self._children[number].line.send(message)
            case Kill(number):
                if number in self._children:
                    self._children[number].kill()
            case Say():
                self._events[action.event] += 1
                self._say(action)
            case Notify(state, status):
                tell = {
                    "READY": self._notifier.ready,
                    "RELOADING": self._notifier.reloading,
                    "STOPPING": self._notifier.stopping,
                }.get(state, self._notifier.status)
                tell(status)
            case Finish():
                self._finish = action

    def _spawn(self, number: int) -> Event:
        def pass_on(output: str, line: str) -> None:
            self._pass_on(self._core.label(number), output, line)

        try:
            child = Child(self._command, self._setup, pass_on)
        except OSError as error:
            return SpawnFailed(number, error.strerror or str(error))
        self._children[number] = child
        self._selector.register(child.line.descriptor, selectors.EVENT_READ, number)
        for output in child.outputs:
            self._selector.register(output.descriptor, selectors.EVENT_READ, output)
        return Spawned(number, child.pid)

    def _end(self) -> None:
        """Kill what still runs, and release everything."""
        for child in self._children.values():
            child.kill()
        for number, child in self._children.items():
            self._forget(child)
            child.bury(number)
        self._children.clear()
        self._survey.close()
        self._selector.close()
