"""What a measurement gives: samples of contenders, ratios between them, and limits that those are held against."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

__all__ = ["UNITS", "BenchError", "Contender", "Effort", "Figure", "Limit", "Ratio", "Sample", "Section", "median"]

Sample: TypeAlias = "Mapping[str, float]"
"""What one round of one contender gave, by the names in UNITS; a missing one was not measured."""

UNITS: dict[str, tuple[str, str]] = {
    "rate": ("calls/s", "calls a second"),
    "p50_us": ("p50 us", "median latency of one call after the other, microseconds"),
    "p99_us": ("p99 us", "a hundredth of the calls took longer, microseconds"),
    "client_cpu_us": ("client us", "processor time per call of the client, all threads, microseconds"),
    "server_cpu_us": ("server us", "the same of all its servers"),
    "rss_mib": ("RSS MiB", "resident memory, mebibytes"),
    "wall_ms": ("wall ms", "milliseconds from beginning to end"),
    "gap_ms": ("gap ms", "longest time without an answer in the half second after a fault, milliseconds"),
    "quiet_ms": ("quiet ms", "the same in the half second before"),
    "failed": ("failed", "calls that ended with an error"),
    "events": ("events/s", "events that the cores of client and server handled a second"),
    "blocks": ("objects", "objects of which a call under way consists at its client"),
    "allocations": ("allocs", "calls of Python's allocators per call"),
    "instructions": ("instr", "instructions of the processor per call"),
}
"""What is measured: the head of its column, and what it means."""


class BenchError(Exception):
    """A contender could not be measured; the sentence says why."""


@dataclass(frozen=True)
class Effort:
    """How much is measured."""

    rounds: int = 5
    """Every contender of a section is measured once in each, so that what disturbs one disturbs its base too."""
    seconds: float = 1.0
    """Length of one measurement of calls, after a warm-up of a quarter of it."""
    many: int = 1000
    """How many many servers are."""


@dataclass(frozen=True)
class Contender:
    """One way of doing something."""

    name: str
    measure: Callable[[], Sample]
    """Does it for one round, in processes of its own. Raises BenchError."""


@dataclass(frozen=True)
class Limit:
    """What a ratio has to reach."""

    at_least: float = 0.0
    at_most: float = float("inf")

    def __str__(self) -> str:
        """Return it as people write it."""
        return f">= {self.at_least:g}" if self.at_least else f"<= {self.at_most:g}"

    def allows(self, ratio: float) -> bool:
        """Tell whether a ratio reaches it."""
        return self.at_least <= ratio <= self.at_most


@dataclass(frozen=True)
class Ratio:
    """One contender compared with another of the same section."""

    of: str
    """Name of the contender."""
    base: str
    """Name of the contender whose figure is 1."""
    key: str
    """Which figure, of UNITS."""
    limit: Limit | None = None
    """None: nothing is promised."""
    base_key: str = ""
    """Which figure of the base, if another."""


@dataclass(frozen=True)
class Section:
    """Contenders that are measured in turn, round after round, and how they compare."""

    name: str
    contenders: tuple[Contender, ...]
    ratios: tuple[Ratio, ...] = ()
    skipped: tuple[str, ...] = ()
    """Sentences about what cannot be measured here."""


@dataclass(frozen=True)
class Figure:
    """A ratio, measured: the median over all rounds, and the lowest and the highest."""

    section: str
    ratio: Ratio
    median: float
    low: float
    high: float

    @property
    def met(self) -> bool | None:
        """Whether it reaches its limit; None if it has none."""
        return None if self.ratio.limit is None else self.ratio.limit.allows(self.median)

    @classmethod
    def measured(cls, section: str, ratio: Ratio, samples: Mapping[str, Sequence[Sample]]) -> Figure:
        """Return the figure that samples by contender give, each round compared with the same round of the base."""
        pairs = zip(samples[ratio.of], samples[ratio.base], strict=True)
        values = [mine[ratio.key] / base[ratio.base_key or ratio.key] for mine, base in pairs]
        return cls(section, ratio, statistics.median(values), min(values), max(values))


def median(samples: Sequence[Sample]) -> dict[str, float]:
    """Return the median of each figure over all rounds."""
    return {key: statistics.median(sample[key] for sample in samples) for key in samples[0]}
