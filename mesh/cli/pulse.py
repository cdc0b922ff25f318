"""A server that shows whether its serving loop turns, for the watchdog of a service manager."""

from __future__ import annotations

from collections.abc import Callable

from mesh import Server

__all__ = ["PulsingServer"]


class PulsingServer(Server):
    """A server of `mesh serve`."""

    def soon(self, task: Callable[[], None]) -> None:
        """Have the thread that serves calls do something small; where that thread is stuck it is not done."""
        assert self._host is not None, "it was started"
        self._host.soon(task)
