"""Log records as JSON."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mesh import Attempt, CallTimeout
from mesh.core.events import ReplyGiven
from mesh.core.work import Work
from mesh.logs import JsonFormatter, NamingRunner, passed_on, told


class Lines(logging.Handler):
    """Keeps what is logged as the objects that the lines are."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter("ann"))
        self.seen: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        line = self.format(record)
        assert "\n" not in line
        self.seen.append(json.loads(line, parse_constant=_refuse))


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")


log = logging.getLogger("tests.logs")


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines = Lines()
    log.addHandler(lines)
    log.propagate = False
    yield lines
    log.removeHandler(lines)
    log.propagate = True


class Runs:
    """A runner that does what a test wants, in place of a handler."""

    def __init__(self, handler: Callable[[], None]) -> None:
        self._handler = handler
        self.cancelled: list[Work] = []

    def run(self, work: Work) -> ReplyGiven:
        self._handler()
        return ReplyGiven(work)

    async def run_async(self, work: Work) -> ReplyGiven:
        await asyncio.sleep(0)
        self._handler()
        return ReplyGiven(work)

    def cancel(self, work: Work) -> None:
        self.cancelled.append(work)


def work(call_id: int) -> Work:
    return Work(b"\0\x01", (), True, call_id, "calc.add", [b""], None)


def test_a_record_is_one_object_with_who_says_what(lines: Lines) -> None:
    log.warning("%d\nlines", 2, extra={"site": "A"})
    [line] = lines.seen
    assert line.pop("time").endswith("+00:00")
    assert line.pop("pid") > 0
    assert line == {
        "level": "WARNING",
        "logger": "tests.logs",
        "message": "2\nlines",
        "server": "ann",
        "site": "A",
    }


def test_an_exception_is_one_field(lines: Lines) -> None:
    try:
        raise KeyError("missing")
    except KeyError:
        log.exception("no luck")
    [line] = lines.seen
    assert line["exception"].startswith("Traceback (most recent call last):\n")
    assert line["exception"].endswith("KeyError: 'missing'")


def test_the_error_of_a_call_names_it_and_its_attempts(lines: Lines) -> None:
    attempt = Attempt("id", "bob", "tcp://10.0.0.1:5", 0.0, 1.0, "no answer")
    error = CallTimeout("too late", method="calc.add", call_id=7, attempts=(attempt,))
    log.error("no sum", exc_info=error)
    [line] = lines.seen
    assert (line["call"], line["method"]) == (7, "calc.add")
    assert line["attempts"] == [{"peer": "bob", "result": "no answer"}]


def test_records_of_a_handler_name_its_call(lines: Lines) -> None:
    runner = NamingRunner(Runs(lambda: log.warning("here")))
    runner.run(work(7))
    log.warning("after")
    named, after = lines.seen
    assert {name: named[name] for name in ("call", "peer", "method", "attempt")} == {
        "call": 7,
        "peer": "0001",
        "method": "calc.add",
        "attempt": 1,
    }
    assert "call" not in after


async def _two(runner: NamingRunner) -> None:
    await asyncio.gather(runner.run_async(work(1)), runner.run_async(work(2)))


def test_coroutines_that_run_at_the_same_time_keep_their_calls_apart(lines: Lines) -> None:
    asyncio.run(_two(NamingRunner(Runs(lambda: log.warning("here")))))
    assert [line["call"] for line in lines.seen] == [1, 2]


def test_a_cancelled_call_is_passed_on() -> None:
    runs = Runs(lambda: None)
    cancelled = work(1)
    NamingRunner(runs).cancel(cancelled)
    assert runs.cancelled == [cancelled]


class _Mute:
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize("extra", [float("nan"), float("-inf"), b"\xff", {1, 2}, _Mute(), {"a": {(1, 2): 3}}, "\ud800"])
def test_whatever_is_said_beside_it_a_record_is_written(lines: Lines, extra: object) -> None:
    log.warning("this", extra={"beside": extra})
    assert lines.seen[0]["message"] == "this"
    assert "beside" in lines.seen[0]


def test_a_record_whose_arguments_do_not_fit_is_written() -> None:
    line = JsonFormatter().format(logging.makeLogRecord({"msg": "%d calls", "args": ("many",)}))
    assert json.loads(line)["message"].startswith("%d calls ('many',)")


def test_lines_of_a_worker_become_records_of_it() -> None:
    own = json.loads(passed_on('{"message": "hello", "pid": 7}', "calc-1"))
    assert own == {"message": "hello", "pid": 7, "server": "calc-1"}
    foreign = json.loads(passed_on("Segmentation fault", "calc-1"))
    assert (foreign["message"], foreign["logger"], foreign["server"]) == ("Segmentation fault", "stderr", "calc-1")
    assert "pid" not in foreign
    assert json.loads(passed_on("42", "calc-1"))["message"] == "42"


def test_what_no_logger_has_seen_can_be_told() -> None:
    line = json.loads(told("mesh.workers", logging.WARNING, "100 % lost", event="died"))
    assert (line["level"], line["message"], line["event"]) == ("WARNING", "100 % lost", "died")
