"""The fuzzer itself: it finds nothing in what is shipped, and it finds what is wrong."""

from __future__ import annotations

import pytest

from mesh.core.wire import Message
from scripts import fuzz_wire


def test_some_thousand_messages_keep_the_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz_wire.main(["--runs", "2000", "--seed", "3"]) == 0
    assert capsys.readouterr().out.startswith("2000 messages (")


def test_the_same_seed_gives_the_same_messages() -> None:
    one, two = fuzz_wire.inputs(5), fuzz_wire.inputs(5)
    assert [next(one) for _ in range(50)] == [next(two) for _ in range(50)]


def test_a_violation_is_told_with_its_input_and_how_to_repeat_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(frames: object, limits: object) -> Message:
        raise KeyError("kind")

    monkeypatch.setattr(fuzz_wire, "decode", broken)
    assert fuzz_wire.main(["--runs", "10", "--seed", "4"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "VIOLATION: decode raised KeyError: 'kind'"
    assert bytes.fromhex(lines[1])
    assert lines[-1] == "again: python -m scripts.fuzz_wire --runs 10 --seed 4"
