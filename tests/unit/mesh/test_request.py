"""The call as its handler sees it."""

from __future__ import annotations

import pytest

import mesh.request
from mesh.request import Request


@pytest.fixture
def at_100(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mesh.request, "monotonic", lambda: 100.0)


def test_what_the_caller_left_out_has_a_plain_value() -> None:
    request = Request("calc.add", [b"x"])
    assert (request.key, request.attempt, dict(request.metadata), request.deadline) == (b"", 1, {}, None)


@pytest.mark.parametrize(("frames", "body"), [([], b""), ([b"one"], b"one"), ([b"one", b"two"], b"one")])
def test_body_is_the_first_frame(frames: list[bytes], body: bytes) -> None:
    assert Request("calc.add", frames).body == body


@pytest.mark.usefixtures("at_100")
@pytest.mark.parametrize(("deadline", "left"), [(None, None), (102.5, 2.5), (100.0, 0.0), (90.0, 0.0)])
def test_remaining_counts_down_to_zero(deadline: float | None, left: float | None) -> None:
    assert Request("calc.add", [], deadline=deadline).remaining() == left


@pytest.mark.usefixtures("at_100")
@pytest.mark.parametrize(("deadline", "cancelled"), [(None, False), (100.1, False), (100.0, True), (99.0, True)])
def test_a_passed_deadline_cancels(deadline: float | None, cancelled: bool) -> None:
    assert Request("calc.add", [], deadline=deadline).cancelled is cancelled


def test_the_server_can_cancel() -> None:
    request = Request("calc.add", [])
    request.cancelled = True
    assert request.cancelled


def test_two_requests_with_the_same_content_are_two_requests() -> None:
    assert Request("calc.add", []) != Request("calc.add", [])
    assert len({Request("calc.add", []), Request("calc.add", [])}) == 2
