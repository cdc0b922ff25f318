"""Arguments of calls, from the command line and from standard input."""

from __future__ import annotations

import io

import pytest

from mesh.cli.exits import UsageError
from mesh.cli.values import raw_frames, typed_arguments


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))


def test_arguments_are_json_where_they_parse_and_text_elsewhere() -> None:
    words = [
        "2",
        "2.5",
        "true",
        "null",
        '"3"',
        "[1, 2]",
        '{"a": 1}',
        "word",
        "",
        "1 2",
        "{",
        "NaN",
        "-Infinity",
        "[" * 5000,
    ]
    given, named = typed_arguments(words)
    assert given[:7] == [2, 2.5, True, None, "3", [1, 2], {"a": 1}]
    assert given[7:] == words[7:]
    assert named == {}


@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        (b"[1, [2]]", ([1, [2]], {})),
        (b'{"a": 1, "timeout": 2}', ([], {"a": 1, "timeout": 2})),
        (b' "x"\n', (["x"], {})),
        (b"null", ([None], {})),
    ],
)
def test_standard_input_holds_arguments(
    monkeypatch: pytest.MonkeyPatch, text: bytes, arguments: tuple[list[object], dict[str, object]]
) -> None:
    feed(monkeypatch, text)
    assert typed_arguments(["-"]) == arguments


@pytest.mark.parametrize("text", [b"", b"word", b"[1", b"[" * 100_000, b"\xff"])
def test_standard_input_that_is_no_json_is_refused(monkeypatch: pytest.MonkeyPatch, text: bytes) -> None:
    feed(monkeypatch, text)
    with pytest.raises(UsageError, match=r"standard input is not JSON .*; pipe one JSON value, or use --raw for bytes"):
        typed_arguments(["-"])


def test_raw_arguments_are_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    assert raw_frames(["1", "é", "", "\udcff"]) == [b"1", "é".encode(), b"", b"\xff"]
    assert raw_frames([]) == []
    feed(monkeypatch, b"a\n\x00\xff")
    assert raw_frames(["-"]) == [b"a\n\x00\xff"]


def test_standard_input_stands_alone() -> None:
    for read in (typed_arguments, raw_frames):
        with pytest.raises(UsageError, match="'-' stands for standard input and has to be the only argument"):
            read(["1", "-"])
