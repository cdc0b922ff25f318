"""What a method answers, as the body of a response."""

from __future__ import annotations

from typing import Any, Protocol

import msgspec

from mesh.gateway.multipart import join_frames
from mesh.gateway.problem import Problem
from mesh.gateway.statuses import BAD_GATEWAY

__all__ = ["COMMON", "Answer", "answer_of"]

COMMON = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
"""An answer is of its moment, and nothing for a browser to guess a type of."""
_JSON = b"application/json"
_OCTETS = b"application/octet-stream"
_encode = msgspec.json.Encoder().encode


class Answer(Protocol):
    """What a call was answered with, now or once."""

    @property
    def frames(self) -> list[bytes]:
        """Every frame."""

    @property
    def value(self) -> Any:
        """The result of a typed method. Raises RemoteProtocolError: it cannot be read."""


def answer_of(answer: Answer, method: str, *, raw: bool) -> tuple[bytes, bytes]:
    """Return type and body of the response. Raises Problem and RemoteProtocolError: there is no JSON for it."""
    if not raw:
        try:
            return _JSON, _encode(answer.value)
        except (TypeError, ValueError, RecursionError) as error:
            text = f"the answer of {method} cannot be written as JSON ({error}); call it from a mesh client"
            raise Problem(BAD_GATEWAY, text, "UNREADABLE_ANSWER") from None
    frames = answer.frames
    if len(frames) > 1:
        kind, body = join_frames(frames)
        return kind.encode(), body
    return _OCTETS, frames[0] if frames else b""
