"""How a peer is written into DNS-SD and read back: the TXT record and the instance label.

Pure. Writing is strict and raises; reading is for foreign packets: it cuts, ignores, counts, and never
raises. The TXT record is RFC 6763 section 6: length-prefixed ``key=value`` strings, ``txtvers`` first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from .model import (
    NAME_OCTETS_MAX,
    TXT_STRING_OCTETS_MAX,
    DiscoveryValueError,
    Peer,
    clean_name,
    cut,
    id_problem,
    is_service,
)

__all__ = [
    "TXT_OCTETS_MAX",
    "Txt",
    "decode_txt",
    "digest",
    "encode_txt",
    "label_of",
    "name_of",
]

TXT_OCTETS_MAX: Final = 400
"""Longest TXT record we write; RFC 6763 section 6.2 asks for 200 and calls 400 acceptable."""
_READ_OCTETS_MAX: Final = 1300
"""What is read of a foreign TXT record: longer ones do not fit one Ethernet frame (RFC 6763 section 6.2)."""
_KEY_CHARACTERS_MAX: Final = 9
"""Longest key we write (RFC 6763 section 6.4)."""
_STATIC_PREFIX: Final = "static:"
_DOT_LEADER: Final = "\N{ONE DOT LEADER}"


@dataclass(frozen=True, slots=True)
class Txt:
    """What a TXT record says."""

    peer_id: str
    """The peer's id, or an empty string if the record has none that can be used."""
    services: tuple[str, ...]
    """The services that can be used, each once."""
    properties: dict[str, str]
    """Everything else, keys in lower case; a key without ``=`` has an empty value."""
    faults: int
    """Strings that were ignored or cut because they break a rule."""


def encode_txt(peer: Peer) -> bytes:
    """Write the TXT record of our own peer. Raises DiscoveryValueError if it does not fit.

    The order is ``txtvers``, ``proto``, ``id``, ``svc`` and then the other properties as they come: what
    readers that cut a record need most stands first.
    """
    properties = dict(peer.properties)
    pairs = [("txtvers", "1")]
    if "proto" in properties:
        pairs.append(("proto", properties.pop("proto")))
    pairs.append(("id", peer.peer_id))
    if peer.services:
        pairs.append(("svc", ",".join(peer.services)))
    record = bytearray()
    for key, value in (*pairs, *properties.items()):
        if len(key) > _KEY_CHARACTERS_MAX:
            remedy = f"use a key of at most {_KEY_CHARACTERS_MAX} characters"
            raise DiscoveryValueError(key, "is too long for the key of an advertised property", remedy)
        string = f"{key}={value}".encode()
        if len(string) > TXT_STRING_OCTETS_MAX:
            remedy = f"shorten it to {TXT_STRING_OCTETS_MAX}"
            raise DiscoveryValueError(string.decode(), f"has {len(string)} octets in the TXT record", remedy)
        record.append(len(string))
        record += string
    if len(record) > TXT_OCTETS_MAX:
        remedy = f"shorten its services and properties to {TXT_OCTETS_MAX} octets together"
        raise DiscoveryValueError(peer.name, f"has a TXT record of {len(record)} octets", remedy)
    return bytes(record)


def decode_txt(record: bytes) -> Txt:
    """Read anybody's TXT record; never raises.

    The first occurrence of a key counts, keys are compared without case, a string without a key is skipped
    (RFC 6763 section 6.4), and so is what is not UTF-8.
    """
    faults = 0
    found: dict[str, str] = {}
    if len(record) > _READ_OCTETS_MAX:
        faults += 1
        record = record[:_READ_OCTETS_MAX]
    position = 0
    while position < len(record):
        end = position + 1 + record[position]
        string = record[position + 1 : end]
        position = end
        if not string:
            continue  # the one empty string of an empty record (RFC 6763 section 6.1)
        raw_key, _, raw_value = string.partition(b"=")
        try:
            key, value = raw_key.decode("ascii").lower(), raw_value.decode()
        except UnicodeDecodeError:
            faults += 1
            continue
        if end > len(record) or not key or not key.isprintable():
            faults += 1
            continue
        found.setdefault(key, value)
    found.pop("txtvers", None)
    peer_id = found.pop("id", "")
    # Only the user's own list may say "static"; nobody on the network gets to speak for it.
    if peer_id and (id_problem(peer_id) or peer_id.startswith(_STATIC_PREFIX)):
        faults += 1
        peer_id = ""
    named = [name for name in found.pop("svc", "").split(",") if name]
    services = tuple(dict.fromkeys(name for name in named if is_service(name)))
    return Txt(peer_id, services, found, faults + sum(not is_service(name) for name in named))


def digest(peer_id: str) -> str:
    """Ten hexadecimal digits that stand for a peer id where there is no room for the whole."""
    return hashlib.blake2s(peer_id.encode(), digest_size=5).hexdigest()


def label_of(name: str, peer_id: str) -> str:
    """Make the instance label: the human name, cut if need be, and a digest of the id, which makes it unique.

    A dot becomes a one dot leader: python-zeroconf writes every dot as the end of a label.
    """
    suffix = " " + digest(peer_id)
    return cut(name.replace(".", _DOT_LEADER), NAME_OCTETS_MAX - len(suffix)) + suffix


def name_of(label: str, peer_id: str) -> str:
    """Read the human name from an instance label: what `label_of` added is taken off, others stay."""
    suffix = " " + digest(peer_id)
    if not label.endswith(suffix):
        return clean_name(label)
    return clean_name(label.removesuffix(suffix).replace(_DOT_LEADER, "."))
