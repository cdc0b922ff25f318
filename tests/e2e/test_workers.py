"""Workers that crash, hang, grow, are told to reload, and lose their supervisor: with real processes on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from mesh import CallTimeout, Client, OutcomeUnknown, RemoteError, Status
from scripts.pace import Call, Pace
from scripts.supervised import Supervised
from scripts.workers import kill_workers
from tests.helpers import PATIENCE_S, Process, free_port, spawn, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow]

MESH = [sys.executable, "-m", "mesh.cli.main"]

APPLICATION = """\
import os, signal, sys, time
from mesh import Request, Service

app = Service("app", threads=8)
hoard = []

@app.method(raw=True)
def version(request: Request) -> bytes:
    time.sleep(0.005)
    return b"1"

@app.method
def pid() -> int:
    return os.getpid()

@app.method
def nap(seconds: float, number: int = 0) -> int:
    print("napping", flush=True)
    time.sleep(seconds)
    return os.getpid()

@app.method(threaded=False, idempotent=False)
def spin() -> None:
    while True:
        pass

@app.method
def poison(word: str) -> str:
    if word == "bad":
        os.kill(os.getpid(), signal.SIGSEGV)
        time.sleep(5)
    return word

@app.method(idempotent=False)
def grow(mebibytes: int) -> int:
    hoard.append(bytearray(b"x") * (mebibytes << 20))
    return os.getpid()
