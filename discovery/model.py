"""The values of discovery: addresses, peers, what changed about them, and the one error.

Pure: no clock, no socket, no name resolution. What is built here has been checked once and never changes.
Limits come from DNS (RFC 1035), from DNS-SD (RFC 6763) and from the SRV record (RFC 2782).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Final, TypeAlias

__all__ = [
    "HOST_OCTETS_MAX",
    "NAME_OCTETS_MAX",
    "PEER_ID_OCTETS_MAX",
    "SERVICE_OCTETS_MAX",
    "TXT_STRING_OCTETS_MAX",
    "Address",
    "Change",
    "DiscoveryError",
    "DiscoveryValueError",
    "Peer",
    "PeerAdded",
    "PeerRemoved",
    "PeerUpdated",
    "clean_name",
    "cut",
    "id_problem",
    "is_service",
    "name_problem",
]

HOST_OCTETS_MAX: Final = 253
"""Longest host name, in octets (RFC 1035 section 2.3.4)."""
NAME_OCTETS_MAX: Final = 63
"""Longest instance label, in octets of UTF-8 (RFC 6763 section 4.1.1)."""
SERVICE_OCTETS_MAX: Final = 62
"""Longest service name: with an underscore before it, it is a subtype label (RFC 6763 section 7.1)."""
PEER_ID_OCTETS_MAX: Final = len("static:") + HOST_OCTETS_MAX + len(":65535")
"""Longest peer id, in octets: room for the id of a static peer that is known by its host name only."""
TXT_STRING_OCTETS_MAX: Final = 255
"""Longest ``key=value``, in octets: its length travels in one octet (RFC 6763 section 6.1)."""

_SERVICE: Final = re.compile(rf"[A-Za-z0-9_-]{{1,{SERVICE_OCTETS_MAX}}}")
_PROPERTY_KEY: Final = re.compile(r"[\x20-\x3c\x3e-\x7e]+")
_RESERVED_KEYS: Final = frozenset({"txtvers", "id", "svc"})


class DiscoveryError(Exception):
    """Root of everything this package raises on purpose: what is wrong with which subject, and the remedy."""

    def __init__(self, subject: str, problem: str, remedy: str) -> None:
        super().__init__(subject, problem, remedy)
        self.subject = subject
        """What the error is about, as it was given."""
        self.problem = problem
        """What is wrong with it, a predicate: ``has no port``."""
        self.remedy = remedy
        """What to do about it, an imperative: ``write HOST:PORT``."""

    def __str__(self) -> str:
        shown = self.subject if len(self.subject) <= 80 else self.subject[:77] + "..."
        return f"{shown!r} {self.problem}; {self.remedy}."


class DiscoveryValueError(DiscoveryError, ValueError):
    """An address, a name, a property or an option that cannot be used."""


@dataclass(frozen=True, order=True, slots=True)
class Address:
    """Where a peer listens: a host name or a numeric address, and a TCP port.

    The host is kept as it is written (never resolved); an IPv6 address has no brackets and may have a scope
    (``fe80::1%eth0``). The port is 1 to 65535. Raises DiscoveryValueError for anything else.
    """

    host: str
    port: int

    def __post_init__(self) -> None:
        problem = _host_problem(self.host)
        if problem:
            raise DiscoveryValueError(self.host, problem, "give a host name or a numeric address")
        if not 1 <= self.port <= 65535:
            raise DiscoveryValueError(str(self.port), "is not a port", "give a number from 1 to 65535")

    @classmethod
    def parse(cls, text: str) -> Address:
        """Read ``HOST:PORT``; an IPv6 address stands in brackets: ``[::1]:5555``.

        Raises DiscoveryValueError.
        """
        host, colon, port = text.rpartition(":")
        remedy = "write HOST:PORT, for example 10.0.0.7:5555 or [::1]:5555"
        if not colon or host.endswith(":"):
            raise DiscoveryValueError(text, "has no port", remedy)
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        elif ":" in host:
            raise DiscoveryValueError(text, "is an IPv6 address without brackets or port", remedy)
        if not (port.isascii() and port.isdigit() and len(port) <= 5 and 1 <= int(port) <= 65535):
            raise DiscoveryValueError(text, "does not end in a port from 1 to 65535", remedy)
        problem = _host_problem(host)
        if problem:
            raise DiscoveryValueError(text, f"names a host that {problem}", remedy)
        return cls(host, int(port))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Peer:
    """Somebody who offers services at some addresses: a whole, unmodifiable value.

    Equality compares everything; identity across sightings is ``peer_id`` alone.
    Raises DiscoveryValueError if a part breaks its rule, so a Peer that exists can be advertised or shown.
    """

    peer_id: str
    """Identity, new at each start of the peer; printable, 1 to 266 octets."""
    name: str
    """Human name; printable, 1 to 63 octets of UTF-8. Not unique."""
    services: tuple[str, ...] = ()
    """What it offers: names of letters, digits, ``_`` and ``-``, 1 to 62 of them."""
    addresses: tuple[Address, ...] = ()
    """Where it listens, best first."""
    properties: Mapping[str, str] = field(default_factory=dict, hash=False)
    """Everything else it says (``proto``, ``ver``, ``realm``, ``pk``); keys in lower case. Read-only."""
    sources: tuple[str, ...] = ()
    """How it became known: any of ``mdns``, ``static``, ``memory``."""
    priority: int = 0
    """Lower is preferred: 0 primary, more is backup; 0 to 65535 (RFC 2782)."""
    weight: int = 0
    """Share among peers of the same priority; 0 to 65535 (RFC 2782)."""

    def __post_init__(self) -> None:
        problem = id_problem(self.peer_id)
        if problem:
            raise DiscoveryValueError(self.peer_id, problem, "give a short printable peer id")
        problem = name_problem(self.name)
        if problem:
            raise DiscoveryValueError(self.name, problem, "give a short printable name")
        for service in self.services:
            if not is_service(service):
                remedy = f"use 1 to {SERVICE_OCTETS_MAX} letters, digits, '_' or '-'"
                raise DiscoveryValueError(service, "cannot be the name of a service", remedy)
        for number in (self.priority, self.weight):
            if not 0 <= number <= 65535:
                raise DiscoveryValueError(str(number), "is no priority or weight", "give a number from 0 to 65535")
        properties: dict[str, str] = {}
        for key, value in self.properties.items():
            _check_property(key, value)
            properties.setdefault(key.lower(), value)
        object.__setattr__(self, "properties", MappingProxyType(properties))

    def __reduce__(self) -> tuple[type[Peer], tuple[Any, ...]]:
        # A mapping proxy can be neither copied nor sent to another process; the dictionary behind it can.
        return Peer, (
            self.peer_id,
            self.name,
            self.services,
            self.addresses,
            dict(self.properties),
            self.sources,
            self.priority,
            self.weight,
        )


@dataclass(frozen=True, slots=True)
class PeerAdded:
    """A peer became known."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerUpdated:
    """Something about a known peer changed, or it was heard of again; the peer is the new state."""

    peer: Peer


