"""What happened in a world, as seen from outside: the facts that checkers judge, and the trace that people read."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable

import msgspec

__all__ = ["Asked", "Ended", "History", "Run", "Written"]


class Asked(msgspec.Struct, frozen=True, gc=False):
    """Somebody made a call."""

    at: float
    call: str
    """Client and number: `c1/7`. The first octets of its body, so that every answer tells its question."""
    deadline: float
    """When the caller gives up, on the clock of the client."""
    timeout_s: float
    once: bool
    """It must not run twice."""
    body: bytes


class Ended(msgspec.Struct, frozen=True, gc=False):
    """A caller was told the outcome."""

    at: float
    call: str
    outcome: str
    """`ok`, or the name of the error."""
    body: bytes
    """The answer; empty for an error."""
    server: str
    """Host that answered; empty for an error."""
    attempts: int
    took_s: float
    """On the clock of the client."""


class Written(msgspec.Struct, frozen=True, gc=False):
    """A client gave an attempt to the transport's outbox."""

    at: float
    call: str
    server: str
    """Host that it is for, whatever it calls itself."""
    deadline: float
    """When the caller gives up, in the time of the world, if its clock goes on from here."""
    clock_error_s: float
    """How late that may be on the server's clock, as the client believes."""


class Run(msgspec.Struct, frozen=True, gc=False):
    """A handler was started."""

    at: float
    call: str
    server: str
    boot: int
    attempt: int


class History:
    """Everything that happened, in order.

    Args:
        now: The time of the world.
        keep_trace: Keep the lines of the trace; without, only their checksum.
    """

    def __init__(self, now: Callable[[], float], *, keep_trace: bool = True) -> None:
        self.trace: list[str] = []
        """One line for each event, with the time in seconds; empty if it is not kept."""
        self.digest: int = 0
        """Checksum of the trace."""
        self.asked: dict[str, Asked] = {}
        self.ended: list[Ended] = []
        self.abandoned: dict[str, float] = {}
        """Calls whose caller went away, alone or with its process, and when."""
        self.written: dict[tuple[str, int], Written] = {}
        """By call and number of the attempt."""
        self.runs: list[Run] = []
        self.struck: Counter[str] = Counter()
        """How often each fault has struck."""
        self.counted: Counter[str] = Counter()
        """What cores have counted, by their name for it; of processes that live, only after `World.run`."""
        self.liars: dict[str, None] = {}
        """Servers that have lied."""
        self.away: dict[str, list[tuple[float, float]]] = {}
        """When clients were stopped: from, until."""
        self.broken: list[str] = []
        """Promises that were seen to be broken while it happened."""
        self._keep_trace = keep_trace
        self._now = now
        self._began_at = now()

    def say(self, text: str) -> None:
        """Add a line to the trace."""
        line = f"{self._now() - self._began_at:9.4f}  {text}"
        self.digest = zlib.crc32(line.encode(), self.digest)
        if self._keep_trace:
            self.trace.append(line)

    def away_s(self, client: str, since: float, until: float) -> float:
        """Return for how long a client was stopped between two moments."""
        return sum(max(0.0, min(until, end) - max(since, begin)) for begin, end in self.away.get(client, ()))