"""


@pytest.fixture
def app(tmp_path: Path) -> Path:
    """A file with a service."""
    file = tmp_path / "app.py"
    file.write_text(APPLICATION)
    return file


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def versions() -> Iterator[Call]:
    while True:
        yield Call("app.version", b"")


def test_a_killed_worker_costs_no_call_and_is_replaced_in_half_a_second() -> None:
    toll = kill_workers(4, workers=3, rate=300.0)
    assert toll.errors == []
    assert sum(ran > 0 for ran in toll.ran) >= 3
    assert min(toll.replaced_s) <= 0.5  # the others have to bear what else this machine does


def test_a_worker_whose_loop_is_stuck_is_replaced_and_a_busy_one_is_not(app: Path) -> None:
    with Supervised(app, "--workers", "2", "--hang-timeout", "2") as supervised, supervised.client() as client:
        supervised.wait_for("serving", count=2)
        supervised.wait_for("loaded", count=3)
        client.wait_for(2, service="app", timeout=PATIENCE_S)
        first, second = supervised.pids()["w-1"], supervised.pids()["w-2"]
        with ThreadPoolExecutor(2) as pool:
            busy = pool.submit(client.call, "app.nap", 3.0, peer="w-2", timeout=PATIENCE_S)
            spinning = pool.submit(client.call, "app.spin", peer="w-1", timeout=PATIENCE_S)
            [died] = supervised.wait_for("died", pid=first)
            assert died["text"] == "w-1 gave no sign of life for 2 s, and is killed"
            with pytest.raises(OutcomeUnknown):
                spinning.result()
            assert busy.result() == second
        where = [one["line"] for one in supervised.events if one["event"] == "output" and one["output"] == "stderr"]
        assert any("in spin" in line for line in where)  # it says where it is stuck
        supervised.wait_for("loaded", count=4)
        os.kill(second, signal.SIGSTOP)
        supervised.wait_for("died", pid=second)
        wait_until(lambda: not is_alive(second), what="the end of the stopped worker")
        assert client.call("app.pid", peer="w-2", timeout=PATIENCE_S) != second


def test_a_poison_is_quarantined_its_neighbours_are_not_and_a_reload_lifts_it(app: Path) -> None:
    with Supervised(app, "--workers", "2") as supervised, supervised.client() as client:
        supervised.wait_for("serving", count=2)
        with ThreadPoolExecutor(9) as pool:
            innocent = [pool.submit(client.call, "app.nap", 0.2, number, timeout=PATIENCE_S) for number in range(24)]
            with pytest.raises(RemoteError) as caught:
                client.call("app.poison", "bad", timeout=PATIENCE_S)
            assert [type(future.result()) for future in innocent] == [int] * 24
        assert caught.value.code is Status.FAILED_PRECONDITION
        assert "workers in a row and is in quarantine" in caught.value.message
        assert f"kill -HUP {supervised.pid}" in caught.value.message
        assert client.call("app.poison", "good", timeout=PATIENCE_S) == "good"
        [told] = supervised.wait_for("quarantined")
        assert told["method"] == "app.poison"
        assert 3 <= told["deaths"] <= 6  # its caller may be faster than the supervisor, who warns the next worker
        app.write_text(APPLICATION.replace('word == "bad"', "False").replace('b"1"', 'b"2"'))
        with Pace(client, 300.0, 8, versions()) as pace:
            supervised.send(signal.SIGHUP)
            supervised.wait_for("reloaded")
            since = len(pace.done)
            wait_until(lambda: len(pace.done) > since + 50)
        assert [one.error for one in pace.done if one.error] == []
        assert {one.server for one in pace.done[-20:]} == {"2"}
        assert client.call("app.poison", "bad", timeout=PATIENCE_S) == "bad"
        since = len(supervised.events)
        app.write_text("import nowhere")
        supervised.send(signal.SIGHUP)
        [failed] = supervised.wait_for("reload-failed", since=since)
        assert "app.py:1: ModuleNotFoundError" in failed["text"]
        assert client.call("app.pid", timeout=PATIENCE_S) in supervised.pids().values()


def test_workers_over_their_limits_are_replaced_without_losing_a_call(app: Path) -> None:
    options = ["--workers", "2", "--max-memory", "150M", "--max-calls", "300"]
    with Supervised(app, *options) as supervised, supervised.client() as client:
        supervised.wait_for("serving", count=2)
        with Pace(client, 300.0, 8, versions()) as pace:
            grown = client.call("app.grow", 200, timeout=PATIENCE_S)
            [outworn] = supervised.wait_for("outworn", pid=grown)
            assert outworn["memory"] >= 150 << 20
            supervised.wait_for("drained", pid=grown)
            outworn_by_calls = [one for one in supervised.wait_for("outworn", count=3) if one["pid"] != grown]
            supervised.wait_for("drained", count=2)
            told = supervised.pids()["w-1"]
            os.kill(told, signal.SIGTERM)
            supervised.wait_for("leaving", pid=told)
            supervised.wait_for("drained", pid=told)
        assert all(one["calls"] >= 300 for one in outworn_by_calls)
        assert [one.error for one in pace.done if one.error] == []
        assert [one for one in supervised.events if one["event"] == "died"] == []


def test_a_worker_that_an_operator_drains_is_none_to_replace_until_a_reload(app: Path) -> None:
    with Supervised(app, "--workers", "2", "--hang-timeout", "1.5") as supervised, supervised.client() as client:
        supervised.wait_for("serving", count=2)
        supervised.wait_for("loaded", count=3)
        client.wait_for(2, service="app", timeout=PATIENCE_S)
        first, second = supervised.pids()["w-1"], supervised.pids()["w-2"]
        command = [*MESH, "drain", "w-1", "--wait", "--realm", supervised.realm]
        assert subprocess.run(command, capture_output=True, timeout=20, check=False).returncode == 0
        drained_at = time.monotonic()
        while time.monotonic() < drained_at + 1.8:  # longer than the time in which a worker has to give a sign of life
            assert client.call("app.pid", timeout=PATIENCE_S) == second
        assert is_alive(first)
        assert client.call("mesh.health", peer="w-1")["status"] == "DRAINING"
        supervised.send(signal.SIGHUP)
        supervised.wait_for("reloaded")
        assert client.call("app.pid", peer="w-1", timeout=PATIENCE_S) not in (first, second)
        assert [one for one in supervised.events if one["event"] in ("died", "leaving")] == []


def test_the_workers_of_a_killed_supervisor_finish_their_calls_and_leave(app: Path) -> None:
    with Supervised(app, "--workers", "1") as supervised, supervised.client() as client:
        supervised.wait_for("serving", count=1)
        pids = [one["pid"] for one in supervised.wait_for("loaded", count=2)]
        with ThreadPoolExecutor(1) as pool:
            napping = pool.submit(client.call, "app.nap", 0.7, timeout=PATIENCE_S)
            supervised.wait_for("output", line="napping")
            supervised.send(signal.SIGKILL)
            assert napping.result() in pids
        wait_until(lambda: not any(map(is_alive, pids)), what="the end of the workers")


def test_an_application_that_cannot_be_loaded_is_told_as_without_workers(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("import mesh\nmesh.Service('x').method(5)\n")
    runs = [
        subprocess.run([*MESH, "serve", str(file), *more], capture_output=True, text=True, timeout=20, check=False)
        for more in ([], ["--workers", "2"])
    ]
    assert runs[0].returncode == 2
    assert (runs[1].returncode, runs[1].stdout, runs[1].stderr) == (2, "", runs[0].stderr)


def take_ports(count: int, stack: ExitStack) -> int:
    """Take so many ports in a row, and return the first."""
    for _ in range(100):
        first = free_port()
        with ExitStack() as mine, suppress(OSError):
            for port in range(first, first + count):
                mine.enter_context(socket.create_server(("127.0.0.1", port)))
            stack.push(mine.pop_all())
            return first
    raise AssertionError(f"there are no {count} free ports in a row")


def test_ports_that_are_taken_are_told_as_without_workers() -> None:
    with ExitStack() as stack:
        port = take_ports(3, stack)
        command = [*MESH, "serve", "echo", "--bind", f"tcp://127.0.0.1:{port}", "--workers", "2"]
        run = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert run.returncode == 2
    assert run.stderr.startswith("mesh: cannot bind tcp://127.0.0.1:")
    assert run.stderr.count("\n") == 1


def start_plain(process: Process) -> None:
    for number in (1, 2):
        process.wait_line(rf"^serving app as plain-{number} on tcp://127\.0\.0\.1:\d+$")


def test_lines_for_people_say_who_writes_and_a_signal_drains(app: Path) -> None:
    realm = f"plain-{os.getpid()}"
    with ExitStack() as taken:
        port = take_ports(2, taken)  # and free them again
    options = ["--workers", "2", "--name", "plain", "--bind", f"tcp://127.0.0.1:{port}", "--realm", realm]
    with spawn([*MESH, "serve", str(app), *options]) as process, Client([], realm=realm) as client:
        start_plain(process)
        with ThreadPoolExecutor(1) as pool:
            napping = pool.submit(client.call, "app.nap", 0.5, timeout=PATIENCE_S)
            process.wait_line(r"^\[plain-[12]\] napping$")
            assert process.terminate() == 0
            assert napping.result() > 0
        assert process.stderr == []
        assert {f"plain-{number} has drained and ended" for number in (1, 2)} <= set(process.stdout)
        ports = {int(line.rpartition(":")[2]) for line in process.stdout if line.startswith("serving")}
        assert ports == {port, port + 1}


def test_a_second_signal_kills_the_workers(app: Path) -> None:
    realm = f"plain-{os.getpid()}"
    command = [*MESH, "serve", str(app), "--workers", "2", "--name", "plain", "--realm", realm]
    with spawn(command) as process, Client([], realm=realm) as client, ThreadPoolExecutor(1) as pool:
        start_plain(process)
        napping = pool.submit(client.call, "app.nap", 30.0, timeout=1.0)
        process.wait_line(r"^\[plain-[12]\] napping$")
        os.kill(process.pid, signal.SIGTERM)
        process.wait_line("has drained and ended$")
        assert process.returncode is None
        assert process.terminate() == 128 + signal.SIGTERM
        assert napping.exception() is not None


class Manager:
    """A service manager that writes down what it is told."""

    def __init__(self, path: Path) -> None:
        self.told: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._thread = threading.Thread(target=self._hear)
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}

    def __enter__(self) -> Manager:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
            last.sendto(b"", self.environment["NOTIFY_SOCKET"])
        self._thread.join()
        self._socket.close()

    def wait_for(self, text: str, count: int = 1) -> None:
        wait_until(lambda: sum(text in one for one in list(self.told)) >= count, what=text)

    def _hear(self) -> None:
        while heard := self._socket.recv(4096):
            self.told.append(heard.decode())


def test_a_service_manager_is_told_how_it_stands(app: Path, tmp_path: Path) -> None:
    with (
        Manager(tmp_path / "notify") as manager,
        Supervised(app, "--workers", "1", environment=manager.environment) as supervised,
    ):
        manager.wait_for("READY=1\nSTATUS=1 of 1 workers serve")
        manager.wait_for("WATCHDOG=1", 3)
        supervised.send(signal.SIGHUP)
        manager.wait_for("READY=1", 2)
        supervised.send(signal.SIGTERM)
        assert supervised.wait() == 0
    states = [one.splitlines()[0] for one in manager.told]
    assert [one for one in states if one != "WATCHDOG=1" and not one.startswith("STATUS")] == [
        "READY=1",
        "RELOADING=1",
        "READY=1",
        "STOPPING=1",
    ]


def test_a_server_without_workers_tells_it_too_unless_its_loop_is_stuck(app: Path, tmp_path: Path) -> None:
    realm = f"notify-{os.getpid()}"
    with (
        Manager(tmp_path / "notify") as manager,
        Client([], realm=realm) as client,
        spawn([*MESH, "serve", str(app), "--realm", realm], env=manager.environment),
    ):
        manager.wait_for("READY=1\nSTATUS=serving app")
        manager.wait_for("WATCHDOG=1", 2)
        client.wait_for(1, service="app", timeout=PATIENCE_S)
        with pytest.raises(CallTimeout):
            client.call("app.spin", timeout=1.0)
        told = 0
        while told != (told := len(manager.told)):  # until no more signs of life come
            time.sleep(0.5)
