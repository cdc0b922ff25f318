"""What goes wrong in a simulated world, as one value."""

from __future__ import annotations

import random
from dataclasses import dataclass

__all__ = ["Bout", "Faults", "Spread"]


@dataclass(frozen=True)
class Spread:
    """A duration: at least `least_s`, and on top an exponentially distributed one of mean `more_s`."""

    least_s: float
    more_s: float = 0.0

    def draw(self, rng: random.Random) -> float:
        """Return one duration in seconds."""
        return self.least_s + rng.expovariate(1.0 / self.more_s) if self.more_s else self.least_s


@dataclass(frozen=True)
class Bout:
    """A fault that strikes now and then, anywhere in the world, and is over after a while."""

    every_s: float
    """Mean seconds from one to the next, exponentially distributed."""
    lasting: Spread
    """How long each lasts."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Everything that may go wrong. What is None, or zero, does not."""

    delay: Spread = Spread(0.0001, 0.0001)
    """One way through the network."""
    loss: float = 0.0
    """Share of messages that have to be sent again. TCP hides loss: such a message, and all behind it, come later."""
    crash: Bout | None = None
    """A server is killed, and started again after a while: at its old address, as another process."""
    pause: Bout | None = None
    """A server is stopped (SIGSTOP) and thawed. Meanwhile its kernel still takes connections and bytes."""
    client_pause: Bout | None = None
    """A client is stopped and thawed."""
    partition: Bout | None = None
    """A client and a server cannot reach each other, or one of them not the other."""
    slow: Bout | None = None
    """The handlers of a server take `slow_factor` times as long."""
    slow_factor: float = 50.0
    drain: Bout | None = None
    """A server is stopped in good order (goodbye, drain), and started again after a while."""
    forget: Bout | None = None
    """Discovery loses a healthy server and finds it again; a short one is a flapping advertisement."""
    spoof: Bout | None = None
    """Somebody advertises a healthy server's address as their own."""
    repeat: float = 0.0
    """Share of changes that discovery reports twice."""
    spared: int = 0
    """So many servers, the first ones, are left alone by everything but delay and loss."""
