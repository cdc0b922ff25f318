"""RADIUS packets, made by another implementation than the one under test."""

from __future__ import annotations

from typing import Any

from pyrad.dictionary import Dictionary  # type: ignore[import-untyped]
from pyrad.packet import AcctPacket  # type: ignore[import-untyped]

from mesh.spool.listen import attributes

__all__ = ["SECRET", "request"]

SECRET = b"testing123"
_DICTIONARY = Dictionary(str(attributes.__file__).replace("attributes.py", "dictionary.radius"))


def request(identifier: int = 1, secret: bytes = SECRET, signed: bool = False, **values: Any) -> AcctPacket:
    """Return an Accounting-Request of pyrad's; `RequestPacket` gives its octets."""
    packet = AcctPacket(id=identifier, secret=secret, dict=_DICTIONARY, **values)
    if signed:
        packet.add_message_authenticator()
    return packet
