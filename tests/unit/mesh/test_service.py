"""Services and their methods."""

from __future__ import annotations

import asyncio
import dataclasses
import functools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from mesh.errors import ConfigError
from mesh.request import Request
from mesh.service import Method, Service
from mesh.typed import ArgumentError, ResultError, decode_result, encode_arguments


def add(a: int, b: int = 5) -> int:
    """Add two numbers.

    Slowly.
    """
    return a + b


async def later(x: float) -> float:
    return x * 2


def echo(request: Request) -> list[bytes]:
    return request.frames


class Handlers:
    """Handlers of an instance."""

    def __init__(self, factor: int) -> None:
        self.factor = factor

    def times(self, x: int) -> int:
        return x * self.factor

    async def times_later(self, x: int) -> int:
        return x * self.factor

    async def __call__(self, x: int) -> int:
        return x + self.factor


def request(*args: Any, **kwargs: Any) -> Request:
    return Request("", [encode_arguments(args, kwargs)])


def only(service: Service) -> Method:
    (method,) = service.methods.values()
    return method


# ---- services ------------------------------------------------------------------------------------


def test_a_service_says_what_it_is() -> None:
    service = Service("calc", version="1.2.3", description="sums", metadata={"site": "north"}, threads=2)
    assert (service.name, service.version, service.description) == ("calc", "1.2.3", "sums")
    assert (dict(service.metadata), service.threads, dict(service.methods)) == ({"site": "north"}, 2, {})


def test_a_service_has_plain_defaults() -> None:
    service = Service("calc")
    assert (service.version, service.description, service.threads) == ("0.0.0", "", 0)
    assert dict(service.metadata) == {}


def test_what_a_service_shows_cannot_be_changed() -> None:
    given = {"site": "north"}
    service = Service("calc", metadata=given)
    given["site"] = "south"
    assert service.metadata["site"] == "north"
    with pytest.raises(TypeError):
        service.metadata["site"] = "south"  # type: ignore[index]
    with pytest.raises(TypeError):
        service.methods["calc.add"] = None  # type: ignore[index]
    with pytest.raises(AttributeError):
        service.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("name", ["", "a.b", "ü", "a b", "x" * 63, "mesh", "calc\n"])
