"""The command line as processes: serve and call, signals, the pipe that nobody reads, completion."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from discovery import Change, MdnsBrowser, PeerAdded, PeerRemoved
from mesh import Client, Request, Server, Service
from tests.helpers import Process, free_port, quickest, spawn, wait_until

pytestmark = pytest.mark.e2e

MESH = [sys.executable, "-m", "mesh.cli.main"]

CALC = """\
import time
from mesh import Service

calc = Service("calc", version="1.0.0", threads=2)

@calc.method
def add(a: int, b: int) -> int:
    return a + b

@calc.method
def rest(seconds: float) -> str:
    print("resting", flush=True)
    time.sleep(seconds)
    return "rested"
"""


@pytest.fixture(autouse=True)
def realm(monkeypatch: pytest.MonkeyPatch) -> str:
    """A mesh of its own, so that whatever else runs on this machine is not seen."""
    name = f"cli-{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv("MESH_REALM", name)
    return name


@pytest.fixture
def calc(tmp_path: Path) -> Path:
    """A file with a service."""
    file = tmp_path / "calc.py"
    file.write_text(CALC)
    return file


@contextlib.contextmanager
def serving(calc: Path) -> Iterator[Process]:
    """`mesh serve` of that file, when it has said so."""
    with spawn([*MESH, "serve", str(calc), "--name", "calc-1"]) as process:
        process.wait_line("^serving ")
        yield process


@pytest.fixture
def served(calc: Path) -> Iterator[Process]:
    with serving(calc) as process:
        yield process


def mesh(*words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([*MESH, *words], input=stdin, capture_output=True, timeout=20, check=False)


def mesh_into(output: IO[bytes], *words: str) -> tuple[int, bytes]:
    """Return the exit code and what was said on standard error, while standard output goes elsewhere."""
    run = subprocess.run([*MESH, *words], stdout=output, stderr=subprocess.PIPE, timeout=20, check=False)
    return run.returncode, run.stderr


def endpoint_of(process: Process) -> str:
    return process.wait_line(r"(tcp://\S+)").group(1)


def test_a_file_is_served_and_found_and_called(served: Process) -> None:
    assert served.wait_line(r"^serving calc as calc-1 on tcp://127\.0\.0\.1:\d+$")
    run = mesh("call", "calc.add", "2", "3")
    assert (run.returncode, run.stdout, run.stderr) == (0, b"5\n", b"")
    run = mesh("call", "calc.add", "-", stdin=b'{"a": 2, "b": 5}')
    assert (run.returncode, run.stdout, run.stderr) == (0, b"7\n", b"")
    run = mesh("ping", "calc-1")
    assert run.returncode == 0
    assert run.stdout.startswith(b"calc-1 (tcp://127.0.0.1:")

    def listed() -> list[tuple[str, str, list[str]]]:
        rows = map(json.loads, mesh("ls", "--json", "--service", "calc").stdout.splitlines())
        return [(row["name"], row["state"], row["sources"]) for row in rows]

    wait_until(lambda: listed() == [("calc-1", "alive", ["mdns"])], what="the server to be listed")


def test_the_built_in_service_gives_bytes_back() -> None:
    everything = bytes(range(256)) * 100
    with spawn([*MESH, "serve", "echo", "--json", "--no-advertise"]) as server:
        said = json.loads(server.wait_line(r"^\{.*\}$").group())
        assert (said["services"], said["methods"]) == (["echo"], ["echo.echo"])
        run = mesh("call", "echo.echo", "-", "--raw", "--server", said["endpoints"][0], stdin=everything)
    assert (run.returncode, run.stdout, run.stderr) == (0, everything, b"")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_idle_server_ends_in_under_a_second(calc: Path, number: signal.Signals) -> None:
    def end() -> float:
        with serving(calc) as served:
            began = time.monotonic()
            os.kill(served.pid, number)
            assert served.wait() == 0
            took_s = time.monotonic() - began
            assert served.stderr == []
        return took_s

    assert quickest(end, 1.0) < 1.0


def test_a_call_that_runs_is_finished_before_the_server_ends(served: Process) -> None:
    with spawn([*MESH, "call", "calc.rest", "0.5", "--server", endpoint_of(served)]) as caller:
        served.wait_line("^resting$")
        assert served.terminate() == 0
        assert caller.wait() == 0
        assert caller.stdout == ['"rested"']


def test_a_second_signal_ends_a_server_at_once(served: Process) -> None:
    with spawn([*MESH, "call", "calc.rest", "30", "--server", endpoint_of(served), "--no-idempotent"]) as caller:
        served.wait_line("^resting$")
        os.kill(served.pid, signal.SIGTERM)
        with Client([endpoint_of(served)], discover=False) as client:
            wait_until(lambda: [view.state for view in client.servers()] == ["draining"], what="the drain")
        assert served.returncode is None
        assert served.terminate() == 128 + signal.SIGTERM
        assert caller.wait() == 6  # it had begun, and must not run twice


def test_ctrl_c_ends_a_call_quietly(served: Process) -> None:
    with spawn([*MESH, "call", "calc.rest", "30", "--server", endpoint_of(served)]) as caller:
        served.wait_line("^resting$")
        os.kill(caller.pid, signal.SIGINT)
        assert caller.wait() == 130
        assert caller.lines == []


def test_ctrl_c_ends_a_bench_with_the_figures_so_far(served: Process) -> None:
    where = ["--server", endpoint_of(served)]
    with spawn([*MESH, "bench", "calc.add", "1", "2", "-d", "60", "-c", "2", "--json", *where]) as bench:
        with Client([endpoint_of(served)], discover=False) as client:
            wait_until(lambda: client.call("mesh.stats")["endpoints"][0]["num_requests"] > 20, what="the load")
        os.kill(bench.pid, signal.SIGINT)
        assert bench.wait() == 130
    [told] = map(json.loads, bench.stdout)
    assert (told["stopped"], told["calls"] > 10, told["failed"]) == (True, True, 0)
    assert bench.stderr == []


def test_stats_are_told_again_and_again_until_ctrl_c(served: Process) -> None:
    with spawn([*MESH, "stats", "calc-1", "-d", "0.1", "--json"]) as stats:
        wait_until(lambda: len(stats.stdout) > 2, what="three looks")
        os.kill(stats.pid, signal.SIGINT)
        assert stats.wait() == 0
    assert [json.loads(line)["name"] for line in stats.stdout[:3]] == ["calc-1"] * 3
    assert stats.stderr == []


def test_an_error_in_a_served_file_shows_its_line_and_no_traceback(tmp_path: Path) -> None:
    file = tmp_path / "broken.py"
    file.write_text("import mesh\nmesh.Service('x').method(5)\n")
    run = mesh("serve", str(file))
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr.startswith(f"mesh: {file}:2: ConfigError: ".encode())
    assert run.stderr.count(b"\n") == 1


@pytest.mark.parametrize(("closed", "said"), [(">&-", b"geo: no server"), ("2>&-", b"")])
def test_an_output_that_is_closed_is_nobody_who_reads(closed: str, said: bytes) -> None:
    words = ["call", "geo", "--server", f"tcp://127.0.0.1:{free_port()}", "--timeout", "0.05"]
    run = subprocess.run(
        ["sh", "-c", f'"$@" {closed}', "sh", *MESH, *words], capture_output=True, timeout=20, check=False
    )
    assert (run.returncode, run.stdout) == (3, b"")
    assert said in run.stderr
    assert (
        subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *MESH, "--version"], timeout=20, check=False).returncode
        == 0
    )


def test_a_port_in_use_is_said() -> None:
    service = Service("echo")

    @service.method(raw=True)
    def echo(request: Request) -> list[bytes]:
        return request.frames

    with Server(service, bind="tcp://127.0.0.1:0", advertise=False) as server:
        run = mesh("serve", "echo", "--bind", server.endpoints[0])
    assert (run.returncode, run.stdout) == (2, b"")
    assert run.stderr.startswith(f"mesh: cannot bind {server.endpoints[0]}: ".encode())
    assert run.stderr.count(b"\n") == 1


def test_servers_are_watched_as_they_come_and_go(calc: Path) -> None:
    with spawn([*MESH, "ls", "--watch"]) as watch, spawn([*MESH, "ls", "--watch", "--json"]) as log:
        with spawn([*MESH, "serve", str(calc), "--name", "calc-1"]) as server:
            watch.wait_line(r"^[+=] calc-1 alive calc tcp://127\.0\.0\.1:\d+ ")
            log.wait_line('"event": "added", "name": "calc-1"')
            assert server.terminate() == 0
            watch.wait_line("^- calc-1 ")
            log.wait_line('"event": "removed", "name": "calc-1"')
        assert watch.terminate() == 0
        os.kill(log.pid, signal.SIGINT)
        assert log.wait() == 0
        assert watch.stderr == log.stderr == []


def test_a_foreign_server_is_on_the_mesh_until_the_goodbye() -> None:
    port = free_port()
    seen: list[Change] = []

    def of_ours() -> list[Change]:
        return [change for change in seen if change.peer.name == "old-1"]

    words = [f"tcp://localhost:{port}", "--proto", "rep", "--service", "old", "--name", "old-1"]
    with MdnsBrowser(["127.0.0.1"]) as browser:
        browser.start(seen.append)
        with spawn([*MESH, "advertise", *words]) as process:
            process.wait_line(rf"^advertising old as old-1 on tcp://localhost:{port} \(rep\)$")
            wait_until(of_ours, what="the advertisement")
            assert process.terminate() == 0
        wait_until(lambda: len(of_ours()) == 2, what="the goodbye")
    added, removed = of_ours()
    assert isinstance(added, PeerAdded)
    assert isinstance(removed, PeerRemoved)
    assert added.peer.services == ("old",)
    assert added.peer.properties["proto"] == "rep"
    assert added.peer.properties["realm"] == os.environ["MESH_REALM"]
    assert f"127.0.0.1:{port}" in [str(address) for address in added.peer.addresses]


def test_a_reader_that_went_away_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as nobody:
        assert mesh_into(nobody, "completion", "bash") == (141, b"")


def test_a_full_disk_is_said() -> None:
    sentence = b"mesh: input or output: No space left on device; check the file or the disk\n"
    with open("/dev/full", "wb") as full:
        assert mesh_into(full, "completion", "bash") == (1, sentence)


def completions(line: str, out: Path) -> set[str]:
    """Return what is offered: what the script of argcomplete does in bash, with the answer on descriptor 8."""
    asked = {
        "_ARGCOMPLETE": "1",
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE_IFS": "\n",
        "COMP_TYPE": "9",
    }
    command = 'exec "$@" 8>"$OUT" 9>/dev/null'
    env = {**os.environ, **asked, "OUT": str(out)}
    subprocess.run(["bash", "-c", command, "bash", *MESH], env=env, capture_output=True, timeout=20, check=True)
    return {word.strip() for word in out.read_text().splitlines()}


SPOOL = [("mesh spool ver", {"verify"}), ("mesh spool purge --rea", {"--ready"})]


@pytest.mark.parametrize(
    ("line", "offered"),
    [("mesh ca", {"call"}), ("mesh call a.b --ti", {"--timeout"}), ("mesh completion z", {"zsh"}), *SPOOL],
)
def test_commands_and_options_are_completed(tmp_path: Path, line: str, offered: set[str]) -> None:
    assert completions(line, tmp_path / "out") == offered


def test_names_of_what_is_there_are_completed(served: Process, tmp_path: Path) -> None:
    where = f"--server {endpoint_of(served)}"
    out = tmp_path / "out"
    assert completions(f"mesh drain {where} ca", out) == {"calc-1"}
    assert completions(f"mesh describe {where} calc", out) == {"calc", "calc.add", "calc.rest"}
    assert completions(f"mesh bench --server tcp://127.0.0.1:{free_port()} calc", out) == set()
