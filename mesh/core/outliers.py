"""Outlier ejection: a server whose answers are failures while others succeed gets no calls for a while.

A server that fails fast is the worst of neighbours: it looks idle, so it draws calls. But failing answers may also be
the caller's fault, and then every server gives them. So a server is compared with others that have answered, and left
aside only if they do clearly better; at most a share of a service's servers at a time, never the last one. It comes
back after a while that doubles each time it fails again soon (Envoy's outlier detection). While it is left aside it is
a second choice: when nobody better has room, it is asked all the same, for giving up is the last resort (panic mode).
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from mesh.core.routing import READY
from mesh.errors import Status

if TYPE_CHECKING:
    from mesh.config import ClientConfig
    from mesh.core.peers import Server
    from mesh.core.routing import Pools

__all__ = ["FAULTS", "Outliers"]

FAULTS = frozenset(
    {
        Status.UNKNOWN,
        Status.DEADLINE_EXCEEDED,
        Status.UNIMPLEMENTED,
        Status.INTERNAL,
        Status.UNAVAILABLE,
        Status.DATA_LOSS,
    }
)
"""Statuses that may speak against the server; the others speak of the request."""

_FAILING = 0.6
"""Failing share of an outlier; five failures in a row reach it."""
_HEALTHY = 0.3
"""Mean failing share that the others must not exceed."""
_READMITTED = 0.4
"""Failing share that a server comes back with: two more failures eject it again."""
_COMPARED = 4
"""Others that a server is compared with, drawn at random: a look at all of them would not be O(1)."""
_FORGIVEN = 10.0
"""A server that does well for so many times its last ejection begins anew with the shortest."""


class Outliers:
    """Who is left aside for its failures, and for how long."""

    def __init__(self, config: ClientConfig, rng: random.Random, pools: Pools) -> None:
        self._base_s = config.eject_s
        self._max_s = config.eject_max_s
        self._share_max = config.eject_share_max
        self._rng = rng
        self._pools = pools
        self.ejections: int = 0
        """How often a server was left aside."""

    def failed(self, server: Server, service: str, now: float) -> bool:
        """Count a failing answer to a call of `service`; return whether the server is left aside from now on.

        Then `server.ejected_until` says for how long; whoever is told puts it into another pool.
        """
        server.fails()
        if server.failing < _FAILING or server.pool != READY or self._base_s <= 0:
            return False
        ready = self._pools.ready.get(service)
        if ready is None or len(ready) < 2 or not self._may_spare(len(ready), service):
            return False
        if not self._is_outlier(server, ready.servers):
            return False
        if now - server.readmitted_at > _FORGIVEN * server.ejected_s:
            server.ejected_s = 0.0
        server.ejected_s = min(max(self._base_s, server.ejected_s * 2.0), self._max_s)
        server.ejected_until = now + server.ejected_s
        self.ejections += 1
        return True

    def readmit(self, server: Server, now: float) -> None:
        """Its time is over: it may prove itself."""
        server.ejected_until = 0.0
        server.readmitted_at = now
        server.failing = _READMITTED

    def _may_spare(self, ready: int, service: str) -> bool:
        second = self._pools.second.get(service)
        aside = len(second) if second is not None else 0
        return aside + 1 <= (ready + aside) * self._share_max

    def _is_outlier(self, server: Server, servers: list[Server]) -> bool:
        drawn = self._rng.sample(servers, min(len(servers), _COMPARED + 1))
        others = [other.failing for other in drawn if other is not server and other.answered]
        return bool(others) and sum(others) / len(others) <= _HEALTHY