def test_a_service_name_that_cannot_be_used(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Service(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", ["a", "A-Za_z0-9", "x" * 62, "mesh2"])
def test_a_service_name_that_can_be_used(name: str) -> None:
    assert Service(name).name == name


@pytest.mark.parametrize(
    "version", ["1", "1.0", "01.0.0", "1.0.0-", "1.0.0-01", "v1.0.0", "1.0.0+", "1.0.0\n", "1\u0661.0.0"]
)
def test_a_version_that_is_not_semantic(version: str) -> None:
    with pytest.raises(ConfigError, match=r"not a semantic version such as 1\.0\.0"):
        Service("calc", version=version)


@pytest.mark.parametrize("version", ["0.0.0", "1.10.0", "1.0.0-rc.1", "1.0.0-0a+build.01", "1.0.0+a-b"])
def test_a_version_that_is_semantic(version: str) -> None:
    assert Service("calc", version=version).version == version


@pytest.mark.parametrize("threads", [-1, 1025])
def test_a_number_of_threads_out_of_range(threads: int) -> None:
    with pytest.raises(ConfigError, match="use 0 to 1024"):
        Service("calc", threads=threads)


def test_metadata_is_text() -> None:
    with pytest.raises(ConfigError, match="metadata 'port': 5: both must be str"):
        Service("calc", metadata={"port": 5})  # type: ignore[dict-item]


# ---- declaring methods ---------------------------------------------------------------------------


def test_the_decorator_returns_the_function_unchanged() -> None:
    service = Service("calc")
    assert service.method(add) is add
    assert service.method(name="again")(add) is add
    assert list(service.methods) == ["calc.add", "calc.again"]


def test_a_method_says_what_it_is() -> None:
    service = Service("calc")
    service.method(add)
    method = only(service)
    assert (method.full_name, method.service, method.name) == ("calc.add", "calc", "add")
    assert (method.raw, method.idempotent, method.lane) == (False, True, "inline")
    assert not method.read_only
    assert method.signature == "calc.add(a: int, b: int = 5) -> int"
    assert method.description == "Add two numbers.\n\nSlowly."
    assert method.schema()["arguments"]["required"] == ["a"]


def test_a_raw_method_says_what_it_is() -> None:
    service = Service("calc")
    service.method(name="say", raw=True, idempotent=False, description="It comes back.")(echo)
    method = only(service)
    assert (method.full_name, method.raw, method.idempotent) == ("calc.say", True, False)
    assert method.description == "It comes back."
    assert method.signature == "calc.say(*frames: bytes) -> list[bytes]"
    assert method.schema() == {"title": "calc.say", "raw": True}


def test_a_method_that_changes_nothing_says_so_and_may_run_twice() -> None:
    service = Service("calc")
    service.method(read_only=True)(add)
    assert only(service).read_only
    with pytest.raises(ConfigError, match="a method that changes nothing may run twice: leave read_only or idempotent"):
        service.method(name="other", read_only=True, idempotent=False)(add)


def test_a_method_cannot_be_changed() -> None:
    service = Service("calc")
    service.method(add)
    with pytest.raises(dataclasses.FrozenInstanceError):
        only(service).name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("handler", "lane", "lane_with_threads"),
    [
        (add, "inline", "threaded"),
        (later, "coroutine", "coroutine"),
        (functools.partial(add, 1), "inline", "threaded"),
        (functools.partial(later, 1.5), "coroutine", "coroutine"),
        (Handlers(2), "coroutine", "coroutine"),
        (functools.partial(Handlers(2), 1), "coroutine", "coroutine"),
        (Handlers(2).times, "inline", "threaded"),
        (Handlers(2).times_later, "coroutine", "coroutine"),
    ],
)
def test_the_lane_follows_from_handler_and_service(
    handler: Callable[..., Any], lane: str, lane_with_threads: str
) -> None:
    for threads, expected in [(0, lane), (2, lane_with_threads)]:
        service = Service("calc", threads=threads)
        service.method(name="f")(handler)
        assert only(service).lane == expected


def test_a_plain_handler_may_stay_in_the_loop_or_go_to_a_thread() -> None:
    service = Service("calc", threads=1)
    service.method(threaded=False)(add)
    service.method(name="away", threaded=True)(add)
    assert [method.lane for method in service.methods.values()] == ["inline", "threaded"]


def test_names_come_from_the_function_inside() -> None:
    service = Service("calc")
    service.method(functools.partial(add, 1))
    service.method(Handlers(2).times)
    assert list(service.methods) == ["calc.add", "calc.times"]
    assert service.methods["calc.add"].description == "Add two numbers.\n\nSlowly."


def no_request() -> bytes:
    return b""


def two_parameters(request: Request, other: int) -> bytes:
    return b""


def not_a_request(body: bytes) -> bytes:
    return body


def only_by_name(*, request: Request) -> bytes:
    return b""


def optional_second(request, other=1):  # type: ignore[no-untyped-def]
    return request.frames


def generator(x: int) -> Iterator[int]:
    yield x


async def async_generator(x: int) -> AsyncIterator[int]:
    yield x


@pytest.mark.parametrize(
    ("options", "handler", "sentence"),
    [
        ({"name": ""}, add, "method name '': give name= of A-Z"),
        ({"name": "a b"}, add, "method name 'a b': give name= of A-Z"),
        ({"name": "add\n"}, add, "method name 'add\\n': give name= of A-Z"),
        ({"name": "x" * 251}, add, ": shorten it to 255 octets"),
        ({"name": "taken"}, add, "calc.taken is declared already: give another name="),
        ({}, lambda: None, "method name '<lambda>': give name= of A-Z"),
        ({}, Handlers(2), "method name '': give name= of A-Z"),
        ({"name": "f", "threaded": True}, later, "a coroutine runs in the loop: leave threaded out"),
        ({"threaded": True}, add, "service calc has no threads: give it some, as in threads=4"),
        ({"raw": True}, no_request, "a raw handler takes the Request alone, not () -> "),
        ({"raw": True}, two_parameters, "a raw handler takes the Request alone, not (request: "),
        ({"raw": True}, not_a_request, "a raw handler takes the Request alone, not (body: "),
        ({"raw": True}, only_by_name, "a raw handler takes the Request alone, not (*, request: "),
        ({}, generator, "a generator cannot be a method: return a list"),
        ({}, async_generator, "a generator cannot be a method: return a list"),
    ],
)
def test_a_method_that_cannot_be_declared(options: dict[str, Any], handler: Callable[..., Any], sentence: str) -> None:
    service = Service("calc")
    service.method(name="taken")(add)
    with pytest.raises(ConfigError) as caught:
        service.method(**options)(handler)
    assert "test_service.py:" in str(caught.value)
    assert sentence in str(caught.value)
    assert list(service.methods) == ["calc.taken"]


def test_a_name_given_in_place_of_the_function() -> None:
    with pytest.raises(ConfigError, match="'add' is no function; a name goes into name="):
        Service("calc").method("add")  # type: ignore[call-overload]


@pytest.mark.parametrize("name", ["a", "a.b-c_D9", "x" * 250])
def test_a_method_name_that_can_be_used(name: str) -> None:
    service = Service("calc")
    service.method(name=name)(add)
    assert only(service).full_name == f"calc.{name}"


# ---- calling methods -----------------------------------------------------------------------------


def test_a_typed_method_takes_values_and_gives_a_value() -> None:
    service = Service("calc")
    service.method(add)
    (body,) = only(service).invoke(request(2, 3))
    assert decode_result(body) == 5


def test_a_method_of_an_instance() -> None:
    service = Service("calc")
    service.method(Handlers(3).times)
    (body,) = only(service).invoke(request(x=2))
    assert decode_result(body) == 6


@pytest.mark.parametrize("handler", [Handlers(3).times_later, functools.partial(Handlers(3).times_later)])
def test_a_coroutine_method(handler: Callable[..., Any]) -> None:
    service = Service("calc")
    service.method(handler)
    (body,) = asyncio.run(only(service).invoke_async(request(2)))
    assert decode_result(body) == 6


def test_a_coroutine_method_checks_both_ways() -> None:
    async def wrong(x: int) -> int:
        return "wrong"  # type: ignore[return-value]

    service = Service("calc")
    service.method(wrong)
    with pytest.raises(ArgumentError, match=r"calc.wrong\(x: int\) -> int: argument x: expected int, got str"):
        asyncio.run(only(service).invoke_async(request("a")))
    with pytest.raises(ResultError, match=r"calc.wrong\(x: int\) -> int: the result: expected int, got str"):
        asyncio.run(only(service).invoke_async(request(1)))


@pytest.mark.parametrize("handler", [echo, optional_second])
@pytest.mark.parametrize("frames", [[], [b""], [b"\xc1"], [b"one", b"two"]])
def test_a_raw_method_takes_and_gives_frames(handler: Callable[..., Any], frames: list[bytes]) -> None:
    service = Service("calc")
    service.method(raw=True)(handler)
    assert list(only(service).invoke(Request("", frames))) == frames


@pytest.mark.parametrize(("result", "frames"), [(b"x", [b"x"]), (b"", [b""]), ((b"a", b"b"), [b"a", b"b"])])
def test_a_raw_result_is_one_frame_or_several(result: object, frames: list[bytes]) -> None:
    service = Service("calc")
    service.method(name="f", raw=True)(lambda request: result)
    assert list(only(service).invoke(Request("", []))) == frames


@pytest.mark.parametrize(
    ("result", "problem"),
    [
        ("text", "the result: expected bytes or a list of bytes, got str"),
        (None, "the result: expected bytes or a list of bytes, got NoneType"),
        ([b"a", "b"], "the result[1]: expected bytes, got str"),
    ],
)
def test_a_raw_result_that_is_not_bytes(result: object, problem: str) -> None:
    service = Service("calc")
    service.method(name="f", raw=True)(lambda request: result)
    with pytest.raises(ResultError) as caught:
        only(service).invoke(Request("", []))
    assert caught.value.problem == problem


def test_an_exception_of_the_handler_comes_out_as_it_is() -> None:
    def fail() -> None:
        raise TypeError("mine")

    service = Service("calc")
    service.method(fail)
    with pytest.raises(TypeError, match=r"^mine$"):
        only(service).invoke(request())
