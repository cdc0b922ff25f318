"""JSON of whatever a method may answer, and text that cannot steer a terminal."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Callable

import pytest

from mesh.cli import text as told
from mesh.cli.text import compact, complain, has_bytes, milliseconds, pretty, printable, say


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        ([True, 1, 2.5, "é"], '[true, 1, 2.5, "é"]'),
        (b"\xff\x00", '"/wA="'),
        ((1, [b"a"]), '[1, ["YQ=="]]'),
        ({1: "a", None: "b", b"\x00": "c", "d": {}}, '{"1": "a", "null": "b", "AA==": "c", "d": {}}'),
        ([float("nan"), float("-inf")], '["nan", "-inf"]'),
        (datetime.datetime(2024, 5, 6, tzinfo=datetime.UTC), '"2024-05-06T00:00:00+00:00"'),
    ],
)
def test_a_value_is_json(value: object, text: str) -> None:
    assert compact(value) == text
    assert json.loads(pretty(value)) == json.loads(text)


def test_json_for_people_has_several_lines() -> None:
    assert pretty({"a": 1}) == '{\n  "a": 1\n}'


@pytest.mark.parametrize(("speak", "stream", "line"), [(say, "stdout", "two\n"), (complain, "stderr", "mesh: two\n")])
def test_a_line_is_written_at_once_with_its_end(
    speak: Callable[[str], None], stream: str, line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []

    class Output(io.StringIO):
        def write(self, text: str) -> int:
            written.append(text)
            return len(text)

    monkeypatch.setattr(f"sys.{stream}", Output())
    speak("two")
    assert [text for text in written if text] == [line]


def test_an_output_that_is_not_utf8_gets_ascii(monkeypatch: pytest.MonkeyPatch) -> None:
    class Latin:
        encoding = "latin-1"

    monkeypatch.setattr("sys.stdout", Latin())
    assert compact("é") == '"\\u00e9"'


def test_bytes_are_found_at_any_depth() -> None:
    assert has_bytes([{"a": [b""]}])
    assert has_bytes({b"": 1})
    assert not has_bytes([{"a": ["", 1, None]}])


def test_what_could_steer_a_terminal_is_escaped() -> None:
    assert printable("naïve 名前") == "naïve 名前"
    assert printable("a\x1b[2Jb\nc\x9bd\udc80") == "a\\x1b[2Jb\\nc\\x9bd\\udc80"


def test_a_complaint_is_one_line_on_standard_error(capsys: pytest.CaptureFixture[str]) -> None:
    complain("one\ntwo")
    assert capsys.readouterr() == ("", "mesh: one\\ntwo\n")


def test_durations_have_three_digits_that_count() -> None:
    assert [milliseconds(seconds) for seconds in (0.0001234, 1.5, None)] == ["0.123 ms", "1.5e+03 ms", ""]


def test_complaints_can_be_told_in_another_way(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(told, "_tell", None)
    sentences: list[str] = []
    told.complain_to(sentences.append)
    told.complain("no such file")
    assert sentences == ["no such file"]
    assert capsys.readouterr().err == ""
