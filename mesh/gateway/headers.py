"""What the headers of a call ask for: a deadline, a key, a trace."""

from __future__ import annotations

import re
from collections.abc import Mapping

from mesh.gateway.problem import Problem

__all__ = ["idempotency_key", "later_s", "text_of", "timeout_s", "trace"]

TIMEOUT_S_MIN = 0.001
"""Shortest deadline that a caller may give: within less, nobody answers."""

_SECONDS = re.compile(r"\d{1,9}(?:\.\d{1,32})?(?:[eE][+-]?\d{1,3})?", re.ASCII)
_GRPC = re.compile(r"(\d{1,8})([HMSmun])", re.ASCII)
"""Timeout of gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md): at most 8 digits and a unit."""
_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_QUOTED = re.compile(r'"((?:[\x20\x21\x23-\x5b\x5d-\x7e]|\\["\\])*)"')
"""A string of structured fields (RFC 9651 section 3.3.3)."""
_PREFERENCE = re.compile(r"""(?:^|[,;\s])(respond-async|wait)\s*(?:=\s*"?(\d{1,9})"?)?\s*(?=$|[,;])""", re.ASCII)
"""RFC 7240 section 2; what else may be preferred has no meaning here."""
_WAIT_S_MAX = 60.0
_TRACE = (b"traceparent", b"tracestate", b"baggage")
"""W3C Trace Context and Baggage."""


def text_of(value: bytes) -> str:
    """Return the value of a header as text; HTTP gives octets beyond ASCII no meaning (RFC 9110 section 5.5)."""
    return value.decode("latin-1").strip()


def timeout_s(headers: Mapping[bytes, bytes], longest_s: float) -> float | None:
    """Return the seconds that the call may take; None: the caller does not say.

    Args:
        headers: Of the request: `Request-Timeout` in seconds, or `Grpc-Timeout` as gRPC writes it.
        longest_s: What nobody may exceed.

    Raises:
        Problem: It is no duration, or too long.
    """
    if (given := headers.get(b"request-timeout")) is not None:
        text = text_of(given)
        seconds = float(text) if _SECONDS.fullmatch(text) else 0.0
        name, remedy = "Request-Timeout", "2.5"
    elif (given := headers.get(b"grpc-timeout")) is not None:
        text = text_of(given)
        found = _GRPC.fullmatch(text)
        seconds = int(found[1]) * _UNIT_S[found[2]] if found else 0.0
        name, remedy = "Grpc-Timeout", "2500m"
    else:
        return None
    if not TIMEOUT_S_MIN <= seconds <= longest_s:
        raise Problem(
            400,
            f"{name}: {text!r}: give {TIMEOUT_S_MIN:g} to {longest_s:g} seconds, as in {remedy}",
            "INVALID_ARGUMENT",
        )
    return seconds


def idempotency_key(headers: Mapping[bytes, bytes], octets_max: int) -> str | None:
    """Return the key under which the call runs once per server; None: the caller gives none.

    It is a string in quotes (draft-ietf-httpapi-idempotency-key-header), or the same without them.

    Raises:
        Problem: It is empty, too long or no text.
    """
    given = headers.get(b"idempotency-key")
    if given is None:
        return None
    text = text_of(given)
    found = _QUOTED.fullmatch(text)
    key = re.sub(r"\\(.)", r"\1", found[1]) if found else text
    if not 0 < len(key) <= octets_max or not key.isascii() or not key.isprintable() or ('"' in key and not found):
        raise Problem(
            400,
            f"Idempotency-Key: {text[:100]!r}: give 1 to {octets_max} printable ASCII characters, in quotes or without",
            "INVALID_ARGUMENT",
        )
    return key


def later_s(headers: Mapping[bytes, bytes]) -> float | None:
    """Return for how many seconds a caller waits who takes the answer later as well; None: the caller does not.

    `Prefer: respond-async, wait=10` (RFC 7240 sections 4.1 and 4.3).
    """
    given = headers.get(b"prefer")
    if given is None:
        return None
    wanted = dict(_PREFERENCE.findall(text_of(given).lower()))
    return min(float(wanted.get("wait") or 0), _WAIT_S_MAX) if "respond-async" in wanted else None


def trace(headers: Mapping[bytes, bytes]) -> dict[str, str] | None:
    """Return what travels with the call, so that traces go on beyond the gateway; None if there is nothing."""
    if _TRACE[0] not in headers:
        return None
    return {name.decode(): text_of(headers[name]) for name in _TRACE if name in headers}
