"""Typed arguments and results: between the bytes of a call and a Python signature.

The body of a typed call is one msgpack value: an array holds the arguments in order, a map holds them by
name, and a map whose key ``*`` holds an array has both. No body at all means no arguments. The answer is one
msgpack value. Both are checked against the annotations, strictly: ``"3"`` is not an ``int``, while an ``int``
will do for a ``float``.

The arguments may come as JSON text as well, an array or an object in the same forms: then bytes are in base64,
and the keys of a map may be numbers in quotes, for the annotations say what is meant.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import GenericAlias
from typing import Any

import msgspec

from mesh.errors import ConfigError, LocalProtocolError, MeshError, RemoteProtocolError
from mesh.request import Request
from mesh.signature import evaluated_signature, place, printed_signature, request_parameter

__all__ = ["ArgumentError", "ResultError", "TypedCodec", "decode_result", "encode_arguments"]

_REST = "*"
_FIXARRAY, _FIXARRAY_MAX = 0x90, 15
"""The first octet of an array of up to 15 values is 0x90 plus their number (msgpack, fixarray)."""

_KNOWN_TYPES = (
    "use numbers, str, bytes, bool, None, dates and times, Decimal, UUID, Enum, list, tuple, set, dict, "
    "dataclasses, TypedDict, NamedTuple, msgspec.Struct, and Union, Literal or Annotated of them"
)

_JSON_BELOW = 0x80
"""JSON text begins with ASCII (RFC 8259 section 2); no array or map of msgpack begins with an octet below this."""

_encode = msgspec.msgpack.Encoder().encode
_decode_any = msgspec.msgpack.Decoder().decode
_NO_NAMES: Mapping[str, Any] = {}

_Decode = Callable[[bytes | msgspec.Raw], Any]
_DecoderOf = Callable[[Any], _Decode]


class _Misfit(MeshError):
    """A value does not fit the signature of a method."""

    def __init__(self, signature: str, problem: str) -> None:
        super().__init__(signature, problem)
        self.signature = signature
        """The method as it is declared, for example ``calc.add(a: int, b: int) -> int``."""
        self.problem = problem
        """What does not fit, for example ``argument b: expected int, got str``."""

    def __str__(self) -> str:
        return f"{self.signature}: {self.problem}"


class ArgumentError(_Misfit):
    """The arguments of a call do not fit the method; the caller gets ``INVALID_ARGUMENT``."""


class ResultError(_Misfit):
    """A handler returned what its method does not declare or cannot send; the caller gets ``INTERNAL``."""


def encode_arguments(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bytes:
    """Return the body of a typed call with these arguments.

    Raises:
        LocalProtocolError: an argument cannot be sent; the sentence names it and its type.
    """
    if _REST in kwargs:
        raise LocalProtocolError("an argument cannot be called '*': give the arguments in order instead")
    try:
        if not kwargs:
            return _encode(args)
        return _encode({_REST: args, **kwargs} if args else kwargs)
    except Exception:
        _blame([(f"argument {number}", value) for number, value in enumerate(args, 1)])
        _blame([(f"argument {name}", value) for name, value in kwargs.items()])
        raise


def _blame(arguments: list[tuple[str, object]]) -> None:
    """Raise for the first of the arguments that cannot be encoded."""
    for name, value in arguments:
        try:
            _encode(value)
        except Exception as exc:
            raise LocalProtocolError(f"{name} ({type(value).__name__}) cannot be sent: {exc}; {_KNOWN_TYPES}") from None


def decode_result(body: bytes) -> object:
    """Return the value that a typed method answered.

    Raises:
        RemoteProtocolError: the body is not one msgpack value, as after a call of a raw method.
    """
    try:
        return _decode_any(body)
    except Exception as exc:
        raise RemoteProtocolError(
            f"the answer is not one msgpack value ({exc}); if the method is raw, call it raw"
        ) from None


class TypedCodec:
    """Reads the arguments of one method from a request, and writes its result."""

    def __init__(self, full_name: str, handler: Callable[..., Any]) -> None:
        """Build the decoders of a handler's signature.

        Raises:
            ConfigError: the signature cannot be evaluated, or a type in it cannot travel.
        """
        declared = evaluated_signature(handler)
        self._request = request_parameter(declared, handler)
        parameters = [parameter for parameter in declared.parameters.values() if parameter.annotation is not Request]
        self._declared = declared.replace(parameters=parameters)
        self._full_name = full_name
        self.signature: str = full_name + printed_signature(self._declared)
        """The method as it is declared, without what the server injects."""
        self._check_types(handler)

        self._required = [parameter.name for parameter in parameters if _is_required(parameter)]
        self._arrays = _array_decoders(parameters)
        self._msgpack = _Reader(self.signature, parameters, _decoder)
        result_type = declared.return_annotation
        self._check_result = None if result_type is declared.empty else _decoder(result_type)

    def read(self, request: Request) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Return the arguments of a call, checked, as ``handler(*args, **kwargs)`` takes them.

        Raises:
            ArgumentError: the body does not fit the signature.
        """
        args: Sequence[Any] | None
        kwargs: Mapping[str, Any] = _NO_NAMES
        try:
            # One array of as many values as the method takes is the common case: one decoder for each such
            # number, found by the first octet, makes the argument tuple in one step.
            (body,) = request.frames
            args = self._arrays[body[0]](body)
        except Exception:
            args = None
        if args is None:
            # Everything else goes the long way, which takes every form and says what is wrong.
            args, kwargs = self._read_any(request.frames)
        if self._request is not None:
            return self._with_request(request, args, kwargs)
        return args, kwargs

    def write(self, result: object) -> Sequence[bytes]:
        """Return the frames of an answer.

        What is checked against the annotation is the encoded value, which is what the caller will read.
        Unlike ``msgspec.convert`` this looks inside dataclasses, and it takes a quarter of the time for an
        ``int``.

        Raises:
            ResultError: the result cannot be sent, or is not what the method declares.
        """
        try:
            body = _encode(result)
            if self._check_result is not None:
                self._check_result(body)
        except Exception as exc:
            raise ResultError(self.signature, _problem("the result", exc)) from None
        return (body,)

    def schema(self) -> dict[str, Any]:
        """Return JSON Schema of the arguments, by name (``*``: the rest of the array), and of the result."""
        parameters = list(self._declared.parameters.values())
        result_type = self._declared.return_annotation
        types = [_type_of(parameter) for parameter in parameters]
        types.append(Any if result_type is inspect.Signature.empty else result_type)
        (*schemas, result), shared = msgspec.json.schema_components(
            types, schema_hook=_schema_hook, ref_template="#/$defs/{name}"
        )
        properties: dict[str, Any] = {}
        others: bool | dict[str, Any] = False
        for parameter, schema in zip(parameters, schemas, strict=True):
            if parameter.kind is parameter.VAR_POSITIONAL:
                properties[_REST] = {"type": "array", "items": schema}
            elif parameter.kind is parameter.VAR_KEYWORD:
                others = schema
            else:
                properties[parameter.name] = schema
        arguments = {
            "type": "object",
            "properties": properties,
            "required": self._required,
            "additionalProperties": others,
        }
        return {"title": self._full_name, "arguments": arguments, "result": result, "$defs": shared}

    def _check_types(self, handler: Callable[..., Any]) -> None:
        """Raise ConfigError for the first annotation that cannot travel."""
        named = [
            (f"parameter {parameter.name}", _type_of(parameter)) for parameter in self._declared.parameters.values()
        ]
        if self._declared.return_annotation is not inspect.Signature.empty:
            named.append(("the result", self._declared.return_annotation))
        for name, annotation in named:
            try:
                # A decoder accepts any class, then refuses every value of it; the schema refuses the class.
                _decoder(annotation)
                msgspec.json.schema_components([annotation], schema_hook=_schema_hook)
            except Exception as exc:
                why = str(exc).partition("\n")[0]
                raise ConfigError(f"{place(handler)}: {name} cannot travel: {why}; {_KNOWN_TYPES}") from None

    @functools.cached_property
    def _json(self) -> _Reader:
        """What reads JSON; made with the first call that brings some."""
        return _Reader(self.signature, list(self._declared.parameters.values()), _json_decoder)

    def _read_any(self, frames: Sequence[bytes]) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments in order and by name, whatever form they came in."""
        if len(frames) > 1:
            raise ArgumentError(self.signature, f"the arguments are one frame, got {len(frames)}")
        if not frames or not frames[0]:
            return self._msgpack.bind([], {})
        (body,) = frames
        return (self._json if body[0] < _JSON_BELOW else self._msgpack).read(body)

    def _with_request(
        self, request: Request, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[Sequence[Any], Mapping[str, Any]]:
        """Put the request where the handler wants it: among the arguments in order if they reach so far."""
        assert self._request is not None
        index, name = self._request
        if index > len(args):
            return args, {**kwargs, name: request}
        return (*args[:index], request, *args[index:]), kwargs


class _Reader:
    """Reads arguments that came in one encoding, each by the annotation of its parameter."""

    def __init__(self, signature: str, parameters: Sequence[inspect.Parameter], decoder: _DecoderOf) -> None:
        self._signature = signature
        self._decode_body = decoder(list[msgspec.Raw] | dict[str, msgspec.Raw])
        self._decode_rest = decoder(list[msgspec.Raw])
        self._in_order: list[tuple[str, _Decode]] = []
        self._by_name: dict[str, _Decode] = {}
        self._rest: _Decode | None = None
        self._extra: _Decode | None = None
        for parameter in parameters:
            decode = decoder(_type_of(parameter))
            if parameter.kind is parameter.VAR_POSITIONAL:
                self._rest = decode
            elif parameter.kind is parameter.VAR_KEYWORD:
                self._extra = decode
            if parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD):
                self._in_order.append((parameter.name, decode))
            if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
                self._by_name[parameter.name] = decode
        self._required = [parameter.name for parameter in parameters if _is_required(parameter)]

    def read(self, body: bytes) -> tuple[list[Any], dict[str, Any]]:
        """Return the arguments of a body. Raises ArgumentError."""
        try:
            given = self._decode_body(body)
        except Exception as exc:
            raise ArgumentError(
                self._signature,
                f"{_problem('the body', exc)}; send an array of the arguments, or a map by name",
            ) from None
        if isinstance(given, list):
            return self.bind(given, {})
        rest = given.pop(_REST, None)
        return self.bind([] if rest is None else self._value(_REST, self._decode_rest, rest), given)

    def bind(self, values: list[msgspec.Raw], named: dict[str, msgspec.Raw]) -> tuple[list[Any], dict[str, Any]]:
        """Decode each argument for its parameter; Python's own rules decide which that is."""
        args = self._take_in_order(values) if values else []
        known = [name for name, _ in self._in_order[: len(args)]] if args else []
        kwargs: dict[str, Any] = {}
        for name, raw in named.items():
            decode = self._by_name.get(name)
            if decode is None:
                if self._extra is None:
                    takes = ", ".join(self._by_name) or "none by name"
                    raise ArgumentError(self._signature, f"unknown argument {name!r}, it takes {takes}")
                decode = self._extra
            elif name in known:
                raise ArgumentError(self._signature, f"argument {name} is given twice")
            else:
                known.append(name)
            kwargs[name] = self._value(name, decode, raw)
        missing = [name for name in self._required if name not in known]
        if missing:
            raise ArgumentError(self._signature, f"missing {', '.join(missing)}")
        return args, kwargs

    def _take_in_order(self, values: list[msgspec.Raw]) -> list[Any]:
        """Decode the arguments of an array."""
        args = [self._value(name, decode, raw) for (name, decode), raw in zip(self._in_order, values, strict=False)]
        surplus = values[len(args) :]
        if self._rest is not None:
            args += [self._value(f"*[{index}]", self._rest, raw) for index, raw in enumerate(surplus)]
        elif surplus:
            raise ArgumentError(self._signature, f"at most {len(args)} arguments in order, got {len(values)}")
        return args

    def _value(self, name: str, decode: _Decode, raw: msgspec.Raw) -> Any:
        try:
            return decode(raw)
        except Exception as exc:
            raise ArgumentError(self._signature, f"argument {_problem(name, exc)}") from None


