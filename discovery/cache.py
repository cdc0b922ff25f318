"""The peers that were seen last, in a file: where a program that begins again may look first.

What is read is a proposal, as everything that discovery says; whoever dials a peer finds out whether it is
there and who it is. So nothing about the file is trusted, and nothing about it is an error: one that is
missing, cannot be read, is broken or belongs to another scope holds no peers, and one that cannot be written
is left as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from .model import Address, Peer

__all__ = ["AGE_S_MAX", "PeerCache", "Sighting"]

AGE_S_MAX: Final = 75 * 60.0
"""How long a peer is remembered after it was seen: as long as its record lives (RFC 6762 section 10), in seconds."""
_FORMAT: Final = 1
_PREFIX: Final = "peers-"
_PEERS_MAX: Final = 64
_PEER_OCTETS_MAX: Final = 4096
"""A peer that takes more, which no advertisement of ours does, is not kept."""
_OCTETS_MAX: Final = (_PEERS_MAX + 1) * _PEER_OCTETS_MAX  # and some room for the scope


@dataclass(frozen=True, slots=True)
class Sighting:
    """A peer, and when it was seen."""

    seen_at: float
    """In seconds since 1970."""
    peer: Peer


class PeerCache:
    """Up to 64 peers of one scope, in a file of its own that only its owner may read.

    Args:
        folder: Where the files of all scopes are; made when a file is written for the first time.
        scope: What the peers have in common, in words that mean something to the caller: a network, a realm.
        clock: Gives seconds since 1970.
    """

    def __init__(self, folder: str, scope: str, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._scope = scope
        self._clock = clock
        self._path = os.path.join(folder, f"{_PREFIX}{zlib.crc32(scope.encode(errors='replace')):08x}.json")

    def read(self) -> list[Sighting]:
        """Return who was seen in the last 75 minutes, the latest first."""
        now = self._clock()
        try:
            content = json.loads(self._octets())
            if (content["format"], content["scope"]) != (_FORMAT, self._scope):
                return []
            sightings = [_decode(entry) for entry in content["peers"][:_PEERS_MAX]]
        except (OSError, ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError):
            return []
        fresh = [each for each in sightings if now - AGE_S_MAX <= each.seen_at <= now]
        return sorted(fresh, key=lambda each: each.seen_at, reverse=True)

    def write(self, seen: Iterable[Peer], before: Iterable[Sighting] = ()) -> None:
        """Replace what is there by those who are seen now, and after them those of `before` for whom there is room."""
        now = self._clock()
        sightings = {peer.peer_id: Sighting(now, peer) for peer in seen}
        for each in before:
            sightings.setdefault(each.peer.peer_id, each)
        entries = [entry for each in sightings.values() if len(json.dumps(entry := _encode(each))) <= _PEER_OCTETS_MAX]
        text = json.dumps({"format": _FORMAT, "scope": self._scope, "peers": entries[:_PEERS_MAX]}) + "\n"
        with contextlib.suppress(OSError):
            os.makedirs(self._folder, 0o700, exist_ok=True)
            self._sweep(now)
            self._replace(text)

    def _octets(self) -> bytes:
        with open(self._path, "rb", opener=_open_at_once) as file:
            return file.read(_OCTETS_MAX)  # a larger one is cut, and so no JSON

    def _replace(self, text: str) -> None:
        """Put the new file in the place of the old one, whole, whoever reads or writes at the same time."""
        fresh = f"{self._path}.{os.getpid()}-{time.monotonic_ns()}"
        try:
            with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
                file.write(text)
            os.replace(fresh, self._path)
        except OSError:
            with contextlib.suppress(OSError):
                os.unlink(fresh)

    def _sweep(self, now: float) -> None:
        """Remove the files of scopes in which nobody was seen for long: every realm that was ever tried has one."""
        with os.scandir(self._folder) as files:
            for file in files:
                if file.name.startswith(_PREFIX) and file.stat(follow_symlinks=False).st_mtime < now - AGE_S_MAX:
                    with contextlib.suppress(OSError):
                        os.unlink(file.path)


def _open_at_once(path: str, flags: int) -> int:
    """Open a file; a pipe in its place, which nobody writes to, keeps nobody waiting."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _encode(sighting: Sighting) -> dict[str, Any]:
    peer = sighting.peer
    return {
        "seen_at": sighting.seen_at,
        "id": peer.peer_id,
        "name": peer.name,
        "services": peer.services,
        "addresses": [str(address) for address in peer.addresses],
        "properties": dict(peer.properties),
        "priority": peer.priority,
        "weight": peer.weight,
    }


def _decode(entry: Any) -> Sighting:
    """Read one entry; raises all kinds of errors for what `_encode` has not written."""
    peer = Peer(
        entry["id"],
        entry["name"],
        tuple(entry["services"]),
        tuple(Address.parse(address) for address in entry["addresses"]),
        entry["properties"],
        (),
        entry["priority"] + 0,
        entry["weight"] + 0,
    )
    return Sighting(entry["seen_at"] + 0.0, peer)
