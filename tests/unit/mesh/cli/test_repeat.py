"""Many calls: the pace, the figures, the end by Ctrl-C."""

from __future__ import annotations

import argparse
import time
from typing import Any

import pytest

from mesh import CallTimeout, NoServer
from mesh.cli.repeat import repeat


class Answer:
    """Stands for a reply."""

    elapsed_s = 0.002
    attempts = ()


def settings(count: int, rate: float = 0.0, *, json: bool = False) -> argparse.Namespace:
    return argparse.Namespace(count=count, rate=rate, json=json)


def ask_with(*outcomes: Any) -> Any:
    waiting = iter(outcomes)

    def ask() -> Any:
        outcome = next(waiting)
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    return ask


def test_failures_are_counted_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    ask = ask_with(Answer(), NoServer("nobody"), CallTimeout("late"), NoServer("again"))
    assert repeat(ask, settings(4), None) == 1
    out, err = capsys.readouterr()
    assert out.startswith("4 calls, 3 failed, ")
    assert out.endswith("p50 2 ms, p95 2 ms, p99 2 ms\n")
    assert err == "mesh: 3 of 4 calls failed; the first: nobody\n"


def test_the_rate_is_an_upper_bound(capsys: pytest.CaptureFixture[str]) -> None:
    began = time.perf_counter()
    assert repeat(ask_with(*[Answer()] * 5), settings(5, 100.0), None) == 0
    assert time.perf_counter() - began >= 0.04
    capsys.readouterr()


def test_ctrl_c_ends_with_the_summary_of_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    assert repeat(ask_with(Answer(), KeyboardInterrupt()), settings(9), None) == 130
    assert capsys.readouterr().out.startswith("1 calls, 0 failed, ")


def test_a_terminal_gets_a_progress_bar(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert repeat(ask_with(*[Answer()] * 3), settings(3), None) == 0
    assert "3/3" in capsys.readouterr().err
    monkeypatch.setenv("TERM", "dumb")
    assert repeat(ask_with(*[Answer()] * 3), settings(3), None) == 0
    assert capsys.readouterr().err == ""
