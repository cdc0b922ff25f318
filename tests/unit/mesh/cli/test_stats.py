"""`mesh stats`: how servers do, once and again and again."""

from __future__ import annotations

import json

from mesh import Client
from tests.helpers import free_port
from tests.unit.mesh.cli.conftest import Run

SERVER_TITLES = "SERVER STATE UP CALLS ERRORS OPEN SHED EXPIRED DUP CPU MEM"
METHOD_TITLES = "SERVER METHOD CALLS ERRORS P50 P95 P99"


def test_stats_tell_of_each_server_and_each_method(run: Run, foreign: str, endpoint: str, second: str) -> None:
    with Client([second], discover=False) as client:
        for number in range(3):
            client.call("calc.add", number, 0.5)
    code, out, err = run("stats", "--server", endpoint, "--server", second, "--server", foreign)
    assert (code, err) == (0, "")
    servers, methods = (part.splitlines() for part in out.split("\n\n"))
    assert servers[0].split() == SERVER_TITLES.split()
    assert [line.split()[0] for line in servers[1:]] == ["calc-1", "calc-2", "old"]
    assert servers[2].split()[3:9] == ["3", "0", "0/4096", "0", "0", "0"]
    assert methods[0].split() == METHOD_TITLES.split()
    [line] = [line for line in methods if line.startswith("calc-2") and "calc.add" in line]
    assert line.split()[2:4] == ["3", "0"]
    assert line.count(" ms") == 3


def test_stats_again_and_again_have_rates(run: Run, second: str) -> None:
    code, out, err = run("stats", "-d", "0.05", "-n", "2", "--server", second)
    assert (code, err) == (0, "")
    assert [line.split()[4] for line in out.splitlines() if line.split()[:2] == ["SERVER", "STATE"]] == [
        "ERRORS",
        "CALLS/S",
    ]
    code, out, err = run("stats", "-d", "0.05", "-n", "2", "--server", second, "--json")
    first, last = map(json.loads, out.splitlines())
    assert (code, err, first["calls_per_s"], last["calls_per_s"]) == (0, "", {}, {"calc.add": 0, "geo.move": 0})
    assert last["stats"]["uptime_s"] > first["stats"]["uptime_s"]


def test_many_looks_need_a_delay(run: Run, second: str) -> None:
    code, out, err = run("stats", "-n", "2", "--server", second)
    assert (code, out) == (2, "")
    assert err == "mesh: --count is for looking again and again; say how often with --delay\n"


def test_a_server_that_does_not_answer_is_named(run: Run, endpoint: str) -> None:
    gone = f"tcp://127.0.0.1:{free_port()}"
    code, out, err = run("stats", "--server", endpoint, "--server", gone, "--timeout", "1")
    assert code == 1
    assert "calc-1" in out
    assert err.startswith(f"mesh: {gone.removeprefix('tcp://')} ({gone}): mesh.stats: no server within ")


def test_whatever_a_server_answers_is_no_fault_of_this_program(run: Run, garbled: str) -> None:
    for number in range(10):
        words = ["--json"] if number >= 5 else []
        code, _, err = run("stats", "-d", "0.01", "-n", "2", "--server", garbled, *words)
        assert (code, err) == (0, "")
