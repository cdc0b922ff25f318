"""What happened in a world, as seen from outside: the facts that checkers judge, and the trace that people read."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

__all__ = ["Asked", "Ended", "History", "Run", "Written"]


class Asked(msgspec.Struct, frozen=True):
    """Somebody made a call."""

    at: float
    call: str
    """Client and number: `c1/7`. The first octets of its body, so that every answer tells its question."""
    deadline: float
    once: bool
    """It must not run twice."""
    body: bytes


class Ended(msgspec.Struct, frozen=True):
    """A caller was told the outcome."""

    at: float
    call: str
    outcome: str
    """`ok`, or the name of the error."""
    body: bytes
    """The answer; empty for an error."""
    server: str
    attempts: int


class Written(msgspec.Struct, frozen=True):
    """A client gave an attempt to the transport's outbox."""

    at: float
    call: str
    clock_error_s: float
    """How late the deadline in this attempt may be: the shortest round trip there was on its link."""


class Run(msgspec.Struct, frozen=True):
    """A handler was started."""

    at: float
    call: str
    server: str
    boot: int
    attempt: int


class History:
    """Everything that happened, in order."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.trace: list[str] = []
        """One line for each event, with the time in seconds."""
        self.asked: dict[str, Asked] = {}
        self.ended: list[Ended] = []
        self.abandoned: dict[str, float] = {}
        """Calls whose caller went away, and when."""
        self.written: dict[tuple[str, int], Written] = {}
        """By call and number of the attempt."""
        self.runs: list[Run] = []
        self._now = now
        self._began_at = now()

    def say(self, text: str) -> None:
        """Add a line to the trace."""
        self.trace.append(f"{self._now() - self._began_at:9.4f}  {text}")
