"""The one table of statuses, and problems."""

from __future__ import annotations

import json

import pytest

from mesh import (
    Attempt,
    CallTimeout,
    ClosedError,
    LocalProtocolError,
    MeshError,
    NoServer,
    OutcomeUnknown,
    Overloaded,
    RemoteError,
    RemoteProtocolError,
    Status,
)
from mesh.gateway.problem import Problem, problem_of
from mesh.gateway.statuses import HTTP_STATUS, http_status, status_word

ERRORS = [
    (NoServer("x"), 503, "UNAVAILABLE"),
    (CallTimeout("x"), 504, "DEADLINE_EXCEEDED"),
    (Overloaded("x"), 429, "RESOURCE_EXHAUSTED"),
    (OutcomeUnknown("x"), 502, "OUTCOME_UNKNOWN"),
    (RemoteProtocolError("x"), 502, "UNREADABLE_ANSWER"),
    (LocalProtocolError("x"), 400, "INVALID_ARGUMENT"),
    (ClosedError("x"), 503, "UNAVAILABLE"),
    (MeshError("x"), 500, "INTERNAL"),
    *((RemoteError("x", code=status), http, status.name) for status, http in HTTP_STATUS.items()),
]


@pytest.mark.parametrize(("error", "status", "word"), ERRORS, ids=lambda value: repr(value)[:40])
def test_every_end_of_a_call_has_a_status_and_a_word(error: MeshError, status: int, word: str) -> None:
    assert (http_status(error), status_word(error)) == (status, word)
    if status != 200:
        problem = problem_of(error)
        body = problem.body()
        headers = dict(problem.headers(body))
        assert json.loads(body)["code"] == word
        assert (b"retry-after" in headers) == (status in (429, 503))
        assert int(headers[b"content-length"]) == len(body)


def test_every_status_is_in_the_table() -> None:
    assert set(HTTP_STATUS) == set(Status)


def test_a_problem_carries_who_was_tried() -> None:
    attempt = Attempt("id", "one", "tcp://127.0.0.1:1", 0.1234567891, 1.0, "link lost")
    error = CallTimeout("no answer", method="calc.add", attempts=(attempt,), elapsed_s=1.23456789)
    told = json.loads(problem_of(error).body())
    assert told == {
        "title": "Gateway Timeout",
        "status": 504,
        "detail": "no answer",
        "code": "DEADLINE_EXCEEDED",
        "error": "CallTimeout",
        "method": "calc.add",
        "elapsed_s": 1.234568,
        "attempts": [
            {
                "peer_id": "id",
                "name": "one",
                "address": "tcp://127.0.0.1:1",
                "started_s": 0.123457,
                "elapsed_s": 1.0,
                "result": "link lost",
            }
        ],
    }


def test_a_traceback_of_a_server_is_not_passed_on() -> None:
    error = RemoteError("no", type="KeyError", traceback="Traceback: /srv/app.py", code=Status.UNKNOWN)
    told = json.loads(problem_of(error).body())
    assert told["remote_type"] == "KeyError"
    assert "app.py" not in json.dumps(told)


def test_text_that_cannot_be_sent_is_escaped() -> None:
    assert json.loads(problem_of(MeshError("\ud800")).body())["detail"] == "\\ud800"


def test_a_status_that_python_does_not_know_has_a_title() -> None:
    assert json.loads(Problem(499, "gone", "CANCELLED").body())["title"] == "Client Closed Request"
