"""The body of a record that a listener takes in: one JSON object (RFC 8259).

    kind        "syslog" or "radius"
    transport   "udp" or "tcp"
    peer        address and port of the sender, as in 192.0.2.7:514
    at          when it came, Unix seconds
    raw         what came, without the framing of the transport, if that is UTF-8
    raw_base64  the same in base64 (RFC 4648 section 4) where it is not
    whole       false where it was cut: it was too long, or its connection ended within it; absent otherwise
    fields      what was read of it, by name; of a name that came several times the values are a list

JSON, so that any database and any person can read it: in SQLite, json_extract(CAST(body AS TEXT), '$.fields.hostname').
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

__all__ = ["add_value", "encode_entry", "peer_in", "place", "raw_of"]

_encode = msgspec.json.Encoder().encode


def encode_entry(
    kind: str,
    transport: str,
    peer: tuple[str, int],
    at: float,
    raw: bytes,
    fields: Mapping[str, Any],
    whole: bool = True,
) -> bytes:
    """Return the body.

    Args:
        kind: `syslog` or `radius`.
        transport: `udp` or `tcp`.
        peer: Address and port of the sender.
        at: When it came, Unix seconds.
        raw: What came.
        fields: What was read of it, in values that JSON has; bytes become base64.
        whole: False if `raw` was cut.
    """
    entry: dict[str, Any] = {"kind": kind, "transport": transport, "peer": place(peer), "at": at}
    try:
        entry["raw"] = raw.decode()
    except UnicodeDecodeError:
        entry["raw_base64"] = base64.b64encode(raw).decode()
    if not whole:
        entry["whole"] = False
    entry["fields"] = fields
    return _encode(entry)


def add_value(values: dict[str, Any], name: str, value: Any) -> None:
    """Add a value that is no list; those of a name that comes again become a list."""
    if name not in values:
        values[name] = value
    elif isinstance(values[name], list):
        values[name].append(value)
    else:
        values[name] = [values[name], value]


def raw_of(body: bytes) -> bytes:
    """Return the octets that came, from the body that `encode_entry` made."""
    entry: dict[str, Any] = msgspec.json.decode(body)
    return entry["raw"].encode() if "raw" in entry else base64.b64decode(entry["raw_base64"])


def peer_in(body: bytes) -> str:
    """Return the sender, from the body that `encode_entry` made."""
    peer: str = msgspec.json.decode(body)["peer"]
    return peer


def place(peer: tuple[str, int]) -> str:
    """Return an address and a port as one text."""
    host, port = peer
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
