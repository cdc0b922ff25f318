"""A process: it runs, is stopped and thawed, is killed and started again.

What comes while it is stopped waits in the kernel and is seen on thaw, in the order in which a shell looks: links that
came up, messages, links that went down (what came on them before is read first), timers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mesh.sim.clock import VirtualClock

__all__ = ["DOWN", "MESSAGE", "TIMER", "UP", "Process"]

UP, MESSAGE, DOWN, TIMER = range(4)


class Process:
    """What may be frozen or killed as a whole."""

    def __init__(self, name: str, clock: VirtualClock) -> None:
        self.name = name
        """Also the name of its host: each process has one of its own."""
        self.alive: bool = True
        self.stopped: bool = False
        self._clock = clock
        self._life = 0
        self._kept: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    def at(self, when: float, act: Callable[..., None], *args: Any) -> None:
        """Call `act(*args)` at `when`, if this life of the process lasts so long."""
        self._clock.at(when, self._due, self._life, act, args)

    def after(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        """Call `act(*args)` so many seconds from now."""
        self.at(self._clock.now + delay_s, act, *args)

    def deliver(self, rank: int, act: Callable[..., None], *args: Any) -> None:
        """Call `act(*args)`: now, or on thaw; never if the process is dead."""
        if self.stopped:
            self._kept.append((rank, len(self._kept), act, args))
        elif self.alive:
            act(*args)

    def stop(self) -> None:
        """SIGSTOP."""
        self.stopped = self.alive

    def thaw(self) -> None:
        """SIGCONT."""
        self.stopped = False
        kept, self._kept = sorted(self._kept, key=lambda entry: entry[:2]), []
        for _, _, act, args in kept:
            act(*args)

    def kill(self) -> None:
        """SIGKILL; stopped or not."""
        self.alive = self.stopped = False
        self._kept = []

    def start(self) -> None:
        """Begin another life."""
        self.alive = True
        self._life += 1

    def _due(self, life: int, act: Callable[..., None], args: tuple[Any, ...]) -> None:
        if life == self._life:
            self.deliver(TIMER, act, *args)
