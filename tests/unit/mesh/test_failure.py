"""What a caller is told when its call fails."""

from __future__ import annotations

import pytest

from mesh.core.methods import nearest, unknown_method
from mesh.errors import CallTimeout, RemoteError, Status
from mesh.failure import ErrorDetail, describe_error
from mesh.request import Request
from mesh.service import Service
from mesh.typed import ArgumentError, ResultError


class Silent(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


def raised(exc: BaseException) -> BaseException:
    """Return the exception as it comes out of a method."""
    calc = Service("calc")

    def fail() -> None:
        try:
            raise LookupError("the cause")
        except LookupError as cause:
            raise exc from cause

    calc.method(fail)
    try:
        calc.methods["calc.fail"].invoke(Request("calc.fail", []))
    except BaseException as caught:
        return caught
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("exc", "code", "kind", "message"),
    [
        (ArgumentError("f()", "missing a"), Status.INVALID_ARGUMENT, "ArgumentError", "f(): missing a"),
        (ResultError("f()", "bad"), Status.INTERNAL, "ResultError", "f(): bad"),
        (TimeoutError("slow"), Status.DEADLINE_EXCEEDED, "TimeoutError", "slow"),
        (CallTimeout("no answer"), Status.DEADLINE_EXCEEDED, "CallTimeout", "no answer"),
        (NotImplementedError("later"), Status.UNIMPLEMENTED, "NotImplementedError", "later"),
        (ZeroDivisionError("division by zero"), Status.UNKNOWN, "ZeroDivisionError", "division by zero"),
        (KeyboardInterrupt(), Status.UNKNOWN, "KeyboardInterrupt", ""),
        (RemoteError("no such order", code=Status.NOT_FOUND), Status.NOT_FOUND, "", "no such order"),
        (RemoteError("x", code=Status.ABORTED, type="Lost", method="m"), Status.ABORTED, "Lost", "x"),
        (RemoteError("fine", code=Status.OK), Status.UNKNOWN, "", "fine"),
        (RemoteError("web", code=404), Status.UNKNOWN, "", "web"),  # type: ignore[arg-type]
        (Silent(), Status.UNKNOWN, "Silent", "a Silent whose text cannot be made"),
        (ValueError("\ud800"), Status.UNKNOWN, "ValueError", "\\ud800"),
    ],
)
def test_an_exception_becomes_a_status(exc: BaseException, code: Status, kind: str, message: str) -> None:
    assert describe_error(exc, expose_traceback=False) == ErrorDetail(code, kind, message, "")


def test_a_traceback_shows_the_handler_and_not_this_package() -> None:
    detail = describe_error(raised(ValueError("wrong")), expose_traceback=True)
    assert detail.traceback.startswith("Traceback (most recent call last):")
    assert detail.traceback.endswith("ValueError: wrong\n")
    assert "LookupError: the cause" in detail.traceback
    assert "raise exc from cause" in detail.traceback
    assert "service.py" not in detail.traceback


def test_the_causes_have_no_frames_of_this_package_either() -> None:
    def outer() -> None:
        try:
            raised_by_package()
        except ArgumentError as exc:
            raise ExceptionGroup("several", [exc, ValueError("other")]) from exc

    def raised_by_package() -> None:
        calc = Service("calc")
        calc.method(name="f")(lambda: None)
        calc.methods["calc.f"].invoke(Request("calc.f", [b"\x91\x01"]))

    with pytest.raises(ExceptionGroup) as caught:
        outer()
    text = describe_error(caught.value, expose_traceback=True).traceback
    assert "ValueError: other" in text
    assert "typed.py" not in text


def test_a_traceback_of_another_server_is_passed_on() -> None:
    exc = raised(RemoteError("x", traceback="there"))
    assert describe_error(exc, expose_traceback=True).traceback == "there"
    assert describe_error(exc, expose_traceback=False).traceback == ""


def test_everything_is_bounded() -> None:
    name = "É" * 1000
    exc = raised(type(name, (Exception,), {})("ü" * 100_000))
    detail = describe_error(exc, expose_traceback=True)
    assert 240 < len(detail.type.encode()) <= 255
    assert 4090 < len(detail.message.encode()) <= 4096
    assert 16380 < len(detail.traceback.encode()) <= 16384
    assert detail.message.endswith("ü…")
    assert detail.traceback.startswith("…ü")  # the end of a traceback says most


def test_an_exception_without_words_has_a_traceback() -> None:
    assert "Silent" in describe_error(raised(Silent()), expose_traceback=True).traceback


def test_of_a_deep_recursion_the_last_frames_are_told() -> None:
    def ping() -> None:
        pong()

    def pong() -> None:
        ping()

    with pytest.raises(RecursionError) as caught:
        ping()
    text = describe_error(caught.value, expose_traceback=True).traceback
    assert text.count("in ping") + text.count("in pong") == 64


def test_the_nearest_names_come_first() -> None:
    known = {"calc.add", "calc.addd", "calc.sub", "text.upper"}
    assert nearest("calc.ad", known) == ["calc.add", "calc.addd", "calc.sub"]
    assert nearest("calc.ad", known, 1) == ["calc.add"]
    assert nearest("zzz", known) == []


@pytest.mark.parametrize(
    ("name", "known", "sentence"),
    [
        ("calc.ad", ["calc.add", "text.upper"], "unknown method calc.ad; nearest: calc.add"),
        ("x", ["calc.sub", "calc.add"], "unknown method x; offered: calc.add, calc.sub"),
        ("x", [], "unknown method x; this server offers none"),
        (
            "x",
            [f"calc.m{n}" for n in range(10, 21)],
            f"unknown method x; offered: {', '.join(f'calc.m{n}' for n in range(10, 20))}, …",
        ),
    ],
)
def test_an_unknown_method_is_answered_with_known_ones(name: str, known: list[str], sentence: str) -> None:
    assert unknown_method(name, known) == sentence


def test_among_very_many_methods_those_of_the_same_service_are_compared() -> None:
    known = [*(f"a.add{number}" for number in range(1000)), "calc.add"]
    assert unknown_method("calc.ad", known).startswith("unknown method calc.ad; nearest: calc.add")
    assert unknown_method("b.add999", known).startswith("unknown method b.add999; nearest: a.add")
    assert "a.add999" not in unknown_method("b.add999", known).partition(";")[2]
