"""The signature of a handler: read, searched for the request, printed."""

from __future__ import annotations

import datetime
import functools
import uuid
from collections.abc import Callable
from typing import Any, Literal

import pytest

from mesh.errors import ConfigError
from mesh.request import Request
from mesh.signature import evaluated_signature, place, printed_signature, request_parameter


def plain(a: int, b: int = 5) -> int:
    return a + b


def bare(a, b="x"):  # type: ignore[no-untyped-def]
    return a


def every_kind(a: int, /, b: str, *rest: float, c: bool = True, **more: bytes) -> None: ...


def classes(when: datetime.datetime, id: uuid.UUID | None, how: Literal["a.b"]) -> list[int]:
    return []


def from_nowhere(a: Missing) -> int:  # type: ignore[name-defined]  # noqa: F821
    return 1


class Adder:
    def __call__(self, a: int) -> int:
        return a


class Opaque:
    __signature__ = "none of your business"

    def __call__(self) -> None: ...


@functools.wraps(plain)
def wrapped(*args: Any, **kwargs: Any) -> Any: ...


@pytest.mark.parametrize(
    ("handler", "text"),
    [
        (plain, "(a: int, b: int = 5) -> int"),
        (bare, "(a, b='x')"),
        (every_kind, "(a: int, /, b: str, *rest: float, c: bool = True, **more: bytes) -> None"),
        (classes, "(when: datetime, id: uuid.UUID | None, how: Literal['a.b']) -> list[int]"),
        (functools.partial(plain, 1), "(b: int = 5) -> int"),
        (functools.partial(plain, b=7), "(a: int, *, b: int = 7) -> int"),
        (Adder(), "(a: int) -> int"),
        (Adder().__call__, "(a: int) -> int"),
        (wrapped, "(a: int, b: int = 5) -> int"),
    ],
)
def test_a_signature_prints_as_it_was_written(handler: Callable[..., Any], text: str) -> None:
    assert printed_signature(evaluated_signature(handler)) == text


def test_a_name_that_cannot_be_found_is_named_with_its_place_and_remedy() -> None:
    with pytest.raises(ConfigError) as caught:
        evaluated_signature(from_nowhere)
    assert "from_nowhere (" in str(caught.value)
    assert "test_signature.py:" in str(caught.value)
    assert "name 'Missing' is not defined; define the types of a handler at the top level" in str(caught.value)


def test_a_callable_without_signature_is_refused() -> None:
    with pytest.raises(ConfigError, match="signature cannot be evaluated"):
        evaluated_signature(Opaque())


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (plain, "plain"),
        (functools.partial(functools.partial(plain, 1), 2), "plain"),
        (wrapped, "plain"),
        (Adder().__call__, "Adder.__call__"),
        (Adder(), "an object of type Adder"),
    ],
)
def test_place_names_function_file_and_line(handler: Callable[..., Any], name: str) -> None:
    text = place(handler)
    assert text.startswith(f"{name} (")
    file, _, line = text.removesuffix(")").rpartition(":")
    assert file.endswith("test_signature.py")
    assert line.isdigit()


def test_place_looks_through_a_wrapper() -> None:
    assert place(wrapped) == place(plain)


def test_place_of_a_builtin_is_its_name() -> None:
    assert place(len) == "len"


def wants_first(request: Request, a: int) -> None: ...
def wants_second(a: int, request: Request) -> None: ...
def wants_by_name(a: int, *, request: Request) -> None: ...
def wants_twice(one: Request, two: Request) -> None: ...
def wants_perhaps(request: Request = None) -> None: ...  # type: ignore[assignment]
def wants_many(*requests: Request) -> None: ...
def wants_any(**requests: Request) -> None: ...


def test_the_parameter_of_the_request_is_found() -> None:
    assert request_parameter(evaluated_signature(plain), plain) is None
    assert request_parameter(evaluated_signature(wants_first), wants_first) == (0, "request")
    assert request_parameter(evaluated_signature(wants_second), wants_second) == (1, "request")
    index, name = request_parameter(evaluated_signature(wants_by_name), wants_by_name) or (0, "")
    assert (index > 1000, name) == (True, "request")


@pytest.mark.parametrize("handler", [wants_twice, wants_perhaps, wants_many, wants_any])
def test_a_request_that_cannot_be_given_is_refused(handler: Callable[..., Any]) -> None:
    with pytest.raises(ConfigError, match=r"test_signature\.py:\d+\): .*take it in one plain parameter"):
        request_parameter(evaluated_signature(handler), handler)
