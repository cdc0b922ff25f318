"""The soak test: what it prints, and what it returns."""

from __future__ import annotations

import pytest

from mesh.core.dispatch import Dispatcher
from scripts import soak


def test_soak_counts_worlds_and_keeps_its_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--minutes", "0.002", "--servers", "2", "--calls", "20"]) == 0
    printed = capsys.readouterr().out
    assert " worlds, " in printed
    assert " 0 broken" in printed


def test_soak_says_how_to_repeat_what_broke(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def lose(*arguments: object) -> None:
        raise KeyError("lost")

    monkeypatch.setattr(Dispatcher, "reply", lose)
    assert soak.main(["--minutes", "0.0001", "--servers", "2", "--calls", "20"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("seed=")
    assert any("KeyError: 'lost'" in line for line in lines)
    command = next(line.strip() for line in lines if "python -m scripts.soak" in line)
    assert soak.main(command.split()[3:]) == 1
    assert "KeyError: 'lost'" in capsys.readouterr().err


def test_one_world_prints_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--seed", "3", "--calls", "20"]) == 0
    printed = capsys.readouterr()
    assert "asks sim." in printed.out
    assert printed.err == "every promise was kept\n"


@pytest.mark.parametrize("argument", [["--calls", "0"], ["--servers", "0"], ["--seed", "x"]])
def test_soak_refuses_what_is_no_world(argument: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        soak.main(argument)
    assert "usage:" in capsys.readouterr().err
