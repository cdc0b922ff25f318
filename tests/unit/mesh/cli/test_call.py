"""`mesh call`: what is sent, what is printed, and the exit code."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable

import pytest

from tests.helpers import free_port

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(run: Run, endpoint: str) -> Run:
    """Call a method of `calc`."""
    return lambda *words: run("call", "--server", endpoint, *words)


@pytest.mark.parametrize(
    ("words", "out"),
    [
        (["calc.add", "2", "3"], "5\n"),
        (["calc.add", "--timeout", "3", "2"], "12\n"),
        (["calc.add", "--", "-2", "3"], "1\n"),
        (["calc.add", "-2", "3"], "1\n"),
        (["calc.join", "a", '"1"', "--timeout", "3", "c d"], '"a1c d"\n'),
        (["calc.join", "é"], '"é"\n'),
        (["calc.echo", "--raw"], ""),
        (["calc.echo", "--raw", "1", "two"], "1\ntwo"),
        (["calc.echo", "1", "--raw", "two"], "1\ntwo"),
        (["calc.echo", "--raw", "\udcff"], "\udcff"),
        (["mesh.ping", "--raw", "--peer", "calc-1", "--json", "--count", "2"], None),
    ],
)
def test_the_result_is_printed(call: Run, words: list[str], out: str | None) -> None:
    code, printed, err = call(*words)
    assert (code, err) == (0, "")
    assert out is None or printed == out


def feed(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content), "utf-8"))


def test_arguments_come_from_standard_input(call: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    feed(monkeypatch, b'{"timeout": 3, "key": "k"}')
    assert call("calc.plan", "-") == (0, '["3", "k"]\n', "")
    feed(monkeypatch, b"[1, 2]")
    assert call("calc.add", "-") == (0, "3\n", "")
    feed(monkeypatch, b"a\nb\n")
    assert call("calc.echo", "-", "--raw") == (0, "a\nb\n", "")


def test_a_terminal_gets_several_lines_and_a_last_newline(call: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    assert call("calc.plan", "1", "k") == (0, '[\n  "1",\n  "k"\n]\n', "")
    assert call("calc.echo", "--raw", "a", "b") == (0, "a\nb\n", "")


def test_bytes_are_printed_in_base64_with_a_note(call: Run) -> None:
    assert call("calc.blob") == (0, '{"data": "/wA="}\n', "mesh: note: bytes are printed in base64\n")


def test_json_tells_the_result_and_the_attempts(call: Run) -> None:
    code, out, err = call("calc.add", "2", "3", "--json")
    told = json.loads(out)
    assert (code, err) == (0, "")
    assert (told["ok"], told["method"], told["result"]) == (True, "calc.add", 5)
    assert [attempt["result"] for attempt in told["attempts"]] == ["answered"]
    assert told["elapsed_s"] > 0
    assert told["peer_id"] == told["attempts"][0]["peer_id"]


def test_json_tells_frames_as_text_or_in_base64(call: Run) -> None:
    told = json.loads(call("calc.echo", "--raw", "--json", "a", "é")[1])
    assert (told["frames"], told["encoding"]) == (["a", "é"], "utf-8")
    told = json.loads(call("calc.echo", "--raw", "--json", "a", "\udcff")[1])
    assert ([base64.b64decode(frame) for frame in told["frames"]], told["encoding"]) == ([b"a", b"\xff"], "base64")


def test_json_tells_the_error_and_nothing_else_is_said(call: Run) -> None:
    code, out, err = call("calc.divide", "--json")
    told = json.loads(out)
    assert (code, err) == (66, "")
    assert told["ok"] is False
    assert told["error"]["type"] == "RemoteError"
    assert (told["error"]["status"], told["error"]["remote_type"]) == ("UNKNOWN", "ZeroDivisionError")
    assert told["error"]["message"] == "division by zero"
    assert "return 1 / 0" in told["error"]["traceback"]
    assert len(told["attempts"]) == 1


def test_verbose_shows_the_attempts_and_a_remote_traceback(call: Run) -> None:
    code, out, err = call("calc.add", "2", "3", "--verbose")
    assert (code, out) == (0, "5\n")
    assert err.startswith("mesh: attempt 1 at calc-1 (tcp://127.0.0.1:")
    assert err.endswith(" s: answered\n")
    code, out, err = call("calc.divide", "--verbose")
    assert (code, out) == (66, "")
    assert "return 1 / 0" in err
    assert err.endswith("mesh: calc.divide: UNKNOWN: ZeroDivisionError: division by zero\n")


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["calc.ad"], 76, "calc.ad: UNIMPLEMENTED: unknown method calc.ad; nearest: calc.add"),
        (["calc.add", "two"], 67, "calc.add: INVALID_ARGUMENT: "),
        (["calc.add"], 67, "calc.add: INVALID_ARGUMENT: "),
        (["calc.fail"], 69, r"calc.fail: NOT_FOUND: no such order\x1b[31m"),
        (["calc.add", "1", str(1 << 70)], 2, "argument 2 (int) cannot be sent: "),
        (["calc.echo", "--raw", *["x"] * 257], 2, "the body has 257 frames; frames_max is 256"),
    ],
)
def test_a_failure_is_one_sentence_and_a_code(call: Run, words: list[str], code: int, sentence: str) -> None:
    ended, out, err = call(*words)
    assert (ended, out) == (code, "")
    assert err.startswith(f"mesh: {sentence}")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "seen"),
    [
        (["cal.add"], " Nobody offers 'cal'; offered are: calc. Did you mean calc?"),
        (["calc.add", "--peer", "x"], " No server is called 'x'; seen: calc-1 (alive)."),
    ],
)
def test_no_server_is_said_with_what_was_seen(call: Run, words: list[str], seen: str) -> None:
    code, out, err = call(*words, "--timeout", "1")
    assert (code, out) == (3, "")
    assert err.startswith(f"mesh: {words[0]}: no server within ")
    assert err.endswith(f"{seen}\n")
    assert err.count("\n") == 1


def test_a_server_that_is_gone_is_named(run: Run) -> None:
    port = free_port()
    code, out, err = run("call", "calc.add", "--server", f"tcp://127.0.0.1:{port}", "--timeout", "0.2")
    assert (code, out) == (3, "")
    assert str(port) in err


def test_many_calls_give_a_summary(call: Run) -> None:
    code, out, err = call("calc.add", "1", "--count", "5", "--rate", "1000")
    assert (code, err) == (0, "")
    assert out.startswith("5 calls, 0 failed, ")
    assert all(f", p{share} " in out for share in (50, 95, 99))


def test_many_calls_give_a_summary_as_json(call: Run) -> None:
    code, out, err = call("calc.divide", "--count", "3", "--json")
    told = json.loads(out)
    assert (code, err) == (1, "")
    assert (told["calls"], told["failed"], told["errors"]) == (3, 3, {"RemoteError UNKNOWN": 3})
    assert told["p50_s"] is None
    assert "division by zero" in told["first_error"]


def test_many_calls_tell_the_first_failure_and_each_attempt(call: Run) -> None:
    code, out, err = call("calc.divide", "--count", "2", "--verbose")
    assert code == 1
    assert out.startswith("2 calls, 2 failed, ")
    assert err.count("mesh: attempt 1 at calc-1 ") == 2
    assert err.splitlines()[-1].startswith("mesh: 2 of 2 calls failed; the first: calc.divide: UNKNOWN: ")


def test_what_cannot_be_sent_is_not_tried_many_times(call: Run) -> None:
    code, out, err = call("calc.add", str(1 << 70), "--count", "3")
    assert (code, out) == (2, "")
    assert err.startswith("mesh: argument 1 (int) cannot be sent: ")
