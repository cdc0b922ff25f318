"""The signature of a handler: read, searched for the request, printed."""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from typing import Any

from mesh.errors import ConfigError
from mesh.request import Request

__all__ = ["evaluated_signature", "place", "printed_signature", "request_parameter"]


def place(handler: Callable[..., Any]) -> str:
    """Return where a handler was written, for an error's sentence: ``add (calc.py:12)``."""
    inner: Any = handler
    while isinstance(inner, functools.partial):
        inner = inner.func
    inner = inspect.unwrap(inner)
    name = getattr(inner, "__qualname__", None) or f"an object of type {type(inner).__qualname__}"
    code = getattr(inner, "__code__", None) or getattr(type(inner).__call__, "__code__", None)
    return f"{name} ({code.co_filename}:{code.co_firstlineno})" if code else str(name)


def evaluated_signature(handler: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a handler with its annotations evaluated.

    Raises:
        ConfigError: it has none, or a name in an annotation cannot be found.
    """
    try:
        return inspect.signature(handler, eval_str=True)
    except Exception as exc:
        raise ConfigError(
            f"{place(handler)}: its signature cannot be evaluated: {exc}; define the types of a handler "
            "at the top level of its module, outside `if TYPE_CHECKING`"
        ) from None


def request_parameter(declared: inspect.Signature, handler: Callable[..., Any]) -> tuple[int, str] | None:
    """Return index and name of the parameter that takes the request; a keyword-only one is out of reach."""
    wanted = [
        (index, parameter)
        for index, parameter in enumerate(declared.parameters.values())
        if parameter.annotation is Request
    ]
    if not wanted:
        return None
    index, parameter = wanted[0]
    plain = parameter.kind in (
        parameter.POSITIONAL_ONLY,
        parameter.POSITIONAL_OR_KEYWORD,
        parameter.KEYWORD_ONLY,
    )
    if len(wanted) > 1 or not plain or parameter.default is not parameter.empty:
        raise ConfigError(f"{place(handler)}: the request is given once and always: take it in one plain parameter")
    return (sys.maxsize if parameter.kind is parameter.KEYWORD_ONLY else index), parameter.name


class _Text(str):
    """An annotation that prints as it is written, without quotes."""

    __slots__ = ()
    __repr__ = str.__str__


def printed_signature(signature: inspect.Signature) -> str:
    """Return a signature as text, classes by their bare name."""

    def named(annotation: Any) -> Any:
        if annotation is signature.empty:
            return annotation
        bare = isinstance(annotation, type)
        return _Text(annotation.__qualname__ if bare else repr(annotation).replace("typing.", ""))

    parameters = [p.replace(annotation=named(p.annotation)) for p in signature.parameters.values()]
    return str(signature.replace(parameters=parameters, return_annotation=named(signature.return_annotation)))
