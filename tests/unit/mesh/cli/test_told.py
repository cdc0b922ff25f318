"""Answers of servers that may be anything."""

from __future__ import annotations

from mesh.cli.told import Told


def test_what_is_there_is_read_and_what_is_not_is_absent() -> None:
    told = Told({"a": "x\x1b[2J\ny\tz", "b": 2.5, "c": [{"d": 1}, 7], "e": {"f": "g"}})
    assert told.text("a") == "x\\x1b[2J\\ny\\tz"
    assert told.lines("a") == ["x\\x1b[2J", "y       z"]
    assert (told.number("b"), told.count("b")) == (2.5, 2)
    assert [part.count("d") for part in told.parts("c")] == [1, 0]
    assert told.part("e").text("f") == "g"
    for key in ("b", "nothing"):
        assert (told.text(key), told.lines(key), told.parts(key), told.part(key).raw) == ("", [], [], {})
    assert (told.number("a"), told.count("a")) == (None, 0)


def test_numbers_that_are_none_are_absent() -> None:
    told = Told({"a": float("nan"), "b": float("inf"), "c": -1, "d": True, "e": "1"})
    assert [told.number(key) for key in "abcde"] == [None] * 5


def test_an_answer_that_is_no_map_is_empty() -> None:
    assert [Told(answer).raw for answer in (None, 7, ["a"], "a")] == [{}, {}, {}, {}]
