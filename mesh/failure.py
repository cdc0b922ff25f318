"""What a caller is told when its call fails: the status of an exception, the names it perhaps meant."""

from __future__ import annotations

import os
import traceback

import msgspec

from mesh.errors import RemoteError, Status
from mesh.typed import ArgumentError, ResultError

__all__ = ["ErrorDetail", "describe_error"]

_TYPE_OCTETS_MAX = 255
_MESSAGE_OCTETS_MAX = 4 * 1024
_TRACEBACK_OCTETS_MAX = 16 * 1024
_TRACEBACK_FRAMES_MAX = 64
_HERE = os.path.dirname(__file__) + os.sep

_STATUS: tuple[tuple[type[BaseException], Status], ...] = (
    (ArgumentError, Status.INVALID_ARGUMENT),
    (ResultError, Status.INTERNAL),
    (TimeoutError, Status.DEADLINE_EXCEEDED),
    (NotImplementedError, Status.UNIMPLEMENTED),
)


class ErrorDetail(msgspec.Struct, frozen=True):
    """A failure as it travels to the caller."""

    code: int
    """A ``Status``, never ``OK``."""
    type: str
    """Name of the exception's class, at most 255 octets."""
    message: str
    """Its text, at most 4 KiB."""
    traceback: str
    """Where it was raised, at most 16 KiB; empty where the server does not expose it."""


def describe_error(exc: BaseException, *, expose_traceback: bool) -> ErrorDetail:
    """Return what the caller is told about an exception of a handler.

    A RemoteError keeps its code, type and message: the handler chose them, or got them from another server.
    The traceback has the handler's frames only. Whatever the exception is, this does not raise.
    """
    if isinstance(exc, RemoteError):
        code, kind, message, trace = _failure(exc.code), exc.type, _text(exc.message), exc.traceback
    else:
        code = next((status for cause, status in _STATUS if isinstance(exc, cause)), Status.UNKNOWN)
        kind, message, trace = type(exc).__name__, _text(exc), ""
    if expose_traceback:
        trace = trace or _traceback(exc)
    else:
        trace = ""
    return ErrorDetail(
        code=int(code),
        type=_bounded(kind, _TYPE_OCTETS_MAX),
        message=_bounded(message, _MESSAGE_OCTETS_MAX),
        traceback=_bounded(trace, _TRACEBACK_OCTETS_MAX, keep_end=True),
    )


def _failure(code: Status) -> Status:
    """Return the status a handler chose, UNKNOWN if it is none: an error must not travel as OK."""
    try:
        return Status(code) or Status.UNKNOWN
    except ValueError:
        return Status.UNKNOWN


def _traceback(exc: BaseException) -> str:
    """Format an exception and its causes without the frames of this package."""
    whole = traceback.TracebackException.from_exception(exc, limit=-_TRACEBACK_FRAMES_MAX)
    waiting = [whole]
    while waiting:
        part = waiting.pop()
        part.stack[:] = [frame for frame in part.stack if not frame.filename.startswith(_HERE)]
        waiting += [other for other in (part.__cause__, part.__context__, *(part.exceptions or ())) if other]
    return "".join(whole.format())


def _bounded(text: str, octets_max: int, *, keep_end: bool = False) -> str:
    """Cut a text to so many octets of UTF-8, and make it sendable: msgpack knows no lone surrogates."""
    octets = text.encode("utf-8", "backslashreplace")
    if len(octets) <= octets_max:
        return octets.decode()
    room = octets_max - len("…".encode())
    if keep_end:
        return "…" + octets[-room:].decode("utf-8", "ignore")
    return octets[:room].decode("utf-8", "ignore") + "…"


def _text(value: object) -> str:
    """Return what a value says, even if it cannot."""
    try:
        return str(value)
    except Exception:
        return f"a {type(value).__name__} whose text cannot be made"
