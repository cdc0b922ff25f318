"""Who may run beside whom in a worker, and that no bystander is taken for a poison."""

from __future__ import annotations

import random
from collections import deque

import pytest

from mesh.core.work import Work
from mesh.errors import Status
from mesh.workers.events import Running
from mesh.workers.gate import Gate
from mesh.workers.messages import Doubt
from mesh.workers.suspects import Suspects


class Log:
    """A log in a dictionary; the mark of a call is its body."""

    def __init__(self) -> None:
        self.running: dict[int, Running] = {}
        self._places = 0

    def mark(self, work: Work) -> str:
        return work.frames[0].decode()

    def begin(self, mark: str, method: str) -> int:
        self._places += 1
        self.running[self._places] = Running(mark, method)
        return self._places

    def end(self, place: int) -> None:
        del self.running[place]

    @property
    def marks(self) -> list[str]:
        return [running.mark for running in self.running.values()]


def call(body: str, deadline: float | None = None) -> Work:
    return Work(b"client", (), True, 1, "s.do", [body.encode()], deadline)


def suspect(mark: str, *, alone: bool = False) -> Doubt:
    return Doubt(mark, "s.do", 2 if alone else 1, alone)


@pytest.fixture
def log() -> Log:
    return Log()


@pytest.fixture
def cleared() -> list[str]:
    return []


@pytest.fixture
def gate(log: Log, cleared: list[str]) -> Gate:
    return Gate(log, cleared.append, "reload")


def test_calls_in_no_doubt_run_at_once_and_are_written_down_as_long_as_they_run(gate: Gate, log: Log) -> None:
    one, other = call("a"), call("b")
    assert gate.enter(one, 0.0) == [one]
    assert gate.enter(other, 0.0) == [other]
    assert log.marks == ["a", "b"]
    assert gate.leave(one, 1.0) == []
    assert log.marks == ["b"]
    assert gate.ended == 1


def test_a_suspect_runs_beside_others_and_is_cleared_when_it_ends(gate: Gate, cleared: list[str]) -> None:
    gate.learn([suspect("a")], 0.0)
    one, again = call("a"), call("a")
    gate.enter(call("b"), 0.0)
    assert gate.enter(one, 0.0) == [one]
    gate.leave(one, 1.0)
    assert cleared == ["a"]
    gate.enter(again, 2.0)
    gate.leave(again, 3.0)
    assert cleared == ["a"]


def test_a_call_that_was_cancelled_proves_nothing(gate: Gate, cleared: list[str]) -> None:
    gate.learn([suspect("a")], 0.0)
    one = call("a")
    gate.enter(one, 0.0)
    one.cancelled = True
    gate.leave(one, 1.0)
    assert cleared == []


def test_the_last_chance_of_a_suspect_is_alone(gate: Gate, log: Log, cleared: list[str]) -> None:
    gate.learn([suspect("a", alone=True)], 0.0)
    before, trial, after = call("before"), call("a"), call("after")
    gate.enter(before, 0.0)
    assert gate.enter(trial, 0.1) == []
    assert gate.enter(after, 0.2) == []
    assert gate.leave(before, 0.3) == [trial]
    assert log.marks == ["a"]
    assert gate.enter(call("later"), 0.4) == []
    assert after in gate.leave(trial, 0.5)
    assert log.marks == ["after", "later"]
    assert cleared == ["a"]


def test_two_last_chances_come_one_after_the_other(gate: Gate, log: Log) -> None:
    gate.learn([suspect("a", alone=True), suspect("b", alone=True)], 0.0)
    one, other = call("a"), call("b")
    assert gate.enter(one, 0.0) == [one]
    assert gate.enter(other, 0.0) == []
    assert gate.leave(one, 0.1) == [other]
    assert log.marks == ["b"]


def test_a_last_chance_waits_for_the_others_only_so_long(gate: Gate, log: Log) -> None:
    gate.learn([suspect("a", alone=True)], 0.0)
    endless, trial, after = call("endless"), call("a"), call("after")
    gate.enter(endless, 0.0)
    gate.enter(trial, 0.0)
    gate.enter(after, 0.0)
    assert gate.overdue(0.9) == []
    assert gate.overdue(1.1) == [trial, after]
    assert log.marks == ["endless", "a", "after"]


def test_a_last_chance_that_takes_long_lets_others_in(gate: Gate) -> None:
    gate.learn([suspect("a", alone=True)], 0.0)
    trial, after = call("a"), call("after")
    gate.enter(trial, 0.0)
    gate.enter(after, 0.0)
    assert gate.overdue(4.9) == []
    assert gate.overdue(5.1) == [after]
    gate.leave(trial, 6.0)