def _type_of(parameter: inspect.Parameter) -> Any:
    return Any if parameter.annotation is parameter.empty else parameter.annotation


def _is_required(parameter: inspect.Parameter) -> bool:
    various = (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
    return parameter.default is parameter.empty and parameter.kind not in various


def _decoder(annotation: Any) -> _Decode:
    return msgspec.msgpack.Decoder(annotation).decode


def _json_decoder(annotation: Any) -> _Decode:
    return msgspec.json.Decoder(annotation).decode


def _array_decoders(parameters: Sequence[inspect.Parameter]) -> dict[int, _Decode]:
    """Return a decoder for each number of arguments in order that is enough, by the array's first octet."""
    if any(parameter.kind is parameter.KEYWORD_ONLY and _is_required(parameter) for parameter in parameters):
        return {}
    in_order = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    types = [_type_of(parameter) for parameter in in_order]
    for parameter in parameters:
        if parameter.kind is parameter.VAR_POSITIONAL:
            types += [_type_of(parameter)] * (_FIXARRAY_MAX - len(types))
    fewest = sum(_is_required(parameter) for parameter in in_order)
    most = min(len(types), _FIXARRAY_MAX)
    return {_FIXARRAY | count: _decoder(GenericAlias(tuple, tuple(types[:count]))) for count in range(fewest, most + 1)}


def _schema_hook(annotation: Any) -> dict[str, Any]:
    """Describe ``object``, which means anything: msgspec's decoder takes it, its schema does not."""
    if annotation is object:
        return {"description": "anything"}  # msgspec takes an empty one for none
    raise TypeError(f"msgpack does not carry {getattr(annotation, '__qualname__', annotation)}")


def _problem(name: str, exc: Exception) -> str:
    """Return msgspec's complaint about a value as our sentence: ``b[0].x: expected int, got str``."""
    what, _, path = str(exc).partition(" - at `")
    where = path.rstrip("`").replace("$", name, 1) or name
    if isinstance(exc, msgspec.ValidationError):
        what = what[:1].lower() + what[1:]
    return f"{where}: {what}".replace("`", "")
