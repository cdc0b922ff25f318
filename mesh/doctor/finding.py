"""One finding: what is wrong, and what to do about it. Pure."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Finding", "Level", "listed", "plain_hosts"]

_NEAR = ("fe80:", "127.", "::1")


class Level(enum.IntEnum):
    """How bad it is; the worst is the smallest."""

    PROBLEM = 0
    """Something that is wanted does not work."""
    WARNING = 1
    """It works, and something is not as it should be."""
    NOTE = 2
    """Good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found."""

    level: Level
    code: str
    """For programs; stays the same when the sentence changes."""
    subject: str
    """Interface, server, realm or host that it is about."""
    text: str
    """What is so, in one sentence without its period."""
    remedy: str = ""
    """What to do about it, in one sentence without its period; empty where there is nothing to be done."""


def plain_hosts(hosts: Iterable[str]) -> list[str]:
    """Return hosts once each, in order of their addresses, and those that mean little elsewhere only if alone."""
    ordered = sorted(dict.fromkeys(hosts), key=lambda host: (":" in host, len(host), host))
    return [host for host in ordered if not host.startswith(_NEAR)] or ordered


def listed(words: list[str] | tuple[str, ...], most: int = 6) -> str:
    """Return words as people list them: `a, b and c`."""
    if len(words) > most:
        return f"{', '.join(words[:most])} and {len(words) - most} more"
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))