def test_a_call_in_quarantine_is_answered_and_not_run(gate: Gate, log: Log) -> None:
    gate.learn([Doubt("a", "s.do", 3, False, 60.0)], 100.0)
    work = call("a")
    assert gate.enter(work, 110.0) == [work]
    assert log.marks == []
    answer = gate.refusal(work)
    assert answer is not None
    assert answer.detail is not None
    assert (answer.status, answer.detail.type) == (Status.FAILED_PRECONDITION, "Quarantined")
    assert answer.detail.message == (
        "a call with this content ended 3 workers in a row and is in quarantine for another 50 s; "
        "correct the method, then reload"
    )
    assert gate.refusal(work) is None
    assert gate.leave(work, 110.0) == []
    later = call("a")
    gate.enter(later, 161.0)
    assert gate.refusal(later) is None


def test_a_doubt_that_is_taken_back_is_forgotten(gate: Gate, cleared: list[str]) -> None:
    gate.learn([Doubt("a", "s.do", 3, False, 60.0), suspect("b", alone=True)], 0.0)
    gate.learn([Doubt("a", "s.do", 0), Doubt("b", "s.do", 0)], 0.0)
    for work in (call("a"), call("b")):
        assert gate.enter(work, 1.0) == [work]
        assert gate.refusal(work) is None
    assert cleared == []


def test_what_nobody_waits_for_any_more_is_not_run_after_its_wait(gate: Gate, log: Log) -> None:
    gate.learn([suspect("a", alone=True)], 0.0)
    trial, late, cancelled = call("a"), call("late", deadline=0.5), call("cancelled")
    gate.enter(trial, 0.0)
    gate.enter(late, 0.1)
    gate.enter(cancelled, 0.1)
    cancelled.cancelled = True
    assert gate.leave(trial, 1.0) == [late, cancelled]
    assert log.marks == []
    for work in (late, cancelled):
        answer = gate.refusal(work)
        assert answer is not None
        assert answer.status == Status.DEADLINE_EXCEEDED


class Town:
    """Workers with a gate each, the suspects of their supervisor, and callers who go to another one after a death."""

    def __init__(self, rng: random.Random, workers: int) -> None:
        self.rng = rng
        self.now = 0.0
        self.suspects = Suspects(3, 1e9)
        self.condemned: list[str] = []
        self.deaths = 0
        self.gates: list[Gate] = []
        self.logs: list[Log] = []
        self.inside: list[dict[Work, bool]] = []
        """Calls at each worker, and whether they run."""
        for number in range(workers):
            self.gates.append(Gate(Log(), self._clear, ""))
            self.logs.append(Log())
            self.inside.append({})
            self._restart(number)
        self.callers: deque[str] = deque()
        """Bodies of calls that are to be made, or made again."""

    def step(self, load: int) -> None:
        """Let one thing happen: a call begins, or one that runs ends or does its harm."""
        self.now += 0.01
        number = self.rng.randrange(len(self.gates))
        running = [work for work, runs in self.inside[number].items() if runs]
        if self.callers and len(self.inside[number]) < load:
            work = call(self.callers.popleft())
            self.inside[number][work] = False
            self._begin(number, self.gates[number].enter(work, self.now))
        elif running:
            work = self.rng.choice(running)
            if work.frames[0].startswith(b"poison"):
                self._die(number)
            else:
                del self.inside[number][work]
                self._begin(number, self.gates[number].leave(work, self.now))

    def _begin(self, number: int, works: list[Work]) -> None:
        for work in works:
            if self.gates[number].refusal(work) is not None:
                del self.inside[number][work]  # its caller is told
                self._begin(number, self.gates[number].leave(work, self.now))
            else:
                self.inside[number][work] = True

    def _die(self, number: int) -> None:
        self.deaths += 1
        changed, condemned = self.suspects.died(self.logs[number].running.values(), self.now)
        self.condemned += [doubt.mark for doubt in condemned]
        self.callers.extendleft(work.frames[0].decode() for work in self.inside[number])
        self._restart(number)
        self._tell(changed)

    def _restart(self, number: int) -> None:
        self.inside[number] = {}
        self.logs[number] = Log()
        self.gates[number] = Gate(self.logs[number], self._clear, "")
        self.gates[number].learn(self.suspects.doubts(self.now), self.now)

    def _clear(self, mark: str) -> None:
        cleared = self.suspects.clear(mark)
        if cleared is not None:
            self._tell([cleared])

    def _tell(self, doubts: list[Doubt]) -> None:
        for gate in self.gates:
            gate.learn(doubts, self.now)


@pytest.mark.parametrize("seed", range(20))
def test_innocent_calls_are_never_condemned_and_every_poison_is(seed: int) -> None:
    rng = random.Random(seed)
    town = Town(rng, workers=3)
    # Each poison differs, and is new: the worst company that an innocent call can keep.
    bodies = [f"poison-{number}" for number in range(10)] + [f"innocent-{number}" for number in range(300)]
    rng.shuffle(bodies)
    town.callers.extend(bodies)
    for _ in range(40_000):
        if not town.callers and not any(town.inside):
            break
        town.step(load=10)
    assert not town.callers, "every call was answered"
    assert sorted(town.condemned) == sorted(f"poison-{number}" for number in range(10))
    assert town.deaths <= 10 * 5
