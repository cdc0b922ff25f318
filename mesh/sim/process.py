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

    __slots__ = ("_clock", "_kept", "alive", "behind_s", "life", "name", "stopped", "stopped_at")

    def __init__(self, name: str, clock: VirtualClock) -> None:
        self.name: str = name
        """Also the name of its host: each process has one of its own."""
        self.alive: bool = True
        self.stopped: bool = False
        self.stopped_at: float = 0.0
        self.behind_s: float = 0.0
        """What its monotonic clock has missed while its machine slept."""
        self._clock = clock
        self.life: int = 0
        """How many lives it has had before this one."""
        self._kept: list[tuple[int, int, Callable[..., None], tuple[Any, ...]]] = []

    @property
    def now(self) -> float:
        """Its monotonic clock, in seconds."""
        return self._clock.now - self.behind_s

    def after(self, delay_s: float, act: Callable[..., None], *args: Any) -> None:
        """Call `act(*args)` so many seconds from now, if this life of it lasts so long."""
        self._clock.after(delay_s, self._due, self.life, act, args)

    def deliver(self, rank: int, act: Callable[..., None], *args: Any) -> None:
        """Call `act(*args)`: now, or on thaw; never if the process is dead."""
        if self.stopped:
            self._kept.append((rank, len(self._kept), act, args))
        elif self.alive:
            act(*args)

    def stop(self) -> None:
        """SIGSTOP."""
        if self.alive and not self.stopped:
            self.stopped = True
            self.stopped_at = self._clock.now

    def thaw(self, *, slept: bool = False) -> None:
        """SIGCONT; or the machine that `slept` wakes up, with a clock that knows nothing of it."""
        if slept and self.stopped:
            self.behind_s += self._clock.now - self.stopped_at
        self.stopped = False
        kept, self._kept = sorted(self._kept, key=lambda entry: entry[:2]), []
        life = self.life
        for _, _, act, args in kept:
            if self.life != life:
                return  # it ended of what it found
            act(*args)

    def kill(self) -> None:
        """SIGKILL; stopped or not."""
        self.alive = self.stopped = False
        self.life += 1
        self._kept = []

    def start(self) -> None:
        """Begin another life."""
        self.alive = True

    def _due(self, life: int, act: Callable[..., None], args: tuple[Any, ...]) -> None:
        if life == self.life:
            self.deliver(TIMER, act, *args)
