"""The one table between how a call ended and the status of the HTTP response.

The statuses of a method are gRPC's, and so is their mapping (grpc/doc/http-grpc-status-mapping.md is the way back;
google/rpc/code.proto has this one). How a call failed on its way is put into the same words, but for two cases that
HTTP has a better word for: who was asked gave no answer that could be passed on.
"""

from __future__ import annotations

from mesh import (
    CallTimeout,
    ClosedError,
    LocalProtocolError,
    MeshError,
    NoServer,
    OutcomeUnknown,
    Overloaded,
    RemoteError,
    RemoteProtocolError,
    Status,
)

__all__ = ["BAD_GATEWAY", "HTTP_STATUS", "RETRIED", "http_status", "status_word"]

BAD_GATEWAY = 502
"""Who was asked gave no answer that could be passed on (RFC 9110 section 15.6.3)."""
HTTP_STATUS = {
    Status.OK: 200,
    Status.CANCELLED: 499,  # Client Closed Request: of nginx, not of the RFC
    Status.UNKNOWN: 500,
    Status.INVALID_ARGUMENT: 400,
    Status.DEADLINE_EXCEEDED: 504,
    Status.NOT_FOUND: 404,
    Status.ALREADY_EXISTS: 409,
    Status.PERMISSION_DENIED: 403,
    Status.RESOURCE_EXHAUSTED: 429,
    Status.FAILED_PRECONDITION: 400,
    Status.ABORTED: 409,
    Status.OUT_OF_RANGE: 400,
    Status.UNIMPLEMENTED: 501,
    Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
    Status.DATA_LOSS: 500,
    Status.UNAUTHENTICATED: 401,
}
RETRIED = (429, 503)
"""Those that tell a caller when to come again (RFC 6585 section 4, RFC 9110 section 15.6.4)."""

_WORDS: tuple[tuple[type[MeshError], str, int], ...] = (
    (NoServer, Status.UNAVAILABLE.name, HTTP_STATUS[Status.UNAVAILABLE]),
    (CallTimeout, Status.DEADLINE_EXCEEDED.name, HTTP_STATUS[Status.DEADLINE_EXCEEDED]),
    (Overloaded, Status.RESOURCE_EXHAUSTED.name, HTTP_STATUS[Status.RESOURCE_EXHAUSTED]),
    (OutcomeUnknown, "OUTCOME_UNKNOWN", BAD_GATEWAY),
    (RemoteProtocolError, "UNREADABLE_ANSWER", BAD_GATEWAY),
    (LocalProtocolError, Status.INVALID_ARGUMENT.name, HTTP_STATUS[Status.INVALID_ARGUMENT]),
    (ClosedError, Status.UNAVAILABLE.name, HTTP_STATUS[Status.UNAVAILABLE]),
)
_OTHERS = (Status.INTERNAL.name, HTTP_STATUS[Status.INTERNAL])


def http_status(error: MeshError) -> int:
    """Return the status of the response to a call that ended with this error."""
    if isinstance(error, RemoteError):
        return HTTP_STATUS[error.code]
    return next((status for kind, _, status in _WORDS if isinstance(error, kind)), _OTHERS[1])


def status_word(error: MeshError) -> str:
    """Return how it ended in one word: the name of a gRPC status, or what HTTP has a better word for."""
    if isinstance(error, RemoteError):
        return error.code.name
    return next((word for kind, word, _ in _WORDS if isinstance(error, kind)), _OTHERS[0])