@dataclass(frozen=True, slots=True)
class PeerRemoved:
    """A peer said goodbye or was forgotten; the peer is its last state."""

    peer: Peer


Change: TypeAlias = PeerAdded | PeerUpdated | PeerRemoved


def id_problem(peer_id: str) -> str:
    """Say why a text cannot be a peer id, or return an empty string."""
    return _text_problem(peer_id, PEER_ID_OCTETS_MAX)


def name_problem(name: str) -> str:
    """Say why a text cannot be an instance label (RFC 6763 section 4.1.1), or return an empty string."""
    return _text_problem(name, NAME_OCTETS_MAX)


def clean_name(label: str) -> str:
    """Make any text a name: what cannot be printed becomes ``?``, and the length is cut."""
    return cut("".join(character if character.isprintable() else "?" for character in label), NAME_OCTETS_MAX) or "?"


def cut(text: str, octets_max: int) -> str:
    """Shorten a text to a number of octets of UTF-8, at a character's end."""
    return text.encode()[:octets_max].decode(errors="ignore")


def is_service(name: str) -> bool:
    """Tell whether a text can be the name of a service."""
    return _SERVICE.fullmatch(name) is not None


def _text_problem(text: str, octets_max: int) -> str:
    if not text:
        return "is empty"
    if not text.isprintable():
        return "has characters that cannot be printed"
    octets = len(text.encode())
    return f"has {octets} octets, at most {octets_max} fit" if octets > octets_max else ""


def _host_problem(host: str) -> str:
    if not host:
        return "is empty"
    if ":" in host:
        try:
            ipaddress.IPv6Address(host)
        except ValueError:
            return "is not an IPv6 address"
    if not host.isprintable() or any(mark in host for mark in " []/?#@,"):
        return "has characters that no host has"
    if len(host.encode()) > HOST_OCTETS_MAX:
        return f"has more than {HOST_OCTETS_MAX} octets"
    return ""


def _check_property(key: str, value: str) -> None:
    if not _PROPERTY_KEY.fullmatch(key):
        raise DiscoveryValueError(key, "cannot be the key of a property", "use printable ASCII without '='")
    if key.lower() in _RESERVED_KEYS:
        raise DiscoveryValueError(key, "is written by discovery itself", "choose another key")
    try:
        octets = len(key) + 1 + len(value.encode())
    except UnicodeEncodeError:
        raise DiscoveryValueError(key, "has a value that is not Unicode text", "use text") from None
    if octets > TXT_STRING_OCTETS_MAX:
        remedy = f"shorten it to {TXT_STRING_OCTETS_MAX}, key and '=' included"
        raise DiscoveryValueError(key, f"and its value have {octets} octets", remedy)
