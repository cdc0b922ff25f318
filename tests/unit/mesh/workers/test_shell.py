"""The supervising process with commands that are no workers: what it does when the system or they refuse."""

from __future__ import annotations

import os
import signal
import socket
import sys
import textwrap
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from mesh.core.figures import ServerFigures
from mesh.notify import Notifier
from mesh.workers import survey as surveys
from mesh.workers.actions import Finish, Say
from mesh.workers.policy import WorkerPolicy
from mesh.workers.shell import Supervisor
from tests.helpers import PATIENCE_S
from tests.unit.mesh.metrics.test_server import FIGURES
from tests.unit.mesh.workers.test_child import SETUP

PATIENT = WorkerPolicy(count=1, hang_s=20.0)
HASTY = WorkerPolicy(count=1, start_s=0.3)
WORKER = """
import sys, time
from socket import socket
line = socket(fileno=int(sys.argv[1])).makefile("rw")
line.readline()
def say(kind, **fields):
    import json
    print(json.dumps({"type": kind, **fields}), file=line, flush=True)
"""
SERVES = """
say("Loaded", services=["s"], methods=["s.m"])
message = line.readline()
if "Activate" not in message:
    sys.exit(0)
say("Serving", name="w-1", peer_id="id", endpoints=["tcp://127.0.0.1:5000"])
"""


class Told:
    """What a supervisor says, and a signal that it gets when it has said something for the first time."""

    def __init__(self, event: str = "", number: signal.Signals = signal.SIGTERM) -> None:
        self.said: list[Say] = []
        self.lines: list[tuple[str, str, str]] = []
        self._event = event
        self._number = number

    def say(self, say: Say) -> None:
        self.said.append(say)
        if say.event == self._event:
            self._event = ""
            signal.raise_signal(self._number)

    def pass_on(self, worker: str, output: str, line: str) -> None:
        self.lines.append((worker, output, line))

    def texts(self, event: str) -> list[str]:
        return [say.text for say in self.said if say.event == event]


def run(
    command: Sequence[str], told: Told, policy: WorkerPolicy = PATIENT, environment: dict[str, str] | None = None
) -> Finish:
    notifier = Notifier(environment or {})
    try:
        return Supervisor(policy, command, SETUP, False, told.say, told.pass_on, notifier).run()
    finally:
        notifier.close()


def python(program: str) -> list[str]:
    return [sys.executable, "-c", textwrap.dedent(program)]


def test_a_command_that_cannot_be_started_ends_it() -> None:
    finish = run(["/nowhere/python"], Told())
    assert finish.code == 1
    assert finish.sentence == "no worker came to serve: spare 1 cannot be started: No such file or directory"


def test_an_interpreter_that_does_not_load_in_time_is_killed() -> None:
    finish = run(python("import time; time.sleep(60)"), Told(), HASTY)
    assert finish.sentence == ("no worker came to serve: spare 1 did not load the application within 0.3 s")


def test_a_worker_that_closes_its_line_is_silent_and_so_killed() -> None:
    told = Told("died")
    finish = run(python(WORKER + SERVES + "line.close(); time.sleep(60)"), told, WorkerPolicy(hang_s=0.5))
    assert finish.code == 0
    assert told.texts("died")[0] == "w-1 gave no sign of life for 0.5 s, and is killed"


def test_lines_that_a_worker_writes_have_its_name() -> None:
    told = Told("died")
    assert run(python(WORKER + SERVES + "print('hello', flush=True); time.sleep(0.1); sys.exit('oh')"), told).code == 0
    assert ("w-1", "stdout", "hello") in told.lines
    assert ("w-1", "stderr", "oh") in told.lines
    died = next(say for say in told.said if say.event == "died")
    assert died.facts["last_words"] == ("oh",)


@pytest.mark.parametrize("serves", [True, False])
def test_a_service_manager_gets_signs_of_life_while_a_worker_serves(tmp_path: Path, serves: bool) -> None:
    path = str(tmp_path / "notify")
    beats = "\nfor _ in range(20):\n    say('Beat', memory=0, calls=0); time.sleep(0.05)\nsys.exit(1)"
    program = WORKER + (SERVES + beats if serves else "time.sleep(60)")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing:
        hearing.bind(path)
        hearing.settimeout(5.0)
        run(
            python(program),
            Told("died"),
            PATIENT if serves else HASTY,
            {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "100000"},
        )
        hearing.setblocking(False)
        heard = []
        while True:
            try:
                heard.append(hearing.recv(4096))
            except BlockingIOError:
                break
    assert (b"WATCHDOG=1" in heard) == serves


def test_signals_are_left_to_whoever_had_them() -> None:
    before = signal.getsignal(signal.SIGTERM)
    assert run(python(WORKER + SERVES + "line.readline()"), Told("serving", signal.SIGINT)).code == 0
    assert signal.getsignal(signal.SIGTERM) is before


class Asking(Told):
    """Asks, in a thread of its own, how the workers do as soon as one serves; then has the supervisor stop."""

    def __init__(self) -> None:
        super().__init__()
        self.supervisor: Supervisor
        self.answer: tuple[Sequence[ServerFigures], Sequence[str]] = (), ()
        self.took_s = 0.0
        self._thread = threading.Thread(target=self._ask)

    def say(self, say: Say) -> None:
        super().say(say)
        if say.event == "serving" and not self._thread.ident:
            self._thread.start()

    def join(self) -> None:
        self._thread.join()

    def _ask(self) -> None:
        began = time.monotonic()
        self.answer = self.supervisor.figures()
        self.took_s = time.monotonic() - began
        os.kill(os.getpid(), signal.SIGTERM)


FIGURES_TOLD = f"""
import json
asked = json.loads(line.readline())
say("Figures", number=asked["number"], figures=json.loads({msgspec.json.encode(FIGURES).decode()!r}))
line.readline()
"""


@pytest.mark.parametrize(
    ("then", "names"), [(FIGURES_TOLD, ["calc-1"]), ("line.readline()\nsys.exit(1)", [])], ids=["answers", "dies"]
)
def test_a_thread_is_told_how_the_workers_do_and_waits_for_none_that_died(
    then: str, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surveys, "_ANSWER_S", PATIENCE_S)
    asking = Asking()
    notifier = Notifier({})
    asking.supervisor = Supervisor(
        PATIENT, python(WORKER + SERVES + then), SETUP, False, asking.say, asking.pass_on, notifier
    )
    assert asking.supervisor.run().code == 0
    asking.join()
    notifier.close()
    figures, silent = asking.answer
    assert ([told.name for told in figures], silent) == (names, [])
    assert asking.took_s < PATIENCE_S
    assert asking.supervisor.events()["serving"] >= 1
