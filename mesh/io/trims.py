"""When memory that was freed is given back to the system: as long as that helps, and more rarely while it does not."""

from __future__ import annotations

__all__ = ["Trims"]

_SLACK_OCTETS = 8 << 20
"""Memory that has grown by less is left alone, and a trim has helped that gives back more."""
_PAUSE_S = (2.0, 32.0)
"""Time before the first trim and after each that helped. One that did not help doubles it; after the longest, what is
there is taken to be needed."""


class Trims:
    """Plans the trims of one process.

    A flood leaves freed memory in pieces, and what its last clients hold is freed only when they are gone: so one trim
    is not enough, whether it helped or not.

    Args:
        resident: Octets of memory that the process has now, which it may keep.
    """

    def __init__(self, resident: int) -> None:
        self._kept = resident
        self._at = 0.0
        self._pause_s = _PAUSE_S[0]

    def soon(self, when: float) -> None:
        """Trim at this time at the latest."""
        self._at = min(self._at, when) if self._at else when

    def is_due(self, resident: int, now: float) -> bool:
        """Return whether to trim now, with so many octets of memory."""
        if not self._at and resident - self._kept > _SLACK_OCTETS:
            self._at = now + self._pause_s
        return bool(self._at) and now >= self._at

    def done(self, before: int, after: int, now: float) -> None:
        """A trim has been made: so many octets of memory there were before, and so many are there now."""
        self._pause_s = _PAUSE_S[0] if before - after > _SLACK_OCTETS else 2.0 * self._pause_s
        if self._pause_s <= _PAUSE_S[1]:
            self._at = now + self._pause_s
        else:
            self._at, self._pause_s, self._kept = 0.0, _PAUSE_S[0], after
