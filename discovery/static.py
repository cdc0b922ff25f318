"""Peers from a fixed list: the command line, an environment variable, a file.

An endpoint is ``tcp://HOST:PORT`` or ``HOST:PORT``, with attributes after a question mark if its server
cannot say them itself: ``tcp://10.0.0.7:5555?proto=flp&service=echo&service=time&name=old-server``. Values
are percent-encoded (a key in Z85 may hold ``&``, ``%`` and ``#``); ``+`` is a plus.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from .base import Browser, OnChange
from .model import Address, DiscoveryError, DiscoveryValueError, Peer, PeerAdded, clean_name

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["StaticBrowser", "parse_servers", "read_servers", "static_peers"]

_SCHEME: Final = "tcp://"
_REMEDY: Final = "write tcp://HOST:PORT, if need be with ?service=NAME&proto=flp"


def static_peers(endpoints: Iterable[str]) -> list[Peer]:
    """Make one peer of each endpoint, in order; an endpoint that is named twice gives one peer.

    Attributes: ``service`` (once or more), ``name`` (shown; the endpoint by default), any other is a
    property. The id is ``static:HOST:PORT``, for nobody knows the real one yet. Raises DiscoveryValueError.
    """
    peers = {peer.peer_id: peer for peer in map(_static_peer, endpoints)}
    return list(peers.values())


def parse_servers(text: str) -> list[Peer]:
    """Read endpoints separated by commas or white space, as an environment variable has them."""
    return static_peers(text.replace(",", " ").split())


def read_servers(path: str | Path) -> list[Peer]:
    """Read a file of endpoints, one a line; ``#`` at the start or after a space begins a comment.

    Raises DiscoveryError if the file cannot be read, DiscoveryValueError for a line that cannot be used.
    """
    try:
        with open(path, encoding="utf-8") as file:
            lines = file.read().splitlines()
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
        raise DiscoveryError(str(path), problem, "name a text file with one tcp://HOST:PORT a line") from error
    except UnicodeDecodeError as error:
        raise DiscoveryError(str(path), "is not UTF-8 text", "save it as UTF-8") from error
    endpoints = (f" {line}".partition(" #")[0].strip() for line in lines)
    return static_peers(endpoint for endpoint in endpoints if endpoint)


class StaticBrowser(Browser):
    """Reports a fixed list once, at `start`, in the caller's thread: static peers never leave."""

    def __init__(self, peers: Sequence[Peer]) -> None:
        self._peers = tuple(peers)

    def start(self, on_change: OnChange) -> None:
        """Report every peer as added."""
        for peer in self._peers:
            on_change(PeerAdded(peer))

    def stop(self) -> None:
        """Do nothing: there is nothing under way."""


def _static_peer(endpoint: str) -> Peer:
    location, _, query = endpoint.partition("?")
    location = location.removeprefix(_SCHEME).rstrip("/")
    if "://" in location:
        raise DiscoveryValueError(endpoint, "has a scheme other than tcp", _REMEDY)
    try:
        address = Address.parse(location)
        attributes = [_attribute(part, endpoint) for part in query.split("&") if part]
        services = tuple(value for key, value in attributes if key == "service")
        properties = {key: value for key, value in attributes if key not in ("service", "name")}
        name = dict(attributes).get("name") or clean_name(str(address))
        return Peer(f"static:{address}", name, services, (address,), properties, ("static",))
    except DiscoveryValueError as error:
        if error.subject in (location, endpoint):
            raise DiscoveryValueError(endpoint, error.problem, _REMEDY) from None
        problem = f"cannot be used because {error.subject!r} {error.problem}"
        raise DiscoveryValueError(endpoint, problem, error.remedy) from None


def _attribute(part: str, endpoint: str) -> tuple[str, str]:
    from urllib.parse import unquote  # here, for hardly any endpoint has attributes, and programs start sooner

    key, equals, value = part.partition("=")
    try:
        if equals:
            return unquote(key, errors="strict"), unquote(value, errors="strict")
    except UnicodeDecodeError:
        pass
    raise DiscoveryValueError(endpoint, f"has the attribute {part!r} that cannot be read", _REMEDY)
