"""What a server has counted and measured, as one value: for whoever draws it up, in this process or another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from mesh.core.methods import MethodStats
from mesh.core.stats import BOUNDS_S, Histogram

__all__ = ["Durations", "MethodFigures", "ServerFigures", "durations_of", "method_figures"]


class Durations(msgspec.Struct, frozen=True):
    """A histogram with the bounds that others want."""

    at_most: tuple[int, ...] = (0,) * (len(BOUNDS_S) + 1)
    """How many did not exceed each of `BOUNDS_S`; and last, how many there are."""
    total_s: float = 0.0
    """Their sum in seconds."""


class MethodFigures(msgspec.Struct, frozen=True):
    """Time in the handler of one method, of the calls that ended in one way."""

    method: str
    status: int
    durations: Durations


class ServerFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One server at one moment."""

    name: str
    version: str
    realm: str
    state: str
    """`SERVING`, `DRAINING` or `NOT_SERVING`."""
    started_unix: float
    """When it came to life, in seconds since 1970."""
    in_flight: int
    """Calls admitted and not answered."""
    waiting: int
    """Those of them that have not begun."""
    capacity: int
    """Calls that it admits at once."""
    window: int
    """How many of them one client may have."""
    clients: int
    """Clients that spoke, as far as they are remembered."""
    shed: int
    """Calls refused for want of room."""
    expired: int
    """Calls dropped because their caller had given up."""
    duplicates: int
    """Calls answered from the duplicate window."""
    garbage: int
    """Messages that could not be read."""
    unanswerable: int
    """Answers whose client was gone."""
    cpu_s: float
    """Processor seconds of its process."""
    memory: int
    """Octets of memory of its process."""
    methods: tuple[MethodFigures, ...]


def durations_of(histogram: Histogram, without: Sequence[Histogram] = ()) -> Durations:
    """Return a histogram by the bounds of others, without what some parts of it hold."""
    parts = [part.at_most() for part in without]
    return Durations(
        tuple(whole - sum(others) for whole, *others in zip(histogram.at_most(), *parts, strict=True)),
        max(0.0, histogram.total_s - sum(part.total_s for part in without)),
    )


def method_figures(method: str, stats: MethodStats) -> Iterable[MethodFigures]:
    """Yield the figures of one method: of the calls that went well, and of each way to fail."""
    yield MethodFigures(method, 0, durations_of(stats.histogram, list(stats.failures.values())))
    for status, histogram in stats.failures.items():
        yield MethodFigures(method, status, durations_of(histogram))
