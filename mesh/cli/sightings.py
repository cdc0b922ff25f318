"""Waiting until what discovery and the first PINGs say about servers has settled, and what changed since."""

from __future__ import annotations

import time
from collections.abc import Sequence

from mesh import Client, ServerView

__all__ = ["POLL_S", "changes", "settled"]

POLL_S = 0.02
_QUIET_S = 0.5
"""An mDNS question may wait 120 ms (RFC 6762 section 5.2), and so may its answer (section 6)."""
_WAIT_MAX_S = 3.0


def settled(client: Client, wait_s: float | None) -> list[ServerView]:
    """Return the servers after `wait_s` seconds; None: when nothing changed for half a second, or after three."""
    began = changed = time.monotonic()
    servers: list[ServerView] = []
    while True:
        now = time.monotonic()
        before, servers = servers, sorted(client.servers(), key=lambda server: (server.name, server.peer_id))
        if changes(before, servers):
            changed = now
        if now - began >= (wait_s if wait_s is not None else min(changed - began + _QUIET_S, _WAIT_MAX_S)):
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
