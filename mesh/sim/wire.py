"""One direction of a link: the pipe, the kernels and what lies between them. Order is kept."""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from mesh.sim.network import VirtualNetwork

__all__ = ["Item", "Mark", "Wire", "octets_of"]

_RTO_S = 0.2
"""First retransmission of TCP on Linux; each further one doubles it."""
_IO_THREAD_S = 0.00002
"""Until libzmq's thread has taken a message out of the pipe."""
_KERNEL_OCTETS_MAX = 256 * 1024
"""What the kernels of both ends hold for a receiver that does not read."""
_HEADERS_OCTETS = 60
"""What every message costs on a link that is clogged."""


class Mark(enum.Enum):
    """What travels on a wire beside messages."""

    SYN = "syn"
    REACHED = "reached"
    UP = "up"
    END = "end"


Item: TypeAlias = "list[bytes] | Mark"


def octets_of(frames: list[bytes]) -> int:
    """Return the length of a message."""
    return len(frames[0]) if len(frames) == 1 else sum(map(len, frames))


class Wire:
    """One direction of a link.

    Args:
        network: Delays and what is in the way.
        source: Host that sends.
        target: Host that receives.
        narrow: The pipe takes one message at a time (SNDHWM=1); else it takes all there are.
        take: Given what arrives.
        on_room: Called when a narrow pipe that was full has room again.
    """

    __slots__ = (
        "_blocked",
        "_clock",
        "_dropped",
        "_dripping",
        "_epoch",
        "_free_at",
        "_held",
        "_last",
        "_last_at",
        "_narrow",
        "_network",
        "_on_room",
        "_pipe",
        "_refused",
        "_take",
        "octets",
        "way",
    )

    def __init__(
        self,
        network: VirtualNetwork,
        source: str,
        target: str,
        take: Callable[[Item], None],
        on_room: Callable[[], None] | None = None,
    ) -> None:
        self.way: tuple[str, str] = (source, target)
        self.octets: int = 0
        """Octets on their way or in the receiver's kernel."""
        self._network = network
        self._clock = network.clock
        self._blocked = network.rates
        self._narrow = on_room is not None
        self._on_room = on_room
        self._take = take
        self._pipe: deque[list[bytes]] | None = None
        """What the kernels have no room for."""
        self._refused = False
        self._held: deque[Item] | None = None
        """What came to a cut or a clog and waits there."""
        self._dripping = False
        self._free_at = 0.0
        """When the latest message has left the pipe."""
        self._last: Item | None = None
        self._last_at = 0.0
        self._dropped: Item | None = None
        """Was in the pipe when that was closed."""
        self._epoch = 0

    def send(self, frames: list[bytes]) -> bool:
        """Put a message into the pipe; False if that is full."""
        now = self._clock.now
        if self._narrow and (self._pipe or now < self._free_at):
            if not self._refused:
                self._refused = True
                if not self._pipe:
                    self._clock.at(self._free_at, self._has_room)
            return False
        if self._pipe or self.octets >= _KERNEL_OCTETS_MAX:
            self._pipe = self._pipe or deque()
            self._pipe.append(frames)
        else:
            self._free_at = now + _IO_THREAD_S
            self._last = frames
            self.octets += octets_of(frames)
            self.launch(frames)
        return True

    def launch(self, item: Item, extra_s: float = 0.0) -> None:
        """Let an item travel, behind everything that travels already."""
        at = self._clock.now + extra_s + _IO_THREAD_S + self._network.delay_s()
        if at < self._last_at:
            at = self._last_at
        self._last_at = at
        self._clock.at(at, self._arrive, self._epoch, item)

    def arrives_at(self) -> float:
        """Return when what was launched last arrives, if nothing gets in its way."""
        return self._last_at

    def close(self, *, abruptly: bool) -> None:
        """Drop what is in the pipe, if `abruptly` also what is on its way, and tell the other end."""
        self._pipe = None
        if self._clock.now < self._free_at:
            self._dropped = self._last
        if abruptly:
            self._epoch += 1
            self._held = None
            self._last_at = 0.0
        self.launch(Mark.END)

    def taken(self, octets: int) -> None:
        """The receiver has read so much."""
        self.octets -= octets
        if self._pipe:
            while self._pipe and self.octets < _KERNEL_OCTETS_MAX:
                frames = self._pipe.popleft()
                self.octets += octets_of(frames)
                self.launch(frames)
            if self._refused and not self._pipe:
                self._clock.after(_IO_THREAD_S, self._has_room)

    def change(self) -> None:
        """What is in the way has changed: what was held goes on, when TCP tries again."""
        if self._held:
            self._clock.after(self._network.rng.random() * _RTO_S * 2, self._release, self._epoch)

    def _has_room(self) -> None:
        if self._refused and not self._pipe:
            self._refused = False
            assert self._on_room is not None, "only a narrow pipe refuses"
            self._on_room()

    def _arrive(self, epoch: int, item: Item) -> None:
        if epoch != self._epoch or item is self._dropped:
            return
        if self._held or (self._blocked and self.way in self._blocked):
            self._held = self._held or deque()
            self._held.append(item)
            self._drip_on()
        else:
            self._take(item)

    def _release(self, epoch: int) -> None:
        if epoch != self._epoch or not self._held:
            return
        if self.way in self._blocked:
            self._drip_on()
            return
        held, self._held = self._held, None
        for item in held:
            self._take(item)

    def _drip_on(self) -> None:
        rate = self._blocked.get(self.way)
        if rate and self._held and not self._dripping:
            self._dripping = True
            octets = 0 if isinstance(self._held[0], Mark) else octets_of(self._held[0])
            self._clock.after((octets + _HEADERS_OCTETS) / rate, self._drip, self._epoch)

    def _drip(self, epoch: int) -> None:
        self._dripping = False
        if epoch == self._epoch and self._held and self._blocked.get(self.way):
            self._take(self._held.popleft())
            self._drip_on()
