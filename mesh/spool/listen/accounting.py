"""RADIUS accounting packets (RFC 2866): checked against the shared secret, and answered."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

__all__ = ["AccountingRequest", "PacketError", "answer", "is_genuine", "read_request"]

ACCOUNTING_REQUEST, ACCOUNTING_RESPONSE = 4, 5
PROXY_STATE, MESSAGE_AUTHENTICATOR = 33, 80

_HEADER_OCTETS = 20
_PACKET_MAX = 4096
_AUTHENTICATOR_OCTETS = 16
_ZEROS = bytes(_AUTHENTICATOR_OCTETS)


class PacketError(ValueError):
    """It is no Accounting-Request that may be answered; the sentence says why."""


@dataclass(frozen=True, slots=True)
class AccountingRequest:
    """An Accounting-Request, as it was sent."""

    identifier: int
    """0 to 255; a retransmission has the same one."""
    authenticator: bytes
    """16 octets, made of everything else and the secret."""
    attributes: tuple[tuple[int, bytes], ...]
    """Type and value of each, in order."""
    octets: bytes
    """The packet, without padding."""


def read_request(octets: bytes) -> AccountingRequest:
    """Return the request that a datagram holds.

    Raises:
        PacketError: It has to be discarded silently (RFC 2865 section 3, RFC 2866 sections 3 and 5).
    """
    if len(octets) < _HEADER_OCTETS:
        raise PacketError(f"it has {len(octets)} octets, fewer than any RADIUS packet")
    code, length = octets[0], int.from_bytes(octets[2:4], "big")
    if code != ACCOUNTING_REQUEST:
        raise PacketError(f"its code is {code}, and not 4 (Accounting-Request)")
    if not _HEADER_OCTETS <= length <= min(len(octets), _PACKET_MAX):
        raise PacketError(f"it says that it has {length} octets, and has {len(octets)}")
    octets = octets[:length]  # the rest is padding (RFC 2865 section 3)
    attributes = []
    at = _HEADER_OCTETS
    while at < length:
        size = octets[at + 1] if at + 1 < length else 0
        if size < 2 or at + size > length:
            raise PacketError(f"the length of its attribute {octets[at]} is wrong")
        attributes.append((octets[at], octets[at + 2 : at + size]))
        at += size
    return AccountingRequest(octets[1], octets[4:_HEADER_OCTETS], tuple(attributes), octets)


def is_genuine(request: AccountingRequest, secret: bytes) -> bool:
    """Tell whether somebody who knows the secret has made it.

    Its authenticator is checked (RFC 2866 section 3), and its Message-Authenticator if it has one (RFC 3579 section
    3.2): exactly one, taken with an authenticator of zeros, as everybody does in accounting.
    """
    blank = request.octets[:4] + _ZEROS + request.octets[_HEADER_OCTETS:]
    if not hmac.compare_digest(hashlib.md5(blank + secret).digest(), request.authenticator):
        return False
    signatures = [value for kind, value in request.attributes if kind == MESSAGE_AUTHENTICATOR]
    if not signatures:
        return True
    if len(signatures) > 1 or len(signatures[0]) != _AUTHENTICATOR_OCTETS:
        return False
    unsigned = blank[:_HEADER_OCTETS] + b"".join(
        _attribute(kind, _ZEROS if kind == MESSAGE_AUTHENTICATOR else value) for kind, value in request.attributes
    )
    return hmac.compare_digest(hmac.digest(secret, unsigned, "md5"), signatures[0])


def answer(request: AccountingRequest, secret: bytes) -> bytes:
    """Return the Accounting-Response: each Proxy-State as it came, in order (RFC 2865 section 5.33).

    It has a Message-Authenticator if the request had one.
    """
    signed = any(kind == MESSAGE_AUTHENTICATOR for kind, _ in request.attributes)
    states = b"".join(_attribute(kind, value) for kind, value in request.attributes if kind == PROXY_STATE)
    length = _HEADER_OCTETS + len(states) + (2 + _AUTHENTICATOR_OCTETS if signed else 0)
    head = bytes((ACCOUNTING_RESPONSE, request.identifier)) + length.to_bytes(2, "big")
    attributes = states
    if signed:
        signature = hmac.digest(secret, head + _ZEROS + _attribute(MESSAGE_AUTHENTICATOR, _ZEROS) + states, "md5")
        attributes = _attribute(MESSAGE_AUTHENTICATOR, signature) + states
    return head + hashlib.md5(head + request.authenticator + attributes + secret).digest() + attributes


def _attribute(kind: int, value: bytes) -> bytes:
    return bytes((kind, 2 + len(value))) + value
