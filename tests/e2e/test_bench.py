"""Every section of the bench runs, compares what it should, and says what it found; what it found is not looked at."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from scripts import bench, bench_core, bench_peers
from scripts.bench_calls import Calls, Servers
from scripts.bench_figures import UNITS, BenchError, Contender, Effort, Figure, Limit, Ratio, Sample, Section
from scripts.bench_process import Worker
from scripts.bench_report import print_figures, print_section
from scripts.bench_sections import SECTIONS
from tests.helpers import needs_program, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.network, pytest.mark.slow]

RATIOS = {
    "sync": slice(2),
    "async": slice(2),
    "flight": slice(5, 6),
    "handlers": slice(3),
    "known": slice(1, 2),
    "start": slice(1, 2),
}
"""Which of a section's ratios are measured; the first of the others."""


def trimmed(section: Section, ratios: slice) -> Section:
    """Keep the contenders that some ratios compare: many others do the same with other numbers."""
    kept = section.ratios[ratios]
    names = {name for ratio in kept for name in (ratio.of, ratio.base)}
    return replace(section, contenders=tuple(one for one in section.contenders if one.name in names), ratios=kept)


def made_up(name: str, **sample: float) -> Contender:
    return Contender(name, lambda: sample)


def with_section(monkeypatch: pytest.MonkeyPatch, section: Section) -> None:
    monkeypatch.setitem(SECTIONS, section.name, lambda effort: section)


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = bench.main([*arguments, "--json"])
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return code, told


@pytest.mark.parametrize("name", [name for name in SECTIONS if name not in ("core", "failover", "peers")])
def test_a_section_measures_its_contenders_and_compares_them(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    section = trimmed(SECTIONS[name](Effort(rounds=1, seconds=0.05, many=20)), RATIOS.get(name, slice(1)))
    with_section(monkeypatch, section)
    code, told = run_json(capsys, name, "--quick")
    assert code == 0
    assert [row["contender"] for row in told["contenders"]] == [one.name for one in section.contenders]
    measured = [set(row) - {"section", "contender", "rounds"} for row in told["contenders"]]
    assert all(keys and keys <= set(UNITS) for keys in measured)
    assert all(row[key] > 0 for row, keys in zip(told["contenders"], measured, strict=True) for key in keys)
    assert [figure["limit"] for figure in told["figures"]] == [
        None if ratio.limit is None else str(ratio.limit) for ratio in section.ratios
    ]
    assert all(figure["low"] <= figure["ratio"] <= figure["high"] for figure in told["figures"])


def test_failover_is_felt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    section = SECTIONS["failover"](Effort())
    with_section(monkeypatch, replace(section, contenders=section.contenders[:1]))
    _, told = run_json(capsys, "failover", "--quick")
    (row,) = told["contenders"]
    assert row["failed"] == 0
    assert row["gap_ms"] > 0


@pytest.mark.parametrize("make", SECTIONS.values(), ids=SECTIONS.keys())
def test_ratios_are_between_contenders_of_their_section(make: Callable[[Effort], Section]) -> None:
    section = make(Effort())
    names = [one.name for one in section.contenders]
    assert len(set(names)) == len(names)
    assert {name for ratio in section.ratios for name in (ratio.of, ratio.base)} <= set(names)


def test_every_limit_of_speed_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench_peers.Peer, "missing", lambda peer: "")
    limits = [
        str(ratio.limit)
        for name, make in SECTIONS.items()
        if name != "core"
        for ratio in make(Effort()).ratios
        if ratio.limit
    ]
    wanted = ["<= 1.15", "<= 1.35", ">= 1", ">= 1.6", ">= 0.9", ">= 0.8", ">= 1.2", ">= 0.85", ">= 0.8"]
    assert limits == [*wanted, "<= 1.4", "<= 1.4", "<= 1.3", "<= 1.3", "<= 4", *[">= 4"] * 5]


def test_each_round_is_compared_with_the_same_round_of_the_base() -> None:
    samples: dict[str, list[Sample]] = {
        "ours": [{"rate": 10.0}, {"rate": 30.0}, {"rate": 90.0}],
        "raw": [{"rate": 10.0}, {"rate": 10.0}, {"rate": 300.0}],
    }
    figure = Figure.measured("made up", Ratio("ours", "raw", "rate", Limit(at_least=1.0)), samples)
    assert (figure.median, figure.low, figure.high) == (1.0, 0.3, 3.0)
    assert figure.met is True


@pytest.mark.parametrize(
    ("limit", "met"),
    [(Limit(at_least=1.6), False), (Limit(at_most=1.6), True), (Limit(at_most=1.4), False), (None, None)],
)
def test_tables_say_what_was_found_and_whether_that_is_enough(limit: Limit | None, met: bool | None) -> None:
    console = Console(record=True, width=100, file=io.StringIO())
    samples: dict[str, list[Sample]] = {"ours": [{"rate": 1500.0, "p50_us": 12.34}], "raw": [{"rate": 1000.0}]}
    ratio = Ratio("ours", "raw", "rate", limit)
    print_section(console, Section("made up", (), (ratio,), ("nobody is here",)), samples)
    print_figures(console, [Figure.measured("made up", ratio, samples)])
    text = console.export_text()
    assert "calls/s" in text
    assert "12.3" in text
    assert "skipped: nobody is here" in text
    assert "ours / raw, calls/s" in text
    assert ("MISSED" in text, " met" in text) == (met is False, met is True)


