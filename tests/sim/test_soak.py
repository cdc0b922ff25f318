"""The soak test: what it prints, and what it returns."""

from __future__ import annotations

import json

import pytest

from mesh.core.dispatch import Dispatcher
from scripts import soak

FEW = ["--servers", "2", "--calls", "20"]


def test_soak_counts_worlds_and_keeps_its_time(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(soak, "_BATCH_SERVERS", 20)
    assert soak.main(["--minutes", "0.0001", *FEW]) == 0
    printed = capsys.readouterr().out
    assert " worlds, " in printed
    assert " 0 broken; " in printed
    assert "fault: " in printed, "it says what the worlds have met"


def test_soak_runs_the_seeds_it_is_given_in_several_processes(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--seeds", "0:5", "--jobs", "2", "--json", *FEW]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["worlds"], result["broken"], result["left"], result["jobs"]) == (5, [], "none left", 2)
    assert result["met"]["call asked"]["worlds"] == 5


def lose(*arguments: object) -> None:
    raise KeyError("lost")


def test_soak_says_how_to_repeat_what_broke_and_where_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(Dispatcher, "answered", lose)
    monkeypatch.setattr(soak, "_BATCH_SERVERS", 10)
    assert soak.main(["--seeds", "3:100", *FEW]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("seed=3 commit=")
    assert any("KeyError: 'lost'" in line for line in lines)
    assert lines[-1].endswith("left: --seeds 8:100"), "it stops at the first, after its batch"
    command = next(line.strip() for line in lines if "python -m scripts.soak" in line)
    assert soak.main(command.split()[3:]) == 1
    assert "KeyError: 'lost'" in capsys.readouterr().err


def test_soak_keeps_going_if_it_is_told_to(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(Dispatcher, "answered", lose)
    monkeypatch.setattr(soak, "_BATCH_SERVERS", 2)
    assert soak.main(["--seeds", "0:3", "--keep-going", *FEW]) == 1
    assert "3 broken" in capsys.readouterr().out.splitlines()[-1]


def test_soak_notices_that_the_same_seed_gives_another_trace(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = soak._run
    traces = iter(range(2))

    def differ(*arguments: object, **options: object) -> object:
        world, found = run(*arguments, **options)  # type: ignore[arg-type]
        assert world is not None
        world.history.digest = next(traces)
        return world, found

    monkeypatch.setattr(soak, "_run", differ)
    assert soak.main(["--seeds", "0:1", *FEW]) == 1
    assert "the same seed gave another trace" in capsys.readouterr().out


def test_one_world_prints_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--seed", "3", "--calls", "20"]) == 0
    printed = capsys.readouterr()
    assert "asks sim." in printed.out
    assert printed.err == "every promise was kept\n"


@pytest.mark.parametrize(
    "argument",
    [["--calls", "0"], ["--servers", "0"], ["--jobs", "0"], ["--seed", "x"], ["--seeds", "3"], ["--seeds", "3:3"]],
)
def test_soak_refuses_what_is_no_world(argument: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        soak.main(argument)
    assert "usage:" in capsys.readouterr().err
