"""Services and their methods: what a server offers, declared by decorating functions.

    calc = Service("calc", version="1.0.0")

    @calc.method
    def add(a: int, b: int) -> int:
        return a + b

    @calc.method(raw=True)
    def echo(request: Request) -> list[bytes]:
        return request.frames

The decorated function stays what it was, and can be called directly.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal, TypeVar, overload

from mesh.errors import ConfigError
from mesh.request import Request
from mesh.signature import evaluated_signature, place
from mesh.typed import ResultError, TypedCodec

__all__ = ["Lane", "Method", "Service"]

Lane = Literal["inline", "threaded", "coroutine"]
"""Where a handler runs: in the server's loop, on a thread of its service, or in a task of the loop."""

_Handler = TypeVar("_Handler", bound=Callable[..., Any])

_RESERVED = "mesh"
"""The service name under which every server answers control methods, such as ``mesh.info``."""
_SERVICE_NAME = re.compile(r"[A-Za-z0-9_-]{1,62}")
"""At most 62 octets: a DNS-SD subtype label has 63 (RFC 6763 section 7.1), the first is an underscore."""
_METHOD_NAME = re.compile(r"[A-Za-z0-9_.-]+")
_FULL_NAME_OCTETS_MAX = 255
_THREADS_MAX = 1024
_NUMBER = r"(?:0|[1-9]\d*)"
_WORD = rf"(?:{_NUMBER}|\d*[A-Za-z-][0-9A-Za-z-]*)"
_BUILD = r"[0-9A-Za-z-]+"
_SEMVER = re.compile(
    rf"{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-{_WORD}(?:\.{_WORD})*)?(?:\+{_BUILD}(?:\.{_BUILD})*)?", re.ASCII
)
"""Semantic Versioning 2.0.0, sections 2, 9 and 10."""


class _RawCodec:
    """Gives a handler the request as it is, and takes frames back."""

    def __init__(self, full_name: str, handler: Callable[..., Any]) -> None:
        declared = evaluated_signature(handler)
        try:
            (name,) = declared.bind("the request").arguments
            fits = declared.parameters[name].annotation in (Request, inspect.Parameter.empty)
        except TypeError:
            fits = False
        if not fits:
            raise ConfigError(f"{place(handler)}: a raw handler takes the Request alone, not {declared}")
        self._full_name = full_name
        self.signature = f"{full_name}(*frames: bytes) -> list[bytes]"

    def write(self, result: Any) -> Sequence[bytes]:
        if type(result) is bytes:
            return (result,)
        if type(result) is list and len(result) == 1 and type(result[0]) is bytes:  # nearly all others
            return result
        if not isinstance(result, (list, tuple)):
            kind = type(result).__name__
            raise ResultError(self.signature, f"the result: expected bytes or a list of bytes, got {kind}")
        for index, frame in enumerate(result):
            if not isinstance(frame, bytes):
                kind = type(frame).__name__
                raise ResultError(self.signature, f"the result[{index}]: expected bytes, got {kind}")
        return result

    def schema(self) -> dict[str, Any]:
        return {"title": self._full_name, "raw": True}


@dataclass(frozen=True, slots=True, eq=False)
class Method:
    """One method of a service: its name, its contract, and how to run it."""

    full_name: str
    """``service.name``, as it is called."""
    service: str
    """The name of its service."""
    name: str
    """Its name within the service."""
    raw: bool
    """True when the handler takes the request and returns frames; False when it is typed."""
    idempotent: bool
    """True when a call may be repeated on another server after an attempt whose outcome is unknown."""
    read_only: bool
    """True when a call changes nothing, so that it may be repeated, and asked for by GET."""
    lane: Lane
    """Where the handler runs."""
    description: str
    """For people; the handler's docstring unless another was given."""
    _handler: Callable[..., Any]
    _codec: _RawCodec | TypedCodec

    @property
    def signature(self) -> str:
        """The method as text, for example ``calc.add(a: int, b: int = 5) -> int``."""
        return self._codec.signature

    def schema(self) -> dict[str, Any]:
        """Return JSON Schema of ``arguments`` (by name) and ``result``; a raw method has ``raw`` instead."""
        return self._codec.schema()

    def invoke(self, request: Request) -> Sequence[bytes]:
        """Run the handler of an inline or threaded method, and return the frames of its answer.

        Reading, calling, checking and writing ``add(a: int, b: int) -> int`` costs 0.7 us (CPython 3.11).

        Raises:
            ArgumentError: the body does not fit the signature; the handler was not called.
            ResultError: the handler returned what the method does not declare.
            Exception: whatever the handler raised.
        """
        codec = self._codec
        if isinstance(codec, _RawCodec):
            return codec.write(self._handler(request))
        args, kwargs = codec.read(request)
        return codec.write(self._handler(*args, **kwargs))

    async def invoke_async(self, request: Request) -> Sequence[bytes]:
        """Run the handler of a coroutine method; otherwise as ``invoke``."""
        codec = self._codec
        if isinstance(codec, _RawCodec):
            return codec.write(await self._handler(request))
        args, kwargs = codec.read(request)
        return codec.write(await self._handler(*args, **kwargs))