@pytest.mark.parametrize(("ours", "code"), [(1.0, 0), (0.5, 1)])
def test_a_missed_limit_fails_only_a_check(
    ours: float, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contenders = (made_up("ours", rate=ours), made_up("raw", rate=1.0))
    with_section(monkeypatch, Section("sync", contenders, (Ratio("ours", "raw", "rate", Limit(at_least=0.9)),)))
    assert run_json(capsys, "sync", "--check", "--quick")[0] == code
    assert run_json(capsys, "sync", "--quick")[0] == 0


def test_what_cannot_be_measured_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    nobody = Calls("raw.nobody", (Servers("raw.router"),)).contender("nobody", Effort())
    with_section(monkeypatch, Section("sync", (nobody,)))
    assert bench.main(["sync", "--quick"]) == 1
    assert capsys.readouterr().err == "bench: call raw.nobody ended early: KeyError: 'nobody'\n"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["speed"], "there is no section 'speed'; choose from sync, "),
        (["--rounds", "0"], "--rounds takes a number from 1"),
        (["--seconds", "nan"], "--seconds one above 0"),
        (["--store"], "--store is for the section core alone"),
    ],
)
def test_arguments_that_cannot_be_used(arguments: list[str], sentence: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(arguments)
    assert sentence in capsys.readouterr().err


def test_a_server_ends_with_whoever_started_it() -> None:
    with Worker("serve", "raw.router") as server:
        server.hear()
        process = server._process
        assert process.stdin is not None
        process.stdin.close()
        wait_until(lambda: process.poll() == 0)


def test_libraries_that_are_not_installed_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_peers, "find_spec", lambda module: object() if module == "nats" else None)
    monkeypatch.setattr(shutil, "which", lambda program: None)
    _, told = run_json(capsys, "peers", "--quick")
    assert told["skipped"][:2] == [
        "nats-py: the program nats-server is not installed",
        "grpc.aio: the module grpc is not installed",
    ]
    assert [row["contender"] for row in told["contenders"]] == ["AsyncClient, 64 in flight"]


# -- the cores alone


def test_without_valgrind_the_cores_are_timed_at_least(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: None)
    code, told = run_json(capsys, "core", "--quick", "--check")
    assert code == 0
    assert all(row["events"] > 0 and row["blocks"] > 0 for row in told["contenders"])
    assert "valgrind, which is not installed" in told["skipped"][0]
    assert bench.main(["core", "--store"]) == 1
    assert "apt-get install valgrind" in capsys.readouterr().err


def test_counts_of_another_build_are_not_compared(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda program: program)
    stored = tmp_path / "stored.json"
    monkeypatch.setattr(bench_core, "_STORED", stored)
    assert "nothing is stored for Python" in bench_core.core_section(Effort()).skipped[0]
    stored.write_text(json.dumps({bench_core._minor(): {"build": "another", "tolerance": 0.02, "per_call": {}}}))
    assert "was counted with another, and this is CPython" in bench_core.core_section(Effort()).skipped[0]


@pytest.mark.timeout(180)  # valgrind takes 50 times as long, 10 s on a machine that has nothing else to do
@needs_program("valgrind")
def test_more_instructions_than_are_stored_fail_a_check(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = tmp_path / "stored.json"
    monkeypatch.setattr(bench_core, "_STORED", stored)
    assert bench.main(["core", "--store"]) == 0
    assert capsys.readouterr().out.startswith("stored for Python ")
    counted = json.loads(stored.read_text())[bench_core._minor()]
    alone, together, crowded = counted["per_call"].values()
    assert 1000 < together["instructions"] < crowded["instructions"] < alone["instructions"] < 1_000_000
    assert 1 < together["allocations"] < alone["allocations"] < 1000
    assert run_json(capsys, "core", "--check", "--quick")[0] == 0
    alone["instructions"] *= 0.97
    stored.write_text(json.dumps({bench_core._minor(): counted}))
    code, told = run_json(capsys, "core", "--check", "--quick")
    assert code == 1
    assert [figure["met"] for figure in told["figures"]] == [False, None, True, None, True, None]


def test_a_part_of_callgrind_is_read() -> None:
    part = "summary: 1200\n\nfn=main\ncfn=_PyObject_Malloc\ncalls=3 10\n1 5\ncfn=_PyObject_Free\ncalls=2 1\n1 1\n"
    assert bench_core.read_part(part + "fn=other\ncfn=_PyObject_Calloc\ncalls=1 1\n1 1\n") == (1200, 4)
    with pytest.raises(BenchError, match="without a summary"):
        bench_core.read_part("events: Ir\n")
