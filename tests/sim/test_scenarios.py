"""Plays every scenario and compares its trace with the recorded one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sim.scenario import ScenarioError, play

SCENARIOS = sorted((Path(__file__).parent / "scenarios").glob("*.txt"))


@pytest.mark.parametrize("path", SCENARIOS, ids=lambda path: path.stem)
def test_scenario_leaves_the_trace_that_was_recorded(path: Path, request: pytest.FixtureRequest) -> None:
    recorded = path.read_text(encoding="utf-8")
    played, wrong = play(recorded)
    if request.config.getoption("--rewrite", default=False):
        path.write_text(played, encoding="utf-8")
    else:
        assert played == recorded, "if the new trace is as it should be: pytest tests/sim --rewrite"
    assert not wrong


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("> dance", "line 1, > dance: there is no such command"),
        ("> world colour=red", "a world has no colour"),
        ("> add-servers 1\n> call echo twice 2", "a call takes no twice"),
        ("> add-servers 1\n> call echo\n> advance 1s\n> expect ok 2", "line 4, > expect ok 2: there are 1 ok"),
        ("> add-servers 1\n> call echo\n> advance 1s\n> expect ok at-most 0", "there are 1 ok"),
    ],
)
def test_scenario_that_is_wrong_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        play(text)
