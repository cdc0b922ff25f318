"""`mesh bench`: load on a server, its figures for people and for programs, and what it refuses."""

from __future__ import annotations

import json

import pytest

from mesh.cli.bench import _bars
from mesh.cli.latencies import Latencies
from tests.unit.mesh.cli.conftest import Run


def test_people_get_latencies_a_histogram_and_the_share_of_each_server(run: Run, endpoint: str) -> None:
    code, out, err = run("bench", "calc.add", "2", "-n", "50", "-c", "4", "--server", endpoint)
    head, latencies, histogram, servers = out.split("\n\n")
    assert code == 0, err
    assert head.startswith("calc.add: 50 calls in ")
    assert head.endswith(" 0 failed\n4 callers, one call after the other")
    assert latencies.splitlines()[0].split() == ["LEAST", "MEAN", "P50", "P90", "P95", "P99", "P99.9", "MOST"]
    assert latencies.count(" ms") == 8
    assert sum(int(line.split()[4]) for line in histogram.splitlines()[1:]) == 50
    assert "█" * 40 in histogram
    assert servers.splitlines()[1].split() == ["calc-1", "50", "100.0%"]


def test_programs_get_one_object(run: Run, endpoint: str) -> None:
    code, out, err = run("bench", "calc.add", "2", "-r", "100", "-d", "0.2", "--json", "--server", endpoint)
    told = json.loads(out)
    assert told["calls"] + told["missed"] == 20
    assert (code, told["failed"], err) == (1 if told["missed"] else 0, 0, "")
    assert told["plan"] == {"concurrency": 1000, "rate": 100.0, "duration_s": 0.2, "count": None}
    assert told["latency_s"]["least"] <= told["latency_s"]["p50"] <= told["latency_s"]["most"]
    assert sum(bar["count"] for bar in told["histogram"]) == told["calls"]
    assert [(server["name"], server["answers"]) for server in told["servers"]] == [("calc-1", told["calls"])]


def test_a_raw_method_gets_a_body_of_any_size(run: Run, endpoint: str) -> None:
    words = ["bench", "calc.echo", "-n", "3", "--json", "--server", endpoint]
    code, out, err = run(*words, "--size", "64K")
    assert (code, json.loads(out)["calls"], err) == (0, 3, "")
    assert run(*words, "--raw", "a", "b")[0] == 0


def test_a_call_that_cannot_be_answered_is_told_at_once(run: Run, endpoint: str) -> None:
    code, out, err = run("bench", "calc.add", "two", "--server", endpoint)
    assert (code, out) == (67, "")
    assert err.startswith("mesh: calc.add: INVALID_ARGUMENT: ")
    assert run("bench", "cal.add", "--server", endpoint, "--timeout", "0.1")[0] == 3


def test_calls_that_fail_are_told_by_kind(run: Run, endpoint: str) -> None:
    code, out, err = run("bench", "calc.flaky", "-n", "4", "--server", endpoint)
    assert code == 1
    assert "RemoteError UNAVAILABLE" in out
    assert "2 of 4 calls failed; the first: calc.flaky: UNAVAILABLE: down" in err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["calc.echo", "x", "--size", "5"], "--size makes the body; leave the arguments out"),
        (["calc.add", "-d", "0"], "--duration is 0; give seconds, more than 0"),
        (["calc.add", "-c", "0"], "argument -c/--concurrency: 0 is less than 1; "),
        (["calc.add", "--timeout", "0"], "timeout is 0.0; give seconds, more than 0"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, endpoint: str, words: list[str], sentence: str) -> None:
    code, out, err = run("bench", *words, "--server", endpoint)
    assert (code, out) == (2, "")
    assert err.startswith(f"mesh: {sentence}")


def test_bars_are_of_ascii_where_that_is_all_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    class Latin:
        encoding = "latin-1"

    latencies = Latencies()
    latencies.record(0.1)
    monkeypatch.setattr("sys.stdout", Latin())
    assert _bars(latencies)[0][""] == "#" * 40
