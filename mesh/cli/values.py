"""The arguments of `mesh call`: JSON where it parses, text elsewhere; frames as they are for raw methods."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from mesh.cli.exits import UsageError

__all__ = ["raw_frames", "typed_arguments"]

_STDIN = "-"


def typed_arguments(words: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    """Return the arguments in order and by name.

    `-` alone reads one JSON value from standard input: an array holds the arguments in order, an object holds
    them by name, anything else is the only argument. Raises UsageError.
    """
    if not _is_stdin(words):
        return [_value(word) for word in words], {}
    text = sys.stdin.buffer.read()  # JSON is UTF-8 (RFC 8259 section 8.1), whatever the locale is
    try:
        given = _parse(text)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"standard input is not JSON ({error}); pipe one JSON value, or use --raw for bytes") from None
    if isinstance(given, list):
        return given, {}
    return ([], given) if isinstance(given, dict) else ([given], {})


def raw_frames(words: Sequence[str]) -> list[bytes]:
    """Return the frames of a raw call: each word is one, `-` alone is one frame of everything on standard input."""
    return [sys.stdin.buffer.read()] if _is_stdin(words) else [os.fsencode(word) for word in words]


def _is_stdin(words: Sequence[str]) -> bool:
    if _STDIN in words and len(words) > 1:
        raise UsageError(
            "'-' stands for standard input and has to be the only argument; pipe all of them as a JSON array"
        )
    return _STDIN in words


def _value(word: str) -> Any:
    try:
        return _parse(word)
    except (ValueError, RecursionError):
        return word


def _parse(text: str | bytes) -> Any:
    return json.loads(text, parse_constant=_refuse)


def _refuse(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON")  # NaN and Infinity, which Python's reader takes
