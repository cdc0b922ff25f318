"""The fuzzer itself: it finds nothing in what is shipped, and it finds what is wrong."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

from mesh.core.wire import MESH_PREFIX, Message
from scripts import fuzz_wire


def test_some_thousand_messages_keep_the_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz_wire.main(["--runs", "2000", "--seed", "3"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("2000 messages (")
    assert re.search(r"memory \+-?\d+\.\d MB, seed 3$", printed.strip())


def test_memory_that_grows_is_a_violation(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    said = iter([40.0, 56.5])
    monkeypatch.setattr(fuzz_wire, "resident_mb", lambda: next(said))
    assert fuzz_wire.main(["--runs", "10"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "VIOLATION: the memory grew by more than 16 MB"


def test_the_guided_mode_begins_with_valid_messages(tmp_path: Path) -> None:
    fuzz_wire._seed_corpus([str(tmp_path)], 1)
    inputs = [path.read_bytes().split(fuzz_wire._BETWEEN) for path in tmp_path.iterdir()]
    assert len(inputs) == 200
    assert all(fuzz_wire.check([MESH_PREFIX + head, *bodies]) for head, *bodies in inputs)


def test_a_missing_fuzzer_and_a_missing_folder_are_told_with_a_remedy(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    assert fuzz_wire.main(["--atheris"]) == 2
    assert "pip install 'freelance-mesh[fuzz]'" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "atheris", ModuleType("atheris"))
    assert fuzz_wire.main(["--atheris", "no-such-folder"]) == 2
    assert "'no-such-folder': No such file or directory; make it first" in capsys.readouterr().err


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
