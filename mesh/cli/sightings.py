"""Waiting until what discovery and the first PINGs say about servers has settled, and what changed since."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mesh import Client, ServerView

__all__ = ["POLL_S", "changes", "settled"]

POLL_S = 0.02
_QUIET_S = 0.5
"""An mDNS question may wait 120 ms (RFC 6762 section 5.2), and so may its answer (section 6)."""
_QUIET_NAMED_S = 0.1
_WAIT_MAX_S = 3.0
_DIALLING = ("connecting", "proving")


def settled(client: Client, wait_s: float | None, discovers: bool) -> list[ServerView]:
    """Return the servers that are seen.

    Args:
        client: Sees them.
        wait_s: After so many seconds. None: when nothing changed for half a second, or after three.
        discovers: Whether others may appear. If not, a tenth of a second does, and no dial under way.
    """
    began = changed = time.monotonic()
    servers: list[ServerView] = []
    while True:
        now = time.monotonic()
        before, servers = servers, sorted(client.servers(), key=lambda server: (server.name, server.peer_id))
        if changes(before, servers):
            changed = now
        dialling = not discovers and any(server.state in _DIALLING for server in servers)
        quiet_s = _QUIET_S if discovers or dialling else _QUIET_NAMED_S
        if now - began >= (wait_s if wait_s is not None else min(changed - began + quiet_s, _WAIT_MAX_S)):
            return servers
        time.sleep(POLL_S)


def changes(before: Sequence[ServerView], after: Sequence[ServerView]) -> list[tuple[str, ServerView]]:
    """Return what changed: `+` for a server that came, `=` for one that is not what it was, `-` for one that left.

    A server whose id was learnt only when it answered is still the one that was advertised at its address.
    """
    old = {server.peer_id: server for server in before}
    renamed = {server.address: server for server in before if server.address}
    found = []
    for server in after:
        known = old.pop(server.peer_id, None)
        if known is None and (known := renamed.get(server.address)) is not None:
            known = old.pop(known.peer_id, None)
        if known is None:
            found.append(("+", server))
        elif _story(known) != _story(server):
            found.append(("=", server))
    return [*(("-", server) for server in old.values()), *found]


def _story(server: ServerView) -> tuple[object, ...]:
    """Return what makes a server another one for people; figures change all the time."""
    return (server.name, server.state, server.services, server.address, server.sources, server.version, server.note)
