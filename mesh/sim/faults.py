"""What goes wrong in a simulated world, as one value."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass

__all__ = ["Bout", "Faults", "Spread"]

_TAIL_MOST_S = 1.0
"""What a heavy tail adds at most: what takes longer than a heartbeat is a cut or a pause, faults of their own."""


@dataclass(frozen=True)
class Spread:
    """A duration: at least `least_s`, and on top a random one of scale `more_s`."""

    least_s: float
    more_s: float = 0.0
    tail: float = 0.0
    """0: the random part is exponentially distributed, with mean `more_s`. Else it is Pareto's (Lomax) of this shape:
    one of 1.5 has a mean of twice `more_s` and no variance; it is cut at one second."""

    def draw(self, rng: random.Random) -> float:
        """Return one duration in seconds."""
        if not self.more_s:
            return self.least_s
        if self.tail:
            return self.least_s + min(_TAIL_MOST_S, self.more_s * (rng.paretovariate(self.tail) - 1.0))
        return self.least_s - self.more_s * math.log(1.0 - rng.random())

    @property
    def mean_s(self) -> float:
        """Seconds on average; of a heavy tail its bound where it has no mean."""
        if not self.tail:
            return self.least_s + self.more_s
        return self.least_s + (min(_TAIL_MOST_S, self.more_s / (self.tail - 1.0)) if self.tail > 1.0 else _TAIL_MOST_S)


@dataclass(frozen=True)
class Bout:
    """A fault that strikes now and then, anywhere in the world, and is over after a while."""

    every_s: float
    """Mean seconds from one to the next, exponentially distributed."""
    lasting: Spread
    """How long each lasts."""


@dataclass(frozen=True, kw_only=True)
class Faults:
    """Everything that may go wrong. What is None, or zero, does not.

    TCP gives each connection its octets once and in order, so the network never doubles or reorders the messages of
    one connection. Both happen where they can: between connections (moved and hedged attempts), and in discovery.
    """

    delay: Spread = Spread(0.0001, 0.0001)
    """One way through the network."""
    loss: float = 0.0
    """Share of messages that have to be sent again. TCP hides loss: such a message, and all behind it, come later."""
    crash: Bout | None = None
    """A server is killed, and started again after a while: at its old address, another process with another clock."""
    pause: Bout | None = None
    """A server is stopped (SIGSTOP) and thawed. Meanwhile its kernel still takes connections and bytes."""
    drain: Bout | None = None
    """A server is stopped in good order (goodbye, drain), and started again after a while."""
    slow: Bout | None = None
    """The handlers of a server take `slow_factor` times as long."""
    slow_factor: float = 50.0
    full: Bout | None = None
    """Others take the room of a server: it tells a window of one call, and admits no more at the same time."""
    lie: Bout | None = None
    """A server lies, in one of the ways of `mesh.sim.liar`; then it is honest again, at once or as another process."""
    client_pause: Bout | None = None
    """A client is stopped and thawed: time leaps."""
    client_suspend: Bout | None = None
    """The machine of a client sleeps: its monotonic clock stands still meanwhile, as that of Linux does."""
    client_crash: Bout | None = None
    """A client is killed with its calls, and started again."""
    partition: Bout | None = None
    """A client and a server cannot reach each other, or one of them not the other; or all clients and a server; or a
    client and half of the servers."""
    clog: Bout | None = None
    """Only `clog_octets_per_s` get through from one host to another."""
    clog_octets_per_s: float = 20_000.0
    forget: Bout | None = None
    """Discovery loses a healthy server and finds it again."""
    flap: Bout | None = None
    """The same, many times in a row."""
    amnesia: Bout | None = None
    """The discovery of one client loses everybody, and finds them again."""
    spoof: Bout | None = None
    """Somebody advertises a healthy server's address as their own, or one where nobody listens, or one from which
    nothing comes back; or another address as a healthy server's."""
    ghost: Bout | None = None
    """Discovery lists a server again that is long dead, at its old address."""
    repeat: float = 0.0
    """Share of changes that discovery reports twice."""
    spared: int = 0
    """So many servers, the first ones, are left alone by everything but delay, loss and discovery."""
