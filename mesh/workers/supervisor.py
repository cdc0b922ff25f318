"""The core of a supervisor: which interpreter is started, serves, drains or is killed, and what is said about it.

Every process goes one way, and leaves it when it dies:

    loading --Loaded--> spare --Activate--> starting --Serving--> serving --Drain--> draining
    any --silent, too slow--> killed

A *slot* is a place for one worker, with a number and a name. It is empty at the beginning and after a death; the next
spare takes it at once, unless its predecessors died early in a row: then it waits a pause. A worker that is to be
replaced though it lives (reload, limits) keeps its slot until its successor serves; one at a time does so. After every
event `_settle` compares what is with what should be, so that no combination of events needs a case of its own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from mesh.core.backoff import delay
from mesh.workers.actions import Action, Finish, Kill, Notify, Say, Spawn, Tell
from mesh.workers.events import Died, Event, Heard, ReloadAsked, Spawned, SpawnFailed, StopAsked, Tick
from mesh.workers.messages import (
    Activate,
    Beat,
    Bury,
    Cleared,
    Departed,
    Doubt,
    Doubts,
    Drain,
    Failed,
    Leaving,
    Loaded,
    Serving,
)
from mesh.workers.policy import WorkerPolicy
from mesh.workers.process import Process, Slot, Stage
from mesh.workers.suspects import Suspects
from mesh.workers.wording import ending, mebibytes, of_calls, quoted

__all__ = ["SupervisorCore"]

_LATE_S = 0.5
"""A supervisor that comes so much later than it meant to was itself frozen, and accuses nobody of silence."""
_FAILED = 1
"""Exit code where a worker gave none."""

_Handler: TypeAlias = Callable[[Any, float], None]


class SupervisorCore:
    """Everything a supervisor decides.

    Args:
        policy: Settings.
        rng: Draws the pauses.
        ports: Whether workers have ports by number, so that no two that live may have the same.
        now: Seconds of the monotonic clock.
    """

    def __init__(self, policy: WorkerPolicy, rng: random.Random, ports: bool, now: float) -> None:
        self._policy = policy
        self._rng = rng
        self._ports = ports
        self._now = now
        self._out: list[Action] = []
        self._processes: dict[int, Process] = {}
        self._slots = [Slot(number) for number in range(1, policy.count + 1)]
        self._offsets = list(range(policy.count + 1))
        """What may be added to the port; one with which a worker could not start goes to the end."""
        self._suspects = Suspects(policy.deaths_max, policy.quarantine_s)
        self._spawned = 0
        self._wanted = 0
        """Generation of the interpreters that are started now."""
        self._proven = -1
        """The newest generation that could be loaded."""
        self._load_strikes = 0
        self._load_at = 0.0
        """No interpreter is started before."""
        self._graves: list[Departed] = []
        self._served = False
        """Whether any worker ever did."""
        self._reloading = False
        self._stopping = False
        self._finished = False
        self._status = ""
        self._handlers: dict[type, _Handler] = {
            Tick: lambda event, now: None,
            Spawned: self._on_spawned,
            SpawnFailed: self._on_spawn_failed,
            Heard: self._on_heard,
            Died: self._on_died,
            ReloadAsked: self._on_reload,
            StopAsked: self._on_stop,
        }
        self._hears: dict[type, Callable[[Process, Any, float], None]] = {
            Loaded: self._on_loaded,
            Failed: self._on_failed,
            Serving: self._on_serving,
            Beat: self._on_beat,
            Leaving: self._on_leaving,
            Cleared: self._on_cleared,
        }

    def handle(self, event: Event, now: float) -> list[Action]:
        """Take in what happened and return what to do, in order; nothing follows `Finish`.

        Args:
            event: One event. After a wait, everything that came during it goes before the `Tick`.
            now: Seconds of the monotonic clock; never decreases.
        """
        assert now >= self._now, "time goes forward"
        self._forgive(now)
        self._now = now
        if not self._finished:
            self._handlers[type(event)](event, now)
        if not self._finished:
            self._look_at_clocks(now)
        if not self._finished:
            self._settle(now)
        actions, self._out = self._out, []
        return actions

    def deadline(self) -> float | None:
        """Return when the next Tick is due, None if nothing but an event will change anything."""
        times = [process.due(self._policy)[0] for process in self._live()]
        times += [at for at in (self._load_at, *(slot.not_before for slot in self._slots)) if at > self._now]
        lifted_at = self._suspects.deadline()
        return min(times if lifted_at is None else [*times, lifted_at], default=None)

    def healthy(self) -> bool:
        """Return whether any worker serves."""
        return any(process.stage is Stage.SERVING for process in self._live())

    def serving(self) -> dict[int, str]:
        """Return the names of the workers that serve, by number."""
        return {process.number: process.label for process in self._live() if process.stage is Stage.SERVING}

    def label(self, number: int) -> str:
        """Return what to call a process."""
        process = self._processes.get(number)
        return process.label if process is not None else f"process {number}"

    # -- what processes say and do

    def _on_spawned(self, event: Spawned, now: float) -> None:
        self._processes[event.number].pid = event.pid

    def _on_spawn_failed(self, event: SpawnFailed, now: float) -> None:
        self._lost(self._processes.pop(event.number), f"cannot be started: {event.why}", now)

    def _on_heard(self, event: Heard, now: float) -> None:
        process = self._processes[event.number]
        process.heard_at = now
        if process.stage is not Stage.KILLED:
            self._hears[type(event.message)](process, event.message, now)

    def _on_loaded(self, process: Process, message: Loaded, now: float) -> None:
        process.move(Stage.SPARE, now)
        process.services, process.methods = message.services, message.methods
        self._load_strikes, self._load_at = 0, 0.0
        if process.generation > self._proven:
            self._proven = process.generation
            self._tell_doubts(self._suspects.lift())  # other code, other poisons
        self._say("loaded", process, "", {})

    def _on_failed(self, process: Process, message: Failed, now: float) -> None:
        process.failure = message

    def _on_serving(self, process: Process, message: Serving, now: float) -> None:
        process.name, process.peer_id, process.endpoint = message.name, message.peer_id, message.endpoints[0]
        slot = process.slot
        if process.stage is not Stage.STARTING or slot is None:
            return  # it was told to drain meanwhile
        process.move(Stage.SERVING, now)
        facts: dict[str, Any] = {
            "peer_id": message.peer_id,
            "services": process.services,
            "endpoints": message.endpoints,
            "methods": process.methods,
        }
        if slot.empty_at is not None:
            facts["after_s"] = round(now - slot.empty_at, 4)
            slot.empty_at = None
        where = ", ".join(message.endpoints)
        self._say("serving", process, f"serving {', '.join(process.services)} as {process.label} on {where}", facts)
        self._served = True
        before, slot.worker, slot.successor = slot.worker, process, None
        if before is not None:
            self._drain(before, now)

    def _on_beat(self, process: Process, message: Beat, now: float) -> None:
        if process.stage is not Stage.SERVING or process.outworn:
            return
        memory_max, calls_max = self._policy.memory_max, self._policy.calls_max
        if memory_max and message.memory >= memory_max:
            process.outworn = f"it has {mebibytes(message.memory)} of {mebibytes(memory_max)} that are allowed"
            self._count_early(process, now)  # where a fresh worker is too large already, replacing has no end
        elif calls_max and message.calls >= calls_max:
            process.outworn = f"it has answered {message.calls} calls of {calls_max} that are allowed"
        if process.outworn:
            facts = {"memory": message.memory, "calls": message.calls}
            self._say("outworn", process, f"{process.label} is to be replaced: {process.outworn}", facts)

    def _on_leaving(self, process: Process, message: Leaving, now: float) -> None:
        if process.stage is Stage.DRAINING:
            return
        if process.slot is not None and not self._stopping:
            self._say("leaving", process, f"{process.label} was told to stop by somebody else, and drains", {}, True)
        self._vacate(process, now)
        process.move(Stage.DRAINING, now)

    def _on_cleared(self, process: Process, message: Cleared, now: float) -> None:
        cleared = self._suspects.clear(message.mark)
        if cleared is not None:
            self._tell_doubts([cleared])

    def _on_died(self, event: Died, now: float) -> None:
        process = self._processes.pop(event.number)
        in_order = process.stage is Stage.DRAINING and event.status == 0
        if process.peer_id and not in_order:
            self._graves.append(Departed(process.peer_id, process.name, process.services, process.endpoint))
        if in_order and process.slot is not None:
            self._say("drained", process, f"{process.label} has drained and ended", {})
        elif not in_order and process.stage is not Stage.KILLED:
            self._lost(process, ending(event.status), now, event)
        if not in_order and (process.stage is not Stage.KILLED or process.hung):
            self._blame(event, now)

    def _blame(self, event: Died, now: float) -> None:
        changed, condemned = self._suspects.died(event.running, now)
        self._tell_doubts(changed)
        for doubt in condemned:
            text = (
                f"a call of {doubt.method} ended {doubt.deaths} workers in a row; for {doubt.quarantined_s:g} s calls "
                f"with its content are answered with an error; correct the method, and reload with SIGHUP"
            )
            facts = {"method": doubt.method, "mark": doubt.mark, "deaths": doubt.deaths}
            self._say("quarantined", None, text, facts, True)

    # -- what people want

    def _on_reload(self, event: ReloadAsked, now: float) -> None:
        if self._stopping:
            return
        self._wanted = max(self._wanted, self._proven) + 1
        self._reloading = self._served
        self._load_strikes, self._load_at = 0, 0.0
        for process in list(self._live()):
            if process.stage is Stage.LOADING:  # part of what it has read may be old
                self._kill(process, now)
        for slot in self._slots:
            slot.strikes, slot.not_before = 0, 0.0
        self._say("reloading", None, "loading the application anew", {})
        self._out.append(Notify("RELOADING", "loading the application anew"))

    def _on_stop(self, event: StopAsked, now: float) -> None:
        if self._stopping:
            self._finish(128 + event.signal)
            return
        self._stopping = True
        self._out.append(Notify("STOPPING", "draining"))
        for process in list(self._live()):
            if process.stage is Stage.LOADING:
                self._kill(process, now)
            elif process.stage is not Stage.DRAINING:
                self._drain(process, now)

    # -- clocks

    def _forgive(self, now: float) -> None:
        """Count no time during which the supervisor itself stood still: it heard nobody."""
        due = self.deadline()
        if due is None or now - due <= _LATE_S:
            return
        for process in self._live():
            process.heard_at = now
            if process.stage in (Stage.LOADING, Stage.DRAINING):
                process.since = now

    def _look_at_clocks(self, now: float) -> None:
        for process in list(self._live()):
            due, why = process.due(self._policy)
            if now >= due:
                process.hung = process.stage is not Stage.LOADING and now >= process.heard_at + self._policy.hang_s
                self._kill(process, now, why)
                if self._finished:
                    return
        self._tell_doubts(self._suspects.expire(now))

    # -- losses

    def _lost(self, process: Process, why: str, now: float, event: Died | None = None) -> None:
        """Take in that a process cannot be counted on any more, for a reason that nobody wished."""
        words = event.last_words if event is not None else ()
        if process.failure is not None:
            why, words = f"ended: {process.failure.sentence}", ()
        if not self._served and not self._stopping:
            self._finish_failed(process, why, words)
        elif process.slot is None:
            self._load_failed(process, why, words, now)
        else:
            self._worker_lost(process, why, words, len(event.running) if event is not None else 0, now)

    def _worker_lost(self, process: Process, why: str, words: tuple[str, ...], running: int, now: float) -> None:
        slot = process.slot
        assert slot is not None, "only a process that was activated is a worker"
        facts = {"why": why, "running": running, "last_words": words}
        self._say("died", process, f"{process.label} {why}{of_calls(running)}", facts, True)
        if process.stage is Stage.DRAINING:
            return
        if process.stage is Stage.STARTING:  # perhaps somebody else has its port
            self._offsets.sort(key=lambda offset: offset == process.offset)
        self._count_early(process, now)
        self._vacate(process, now)
        if slot.strikes == self._policy.loop_deaths:
            text = (
                f"{process.label} died {slot.strikes} times in a row soon after its start; the last time it {why}"
                f"{quoted(words)}; it is started again and again, with pauses of up to {self._policy.pause_max_s:g} s"
            )
            self._say("crash-loop", process, text, facts, True)

    def _count_early(self, process: Process, now: float) -> None:
        slot = process.slot
        assert slot is not None, "only a process that was activated is a worker"
        if process.stage is Stage.SERVING and now - process.since >= self._policy.early_s:
            slot.strikes = 0
        else:
            slot.strikes += 1
            slot.not_before = now + self._pause(slot.strikes)

    def _load_failed(self, process: Process, why: str, words: tuple[str, ...], now: float) -> None:
        if self._stopping:
            return
        if process.generation > self._proven:
            # The next one to load takes what is there by then, and is no better or worse for it.
            self._wanted = self._proven
            self._reloading = False
            self._status = ""
            text = f"the application cannot be loaded anew, and the workers stay as they are: {process.label} {why}"
            self._say("reload-failed", process, f"{text}{quoted(words)}", {"why": why}, True)
            return
        self._load_strikes += 1
        self._load_at = now + self._pause(self._load_strikes)
        text = f"{process.label} {why}{quoted(words)}; another try in {self._load_at - now:.1f} s"
        self._say("load-failed", process, text, {"why": why, "strikes": self._load_strikes}, True)

    def _pause(self, strikes: int) -> float:
        return delay(strikes, self._rng, self._policy.pause_min_s, self._policy.pause_max_s)

    def _finish_failed(self, process: Process, why: str, words: tuple[str, ...]) -> None:
        """Nothing ever served: end as a server without workers would, with its sentence and its code."""
        if process.failure is not None:
            self._finish(process.failure.code, process.failure.sentence)
        else:
            self._finish(_FAILED, f"no worker came to serve: {process.label} {why}{quoted(words)}")

    # -- from what is to what should be

    def _settle(self, now: float) -> None:
        if self._stopping:
            if not self._processes:
                self._finish(0)
            return
        for slot in self._slots:
            if slot.worker is None and slot.successor is None and now >= slot.not_before:
                self._fill(slot, now)
        self._replace_one(now)
        for process in list(self._live()):
            if process.stage is Stage.SPARE and process.generation < self._proven:
                self._drain(process, now)
        self._start_spares(now)
        self._bury()
        self._report()

    def _fill(self, slot: Slot, now: float) -> None:
        """Have a spare take a place, if there is one, and a port for it."""
        spares = [process for process in self._live() if process.stage is Stage.SPARE]
        offset = self._free_offset()
        if not spares or offset is None:
            return
        spare = max(spares, key=lambda process: process.generation)
        spare.move(Stage.STARTING, now)
        spare.heard_at = now
        spare.slot, spare.offset = slot, offset
        slot.successor = spare
        self._out.append(Tell(spare.number, Activate(slot.number, offset, tuple(self._suspects.doubts(now)))))

    def _free_offset(self) -> int | None:
        """Return what to add to the port; one more than there are workers, for the one that is being replaced."""
        if not self._ports:
            return 0
        taken = [process.offset for process in self._processes.values() if process.slot is not None]
        return next((offset for offset in self._offsets if offset not in taken), None)

    def _replace_one(self, now: float) -> None:
        """Begin to replace a worker that lives, if everything else is in order."""
        if any(slot.worker is None or slot.successor is not None for slot in self._slots):
            return
        if any(process.stage is Stage.DRAINING and process.slot is not None for process in self._live()):
            return
        for slot in self._slots:
            worker = slot.worker
            if worker is not None and (worker.generation < self._proven or worker.outworn) and now >= slot.not_before:
                self._fill(slot, now)
                return

    def _start_spares(self, now: float) -> None:
        """Start as many interpreters as there are places to fill, and one to wait.

        Before one has shown that the application can be loaded, that one is alone.
        """
        if now < self._load_at:
            return
        idle = (process for process in self._live() if process.stage in (Stage.LOADING, Stage.SPARE))
        have = sum(process.generation >= self._wanted for process in idle)
        empty = sum(slot.worker is None and slot.successor is None for slot in self._slots)
        want = 1 if self._proven < self._wanted else empty + 1
        for _ in range(have, want):
            self._spawned += 1
            self._processes[self._spawned] = Process(self._spawned, self._wanted, now)
            self._out.append(Spawn(self._spawned))

    def _bury(self) -> None:
        """Have a worker say goodbye for those that could not: else clients would go on dialling them for an hour."""
        living = next((process for process in self._live() if process.stage is Stage.SERVING), None)
        if living is not None:
            self._out += [Tell(living.number, Bury(departed)) for departed in self._graves]
            self._graves.clear()

    def _report(self) -> None:
        if not self._served:
            return
        generations = [slot.worker.generation for slot in self._slots if slot.worker is not None]
        status = f"{len(generations)} of {len(self._slots)} workers serve"
        if self._reloading:
            left = any(process.generation < self._wanted for process in self._live() if process.slot is not None)
            if left or len(generations) < len(self._slots):
                return
            self._reloading = False
            self._status = ""
            self._say("reloaded", None, "all workers serve the application as it was loaded anew", {})
        if status != self._status:
            self._out.append(Notify("" if self._status else "READY", status))
            self._status = status

    # -- small steps

    def _live(self) -> list[Process]:
        return [process for process in self._processes.values() if process.stage is not Stage.KILLED]

    def _vacate(self, process: Process, now: float) -> None:
        slot = process.slot
        if slot is None:
            return
        if slot.successor is process:
            slot.successor = None
        elif slot.worker is process:
            slot.worker = None
            slot.empty_at = now

    def _drain(self, process: Process, now: float) -> None:
        process.move(Stage.DRAINING, now)
        self._out.append(Tell(process.number, Drain()))

    def _kill(self, process: Process, now: float, why: str = "") -> None:
        """Kill a process; for a reason that nobody wished, if one is given."""
        self._out.append(Kill(process.number))
        if why:
            self._lost(process, why, now)
        process.move(Stage.KILLED, now)

    def _tell_doubts(self, changed: list[Doubt]) -> None:
        if changed:
            stages = (Stage.STARTING, Stage.SERVING, Stage.DRAINING)
            message = Doubts(tuple(changed))
            self._out += [Tell(process.number, message) for process in self._live() if process.stage in stages]

    def _say(
        self, event: str, process: Process | None, text: str, facts: Mapping[str, Any], trouble: bool = False
    ) -> None:
        who = {} if process is None else {"name": process.label, "pid": process.pid}
        self._out.append(Say(event, text, trouble, {**who, **facts}))

    def _finish(self, code: int, sentence: str = "") -> None:
        self._finished = True
        self._out.append(Finish(code, sentence))
