"""Refusals and failures as HTTP tells them: problem details, RFC 9457."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import msgspec

from mesh import Attempt, CallError, MeshError, RemoteError
from mesh.gateway.statuses import RETRIED, http_status, status_word

__all__ = ["Problem", "problem_of"]

_MEDIA_TYPE = b"application/problem+json"
_TITLES = {499: "Client Closed Request"}


class Problem(Exception):
    """Why a request was refused or failed; becomes its response.

    Args:
        status: HTTP status.
        detail: What is wrong and what to do about it, in one sentence.
        code: The same in one word, for programs: that of a gRPC status where there is one.
        headers: Of the response, beside its type and length.
        more: Further members of the body (RFC 9457 section 3.2).
    """

    def __init__(
        self,
        status: int,
        detail: str,
        code: str,
        headers: Mapping[str, str] | None = None,
        more: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status: int = status
        """HTTP status."""
        self._detail = detail
        self._code = code
        self._headers = dict(headers or {})
        self._more = dict(more or {})

    def body(self) -> bytes:
        """Return the body of the response."""
        title = _TITLES.get(self.status) or HTTPStatus(self.status).phrase
        told = {"title": title, "status": self.status, "detail": self._detail, "code": self._code, **self._more}
        return msgspec.json.encode(told)

    def headers(self, body: bytes) -> list[tuple[bytes, bytes]]:
        """Return the headers of the response with this body."""
        headers = [
            (b"content-type", _MEDIA_TYPE),
            (b"content-length", str(len(body)).encode()),
            (b"cache-control", b"no-store"),
        ]
        if self.status in RETRIED:
            headers.append((b"retry-after", b"1"))
        return headers + [(name.encode("ascii"), value.encode("ascii")) for name, value in self._headers.items()]


def problem_of(error: MeshError) -> Problem:
    """Return the problem of a call that ended with an error: who was tried, when, and how each attempt ended."""
    more: dict[str, Any] = {"error": type(error).__name__}
    detail = str(error)
    if isinstance(error, CallError):
        detail = error.message
        more |= {
            "method": error.method,
            "elapsed_s": round(error.elapsed_s, 6),
            "attempts": [_attempt(attempt) for attempt in error.attempts],
        }
    if isinstance(error, RemoteError) and error.type:
        more["remote_type"] = error.type
    return Problem(http_status(error), _sendable(detail), status_word(error), more=more)


def _attempt(attempt: Attempt) -> dict[str, Any]:
    told = dataclasses.asdict(attempt)
    return {key: round(value, 6) if isinstance(value, float) else value for key, value in told.items()}


def _sendable(text: str) -> str:
    """Return a text of others without what UTF-8 cannot carry."""
    return text.encode("utf-8", "backslashreplace").decode()
