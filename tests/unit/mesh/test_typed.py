"""Typed arguments and results: between the bytes of a call and a Python signature."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import decimal
import enum
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NamedTuple, Optional, TypedDict, Union

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mesh.errors import ConfigError, LocalProtocolError, RemoteProtocolError
from mesh.request import Request
from mesh.typed import ArgumentError, ResultError, TypedCodec, decode_result, encode_arguments

encode = msgspec.msgpack.encode


class Colour(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Pair(NamedTuple):
    left: int
    right: str


class Movie(TypedDict):
    title: str


class Node(msgspec.Struct):
    value: int
    next: Node | None = None


class Even(msgspec.Struct):
    value: int

    def __post_init__(self) -> None:
        if self.value % 2:
            raise LookupError("odd")


def call(handler: Callable[..., Any], *args: Any, **kwargs: Any) -> object:
    """Call a handler as a caller in another process does."""
    return call_body(handler, encode_arguments(args, kwargs))


def call_body(handler: Callable[..., Any], *frames: bytes) -> object:
    codec = TypedCodec("calc.f", handler)
    args, kwargs = codec.read(Request("calc.f", list(frames)))
    (body,) = codec.write(handler(*args, **kwargs))
    return decode_result(body)


def add(a: int, b: int = 5) -> int:
    return a + b


ADD = "calc.f(a: int, b: int = 5) -> int: "

# ---- types ---------------------------------------------------------------------------------------

UTC = datetime.UTC

TRAVELLING = [
    (str, "grüße"),
    (int, -(2**63)),
    (int, 2**64 - 1),
    (float, 1.5),
    (bool, True),
    (None, None),
    (bytes, b"\x00\xff"),
    (list, [1, "a"]),
    (list[int], [1, 2]),
    (dict, {"a": 1}),
    (dict[str, int], {"a": 1}),
    (dict[int, str], {1: "a"}),
    (dict[tuple[int, int], str], {(1, 2): "a"}),
    (tuple, (1, "a")),
    (tuple[int, str], (1, "a")),
    (tuple[int, ...], (1, 2, 3)),
    (set, {1}),
    (set[int], {1, 2}),
    (frozenset[int], frozenset({1})),
    (Sequence[int], [1, 2]),
    (Mapping[str, int], {"a": 1}),
    (Literal["a", 1], "a"),
    (Optional[int], None),  # noqa: UP045
    (int | None, 3),
    (Union[int, str], "a"),  # noqa: UP007
    (datetime.datetime, datetime.datetime(2024, 2, 29, 12, 30, 1, 5)),
    (datetime.datetime, datetime.datetime(2024, 2, 29, 12, 30, 1, 5, tzinfo=UTC)),
    (datetime.date, datetime.date(2024, 2, 29)),
    (datetime.time, datetime.time(12, 30)),
    (datetime.timedelta, datetime.timedelta(days=1, seconds=2)),
    (decimal.Decimal, decimal.Decimal("1.10")),
    (uuid.UUID, uuid.UUID(int=7)),
    (Colour, Colour.RED),
    (Level, Level.LOW),
    (Point, Point(1, 2)),
    (list[Point], [Point(1, 2)]),
    (Pair, Pair(1, "a")),
    (Movie, {"title": "Alien"}),
    (Node, Node(1, Node(2))),
    (Annotated[int, msgspec.Meta(gt=0)], 1),
    (Any, [1, {"a": None}]),
    (object, {"a": 1}),
    (dict[str, object], {"a": 1}),
]


@pytest.mark.parametrize(("annotation", "value"), TRAVELLING, ids=str)
def test_a_value_of_every_type_arrives_as_it_was_sent(annotation: Any, value: object) -> None:
    arrived = []

    def handler(x: Any) -> Any:
        arrived.append(x)
        return x

    handler.__annotations__ = {"x": annotation, "return": annotation}
    by_position, by_name = call(handler, value), call(handler, x=value)
    assert arrived == [value, value]
    assert type(arrived[0]) is type(value)
    decoder = msgspec.msgpack.Decoder(annotation)
    assert decoder.decode(encode(by_position)) == decoder.decode(encode(by_name)) == value


REFUSED = [
    (str, 1, "expected str, got int"),
    (str, b"a", "expected str, got bytes"),
    (int, "3", "expected int, got str"),
    (int, 3.0, "expected int, got float"),
    (int, True, "expected int, got bool"),
    (float, "3", "expected float, got str"),
    (bool, 1, "expected bool, got int"),
    (None, 0, "expected null, got int"),
    (bytes, 1, "expected bytes, got int"),
    (list[int], [1, "a"], "expected int, got str"),
    (dict[str, int], {"a": "b"}, "expected int, got str"),
    (tuple[int, str], (1,), "expected array of length 2, got 1"),
    (set[int], ["a"], "expected int, got str"),
    (Literal["a"], "b", "invalid enum value 'b'"),
    (int | None, "a", "expected int | null, got str"),
    (datetime.datetime, "soon", "invalid RFC3339 encoded datetime"),
    (datetime.date, "soon", "invalid RFC3339 encoded date"),
    (datetime.time, "soon", "invalid RFC3339 encoded time"),
    (datetime.timedelta, "soon", "invalid ISO8601 duration"),
    (decimal.Decimal, "many", "invalid decimal string"),
    (uuid.UUID, "me", "invalid UUID"),
    (Colour, "blue", "invalid enum value 'blue'"),
    (Point, {"x": "a"}, "expected int, got str"),
    (Point, {}, "object missing required field x"),
    (Pair, [1, 2], "expected str, got int"),
    (Movie, {}, "object missing required field title"),
    (Node, {"value": 1, "next": 2}, "expected object | null, got int"),
    (Even, {"value": 1}, "odd"),
    (Annotated[int, msgspec.Meta(gt=0)], 0, "expected int >= 1"),
]


@pytest.mark.parametrize(("annotation", "value", "problem"), REFUSED, ids=str)
def test_a_wrong_argument_is_refused_before_the_handler_runs(annotation: Any, value: object, problem: str) -> None:
    def handler(x: Any) -> None:
        raise AssertionError("the handler ran")

    handler.__annotations__ = {"x": annotation}
    for args, kwargs in [((value,), {}), ((), {"x": value})]:
        with pytest.raises(ArgumentError) as caught:
            call(handler, *args, **kwargs)
        assert caught.value.problem.startswith("argument x")
        assert caught.value.problem.endswith(problem)


@pytest.mark.parametrize(("annotation", "value", "problem"), REFUSED, ids=str)
def test_a_wrong_result_is_refused(annotation: Any, value: object, problem: str) -> None:
    def handler() -> Any:
        return value

    handler.__annotations__ = {"return": annotation}
    with pytest.raises(ResultError) as caught:
        call(handler)
    assert caught.value.problem.startswith("the result")
    assert caught.value.problem.endswith(problem)


def test_an_int_will_do_for_a_float() -> None:
    def half(x: float) -> float:
        return x / 2

    assert call(half, 3) == 1.5


def test_the_inside_of_a_dataclass_that_a_handler_returns_is_checked() -> None:
    def make() -> list[Point]:
        return [Point("here")]  # type: ignore[arg-type]

    with pytest.raises(ResultError, match=r"Point\]: the result\[0\]\.x: expected int, got str"):
        call(make)


def test_a_result_without_annotation_is_anything_that_can_be_sent() -> None:
    def anything(x):  # type: ignore[no-untyped-def]
        return object() if x else [x]

    assert call(anything, 0) == [0]
    with pytest.raises(ResultError, match=r"^calc.f\(x\): the result: Encoding objects of type object"):
        call(anything, 1)


@pytest.mark.parametrize("result", [2**64, "\ud800"])
def test_a_result_beyond_msgpack_is_refused(result: object) -> None:
    def handler() -> Any:
        return result

    with pytest.raises(ResultError, match="the result: "):
        call(handler)


def test_a_result_that_contains_itself_is_refused() -> None:
    def handler() -> Any:
        endless: list[object] = []
        endless.append(endless)
        return endless

    with pytest.raises(ResultError, match="recursion"):
        call(handler)


def test_an_iterator_is_no_result() -> None:
    def handler() -> Any:
        return iter(())

    with pytest.raises(ResultError, match="the result: Encoding objects of type tuple_iterator"):
        call(handler)


# ---- the forms of a call -------------------------------------------------------------------------


def every_kind(a: int, /, b: str, c: float = 1.5, *rest: int, d: bool, e: int = 7, **more: int) -> list[object]:
    return [a, b, c, list(rest), d, e, more]


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        ((1, "b"), {"d": True}),
        ((1,), {"d": True, "b": "b"}),
        ((1, "b", 2.5, 3, 4), {"d": False, "e": 8}),
        ((1, "b"), {"d": True, "x": 9, "a": 10}),
        ((1, "b", 2.5, *range(40)), {"d": True}),
    ],
)
def test_every_kind_of_parameter_takes_what_python_gives_it(args: Any, kwargs: Any) -> None:
    assert call(every_kind, *args, **kwargs) == every_kind(*args, **kwargs)


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((), {"d": True, "b": "b"}, "missing a"),
        ((1,), {}, "missing b, d"),
        ((1, "b"), {}, "missing d"),
        ((), {"a": 1, "b": "b", "d": True}, "missing a"),
        ((1, "b"), {"b": "c", "d": True}, "argument b is given twice"),
        ((1, "b", 2.5, 3, "4"), {"d": True}, "argument *[1]: expected int, got str"),
        ((1, "b"), {"d": True, "x": "9"}, "argument x: expected int, got str"),
    ],
)
def test_what_python_refuses_is_refused(args: Any, kwargs: Any, problem: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call(every_kind, *args, **kwargs)
    assert caught.value.problem == problem


def joined(*words: str) -> str:
    return " ".join(words)


@pytest.mark.parametrize("count", [0, 1, 15, 16, 100])
def test_any_number_of_arguments(count: int) -> None:
    assert call(joined, *["w"] * count) == " ".join(["w"] * count)


def test_many_parameters() -> None:
    names = [f"p{index}" for index in range(20)]
    space: dict[str, Any] = {}
    exec(f"def many({', '.join(f'{name}: int' for name in names)}) -> int: return p19", space)
    assert call(space["many"], *range(20)) == 19
    assert call(space["many"], **dict(zip(names, range(20), strict=True))) == 19


def nothing() -> None: ...


@pytest.mark.parametrize("frames", [[], [b""], [b"\x90"], [b"\x80"], [b"\xdc\x00\x00"]])
def test_no_arguments_have_many_forms(frames: list[bytes]) -> None:
    assert call_body(nothing, *frames) is None


@pytest.mark.parametrize(
    ("annotation", "value"),
    # The keys of an object of JSON are no arrays.
    [sample for sample in TRAVELLING if sample[0] != dict[tuple[int, int], str]],
    ids=str,
)
def test_a_value_of_every_type_arrives_as_json(annotation: Any, value: object) -> None:
    def handler(x: Any) -> Any:
        arrived.append(x)
        return x

    arrived: list[object] = []
    handler.__annotations__ = {"x": annotation, "return": annotation}
    for body in (msgspec.json.encode([value]), msgspec.json.encode({"x": value}), b' \n{"*": [%b]}'):
        call_body(handler, body.replace(b"%b", msgspec.json.encode(value)))
    assert arrived == [value] * 3
    assert type(arrived[0]) is type(value)


def test_the_answer_to_json_is_what_it_is_to_msgpack() -> None:
    assert call_body(add, b'{"a": 2, "b": 3}') == call_body(add, b"[2, 3]") == call_body(add, b" [0]") == 5


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (b'[1, "2"]', "argument b: expected int, got str"),
        (b'{"a": 1, "c": 2}', "unknown argument 'c', it takes a, b"),
        (b"[]", "missing a"),
        (b'"1"', "the body: expected object | array, got str; send an array of the arguments, or a map by name"),
    ],
)
def test_json_that_does_not_fit_is_told_like_msgpack(body: bytes, problem: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call_body(add, body)
    assert str(caught.value) == ADD + problem


@pytest.mark.parametrize(
    ("frames", "problem"),
    [
        ([encode([1, "x"])], "argument b: expected int, got str"),
        ([encode({"a": 1, "b": [2]})], "argument b: expected int, got array"),
        ([encode([1, 2, 3])], "at most 2 arguments in order, got 3"),
        ([b""], "missing a"),
        ([encode({"b": 1})], "missing a"),
        ([encode({"a": 1, "c": 2})], "unknown argument 'c', it takes a, b"),
        ([encode({"*": 1})], "argument *: expected array, got int"),
        ([encode({"*": [1], "a": 2})], "argument a is given twice"),
        ([encode([1]), encode([2])], "the arguments are one frame, got 2"),
    ],
)
def test_an_argument_error_names_method_argument_and_types(frames: list[bytes], problem: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        call_body(add, *frames)
    assert str(caught.value) == ADD + problem


@pytest.mark.parametrize("body", [b"\x05", b"\xc1", b"\x92\x01", b"\x91\x01\x01", b"\x81\x01\x02"])
def test_a_body_that_is_neither_array_nor_map_by_name(body: bytes) -> None:
    with pytest.raises(ArgumentError, match=r"body: .*; send an array of the arguments, or a map by name$"):
        call_body(add, body)


def test_where_no_name_is_taken_the_sentence_says_so() -> None:
    with pytest.raises(ArgumentError, match="unknown argument 'a', it takes none by name"):
        call(joined, a=1)


def test_an_error_is_not_the_child_of_the_attempt_to_be_quick() -> None:
    with pytest.raises(ArgumentError) as caught:
        call(add)
    assert caught.value.__context__ is None


def anything(x: Any, y: set[Any] | None = None, *, z: Even | None = None) -> Any:
    return x


@example(b"\x91" * 5000)
@example(b"\xdd\xff\xff\xff\xff")
@example(b"\x91\xdf\xff\xff\xff\xff")
@example(b"\x92\x01\x91\x80")
@example(b"\x91\xa1\xff")
@example(b"\x91\xd7\xff" + b"\xff" * 8)
@example(b"\x82\xa1x\x01\xa1x\x02")
@example(b"\x82\xa1x\x01\xa1z\x81\xa5value\x01")
@example(b"[" * 5000)
@example(b'[{"x":' * 5000)
@example(b'["\\ud800"]')
@given(st.binary(max_size=64))
def test_any_body_at_all_is_taken_or_refused_and_nothing_else(body: bytes) -> None:
    for handler in (add, every_kind, nothing, anything):
        codec = TypedCodec("calc.f", handler)
        with contextlib.suppress(ArgumentError):
            codec.read(Request("calc.f", [body]))


# ---- the request ---------------------------------------------------------------------------------


def first(request: Request, a: int, b: int = 2) -> list[object]:
    return [request.method, a, b]


def second(a: int, request: Request, b: int = 2) -> list[object]:
    return [request.method, a, b]


def by_name(a: int, b: int = 2, *, request: Request) -> list[object]:
    return [request.method, a, b]


def in_order(a: int, request: Request, b: int = 2, /) -> list[object]:
    return [request.method, a, b]


@pytest.mark.parametrize("handler", [first, second, by_name, in_order])
@pytest.mark.parametrize("args", [(1,), (1, 3)])
def test_the_request_is_given_and_not_counted(handler: Callable[..., Any], args: Any) -> None:
    assert call(handler, *args) == ["calc.f", args[0], *(args[1:] or (2,))]
    assert "request" not in TypedCodec("calc.f", handler).signature


@pytest.mark.parametrize("handler", [first, second, by_name])
def test_the_request_is_given_when_arguments_come_by_name(handler: Callable[..., Any]) -> None:
    assert call(handler, b=3, a=1) == ["calc.f", 1, 3]


def test_a_caller_cannot_give_the_request() -> None:
    with pytest.raises(ArgumentError, match="unknown argument 'request'"):
        call(first, a=1, request=2)


# ---- declaring -----------------------------------------------------------------------------------


class Stranger: ...


def takes(x: Stranger) -> None: ...
def takes_inside(x: list[Stranger]) -> None: ...
def takes_either(x: int | Stranger) -> None: ...
def takes_two_strings(x: str | bytes) -> None: ...
def takes_late(x: list["Unheard"]) -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037
def takes_ext(x: msgspec.msgpack.Ext) -> None: ...
def returns() -> Stranger: ...  # type: ignore[empty-body]


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (takes, "parameter x"),
        (takes_inside, "parameter x"),
        (takes_either, "parameter x"),
        (takes_two_strings, "parameter x"),
        (takes_ext, "parameter x"),
        (returns, "the result"),
    ],
)
def test_a_type_that_cannot_travel_is_refused_with_place_and_remedy(handler: Callable[..., Any], name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        TypedCodec("calc.f", handler)
    text = str(caught.value)
    assert text.startswith(f"{handler.__name__} (")
    assert f"test_typed.py:{handler.__code__.co_firstlineno}): {name} cannot travel: " in text
    assert "; use numbers, str, bytes" in text
    assert "\n" not in text


def test_a_name_inside_a_type_that_cannot_be_found_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"takes_late .*Unheard"):
        TypedCodec("calc.f", takes_late)


def test_the_schema_describes_arguments_and_result() -> None:
    schema = TypedCodec("calc.f", every_kind).schema()
    assert schema["title"] == "calc.f"
    assert schema["arguments"] == {
        "type": "object",
        "properties": {
            "a": {"type": "integer"},
            "b": {"type": "string"},
            "c": {"type": "number"},
            "*": {"type": "array", "items": {"type": "integer"}},
            "d": {"type": "boolean"},
            "e": {"type": "integer"},
        },
        "required": ["a", "b", "d"],
        "additionalProperties": {"type": "integer"},
    }
    assert schema["result"] == {"type": "array", "items": {"description": "anything"}}
    assert schema["$defs"] == {}


def test_the_schema_refers_to_shared_types() -> None:
    def move(point: Point) -> Point:
        return point

    schema = TypedCodec("calc.f", move).schema()
    assert schema["arguments"]["properties"]["point"] == schema["result"] == {"$ref": "#/$defs/Point"}
    assert schema["$defs"]["Point"]["properties"]["x"] == {"type": "integer"}
    assert schema["arguments"]["additionalProperties"] is False


# ---- the caller's side ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "kwargs", "body"),
    [
        ((), {}, []),
        ((2, 3), {}, [2, 3]),
        ((), {"a": 2}, {"a": 2}),
        ((2,), {"b": 3}, {"*": [2], "b": 3}),
    ],
)
def test_arguments_are_an_array_or_a_map_or_both(args: Any, kwargs: Any, body: object) -> None:
    assert encode_arguments(args, kwargs) == encode(body)


@pytest.mark.parametrize(
    ("args", "kwargs", "name"),
    [
        ((1, Stranger()), {}, "argument 2 (Stranger)"),
        ((1,), {"b": [Stranger()]}, "argument b (list)"),
        ((2**64,), {}, "argument 1 (int)"),
        (("\ud800",), {}, "argument 1 (str)"),
    ],
)
def test_an_argument_that_cannot_be_sent_is_named_with_its_type(args: Any, kwargs: Any, name: str) -> None:
    with pytest.raises(LocalProtocolError) as caught:
        encode_arguments(args, kwargs)
    assert str(caught.value).startswith(f"{name} cannot be sent: ")
    assert "; use numbers, str, bytes" in str(caught.value)


def test_an_argument_called_star_is_refused() -> None:
    with pytest.raises(LocalProtocolError, match=r"cannot be called '\*': give the arguments in order"):
        encode_arguments((), {"*": [1]})


@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x01\x02", b"\x92\x01"])
def test_an_answer_that_is_not_one_value_is_refused(body: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match=r"not one msgpack value .*call it raw"):
        decode_result(body)