class Service:
    """A named set of methods that a server offers."""

    def __init__(
        self,
        name: str,
        *,
        version: str = "0.0.0",
        description: str = "",
        metadata: Mapping[str, str] | None = None,
        threads: int = 0,
    ) -> None:
        """Declare a service without methods.

        Args:
            name: 1 to 62 of ``A-Z a-z 0-9 _ -``; ``mesh`` is the server's own.
            version: Semantic Versioning 2.0.0.
            description: for people.
            metadata: for people and programs that choose among servers.
            threads: size of the pool on which handlers that are no coroutines run, 0 to 1024; 0 runs them in
                the server's loop, one at a time, so none of them may block.

        Raises:
            ConfigError: one of these cannot be used.
        """
        if not _SERVICE_NAME.fullmatch(name):
            raise ConfigError(f"service name {name!r}: use 1 to 62 of A-Z a-z 0-9 _ -")
        if name == _RESERVED:
            raise ConfigError(f"service name {name!r} is the server's own: choose another")
        if not _SEMVER.fullmatch(version):
            raise ConfigError(f"service {name}: version {version!r} is not a semantic version such as 1.0.0")
        if not 0 <= threads <= _THREADS_MAX:
            raise ConfigError(f"service {name}: threads={threads!r}: use 0 to {_THREADS_MAX}")
        entries: dict[Any, Any] = dict(metadata or {})
        for key, value in entries.items():
            if not isinstance(key, str) or not isinstance(value, str):
                raise ConfigError(f"service {name}: metadata {key!r}: {value!r}: both must be str")
        self._name = name
        self._version = version
        self._description = description
        self._metadata = MappingProxyType(entries)
        self._threads = threads
        self._methods: dict[str, Method] = {}

    @property
    def name(self) -> str:
        """The first part of its methods' full names."""
        return self._name

    @property
    def version(self) -> str:
        """Its semantic version."""
        return self._version

    @property
    def description(self) -> str:
        """What it is, for people."""
        return self._description

    @property
    def metadata(self) -> Mapping[str, str]:
        """What else its author says about it."""
        return self._metadata

    @property
    def threads(self) -> int:
        """Size of its thread pool; 0: it has none."""
        return self._threads

    @property
    def methods(self) -> Mapping[str, Method]:
        """Its methods by full name, in the order of their declaration."""
        return MappingProxyType(self._methods)

    @overload
    def method(self, handler: _Handler, /) -> _Handler: ...
    @overload
    def method(
        self,
        /,
        *,
        name: str | None = None,
        raw: bool = False,
        idempotent: bool = True,
        read_only: bool = False,
        threaded: bool | None = None,
        description: str | None = None,
    ) -> Callable[[_Handler], _Handler]: ...
    def method(
        self,
        handler: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        raw: bool = False,
        idempotent: bool = True,
        read_only: bool = False,
        threaded: bool | None = None,
        description: str | None = None,
    ) -> Any:
        """Declare a function, a coroutine function or another callable as a method, and return it unchanged.

        Args:
            name: of ``A-Z a-z 0-9 _ . -``, at most 255 octets with the service; default: the function's own.
            raw: the handler takes the Request and returns bytes or a list of bytes, instead of typed values.
            idempotent: False for a method that must not run twice: after an attempt whose outcome is unknown,
                its caller gets ``OutcomeUnknown`` instead of a second attempt elsewhere.
            read_only: True for a method that changes nothing: the HTTP gateway then answers GET as well.
            threaded: whether it runs on the service's threads; default: if the service has any.
            description: for people; default: the function's docstring.

        Raises:
            ConfigError: the name is taken or malformed, the signature cannot travel, or a method that changes
                nothing must not run twice.
        """
        declare = functools.partial(
            self._declare,
            name=name,
            raw=raw,
            idempotent=idempotent,
            read_only=read_only,
            threaded=threaded,
            description=description,
        )
        return declare if handler is None else declare(handler)

    def _declare(
        self,
        handler: _Handler,
        *,
        name: str | None,
        raw: bool,
        idempotent: bool,
        read_only: bool,
        threaded: bool | None,
        description: str | None,
    ) -> _Handler:
        if not callable(handler):
            raise ConfigError(f"service {self._name}: {handler!r} is no function; a name goes into name=")
        inner = _innermost(handler)
        if name is None:
            name = str(getattr(inner, "__name__", ""))
        full_name = f"{self._name}.{name}"
        if not _METHOD_NAME.fullmatch(name):
            raise ConfigError(f"{place(handler)}: method name {name!r}: give name= of A-Z a-z 0-9 _ . -")
        if len(full_name) > _FULL_NAME_OCTETS_MAX:
            raise ConfigError(f"{place(handler)}: {full_name}: shorten it to {_FULL_NAME_OCTETS_MAX} octets")
        if full_name in self._methods:
            raise ConfigError(f"{place(handler)}: {full_name} is declared already: give another name=")
        if read_only and not idempotent:
            raise ConfigError(
                f"{place(handler)}: a method that changes nothing may run twice: leave read_only or idempotent out"
            )
        lane = self._lane(handler, threaded)
        codec = _RawCodec(full_name, handler) if raw else TypedCodec(full_name, handler)
        self._methods[full_name] = Method(
            full_name=full_name,
            service=self._name,
            name=name,
            raw=raw,
            idempotent=idempotent,
            read_only=read_only,
            lane=lane,
            description=(inspect.getdoc(inner) or "") if description is None else description,
            _handler=handler,
            _codec=codec,
        )
        return handler

    def _lane(self, handler: Callable[..., Any], threaded: bool | None) -> Lane:
        call = type(_innermost(handler)).__call__
        if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
            raise ConfigError(f"{place(handler)}: a generator cannot be a method: return a list")
        if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call):
            if threaded:
                raise ConfigError(f"{place(handler)}: a coroutine runs in the loop: leave threaded out")
            return "coroutine"
        if threaded and not self._threads:
            raise ConfigError(f"{place(handler)}: service {self._name} has no threads: give it some, as in threads=4")
        return "threaded" if (self._threads if threaded is None else threaded) else "inline"


def _innermost(handler: Any) -> Any:
    """Return the callable inside any number of ``functools.partial``: a partial has no name of its own."""
    while isinstance(handler, functools.partial):
        handler = handler.func
    return handler
