"""What a server core knows of a method: where it runs, whether it may be repeated, how it did."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from mesh.core.stats import Histogram

__all__ = ["COROUTINE", "INLINE", "MethodInfo", "MethodStats", "nearest", "unknown_method"]

INLINE = "inline"
"""Lane of handlers that run in the loop, one at a time."""
_COMPARED_MAX = 100
COROUTINE = "coroutine"
"""Lane of coroutine handlers."""


class MethodInfo(msgspec.Struct, frozen=True):
    """One method, as far as admission and routing of replies need to know."""

    lane: str
    """Name of the lane: INLINE, COROUTINE, or that of a pool of threads."""
    idempotent: bool = True
    raw: bool = False


class MethodStats:
    """Counters of one method."""

    __slots__ = ("count", "errors", "failures", "histogram", "last_error")

    def __init__(self) -> None:
        self.count: int = 0
        self.errors: int = 0
        self.last_error: str = ""
        self.histogram: Histogram = Histogram()
        """Time from start to end of the handler, in seconds."""
        self.failures: dict[int, Histogram] = {}
        """The same of those that failed alone, by status."""

    def failed(self, status: int, duration_s: float) -> None:
        """Take in a failure, whose duration is in the histogram already."""
        if status not in self.failures:
            self.failures[status] = Histogram()
        self.failures[status].record(duration_s)


def nearest(name: str, known: Iterable[str], n: int = 3) -> list[str]:
    """Return at most ``n`` of the known names that resemble a name, the most alike first."""
    import difflib  # a short program, such as `mesh call`, starts sooner without what only an error needs

    return difflib.get_close_matches(name, sorted(known), n)


def unknown_method(name: str, known: Iterable[str]) -> str:
    """Return the sentence about a method that is not offered: what comes nearest, else what is offered.

    Anybody can call unknown methods, and a comparison takes 30 us: at most 100 names are compared, those of
    the same service first.
    """
    service = name.partition(".")[0]
    offered = sorted(known, key=lambda other: (other.partition(".")[0] != service, other))
    if not offered:
        return f"unknown method {name}; this server offers none"
    if alike := nearest(name, offered[:_COMPARED_MAX]):
        return f"unknown method {name}; nearest: {', '.join(alike)}"
    more = ", …" if len(offered) > 10 else ""
    return f"unknown method {name}; offered: {', '.join(offered[:10])}{more}"
