"""What is written: sentences on standard error, values as JSON, and nothing that could steer a terminal."""

from __future__ import annotations

import base64
import json
import math
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = [
    "ascii_only",
    "compact",
    "complain",
    "complain_to",
    "has_bytes",
    "milliseconds",
    "pretty",
    "printable",
    "say",
]


_tell: Callable[[str], None] | None = None
"""Tells complaints, if not as text."""


def complain(sentence: str) -> None:
    """Tell one sentence on standard error, from any thread."""
    if _tell is not None:
        _tell(sentence)
    else:
        print(f"mesh: {printable(sentence)}\n", end="", file=sys.stderr, flush=True)


def complain_to(tell: Callable[[str], None]) -> None:
    """Have complaints told in another way from now on: where standard error is for programs, as records of a log."""
    global _tell
    _tell = tell


def say(line: str) -> None:
    """Write one line to standard output, from any thread: `print` writes its end apart, so that lines would mix."""
    print(f"{line}\n", end="", flush=True)


def printable(text: str) -> str:
    """Return text of others, such as a server's name, with what could move the cursor or change colours escaped."""
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape", "surrogatepass").decode()
        for character in text
    )


def compact(value: object) -> str:
    """Return a value as JSON on one line; see `pretty`."""
    return json.dumps(_plain(value), ensure_ascii=ascii_only())


def pretty(value: object) -> str:
    """Return a value as JSON on several lines.

    What JSON does not have becomes text: bytes in base64 (RFC 4648 section 4), dates in ISO 8601, `nan` and `inf`.
    """
    return json.dumps(_plain(value), ensure_ascii=ascii_only(), indent=2)


def has_bytes(value: object) -> bool:
    """Tell whether `pretty` has to write something in base64."""
    if isinstance(value, Mapping):
        return any(has_bytes(key) or has_bytes(item) for key, item in value.items())
    if isinstance(value, list | tuple):
        return any(map(has_bytes, value))
    return isinstance(value, bytes)


def milliseconds(seconds: float | None) -> str:
    """Return a duration for people, with three digits that count."""
    return "" if seconds is None else f"{seconds * 1000:.3g} ms"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _key(key: Any) -> str:
    plain = _plain(key)
    return plain if isinstance(plain, str) else json.dumps(plain)


def ascii_only() -> bool:
    """Tell whether standard output takes nothing but ASCII for certain."""
    return (sys.stdout.encoding or "").lower().replace("-", "") != "utf8"
