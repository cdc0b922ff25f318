"""Many latencies in bounded memory: percentiles within one percent, and a histogram."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

__all__ = ["Bar", "Latencies"]

_LOWEST_S = 1e-6
_STEP = math.log(1.01)
_BODY = 0.995
"""Share of the latencies that the bars of equal ratio are for: else a single late answer would squeeze all others."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram."""

    from_s: float
    to_s: float
    count: int


class Latencies:
    """Durations from 1 us on, in buckets one percent wide; shorter ones count as that."""

    def __init__(self) -> None:
        self._counts: Counter[int] = Counter()
        self.count: int = 0
        """How many were recorded."""
        self.total_s: float = 0.0
        """Their sum in seconds."""
        self.least_s: float = math.inf
        self.most_s: float = 0.0

    def record(self, seconds: float) -> None:
        """Take in one duration in seconds."""
        self._counts[int(math.log(max(seconds, _LOWEST_S) / _LOWEST_S) / _STEP)] += 1
        self.count += 1
        self.total_s += seconds
        self.least_s = min(self.least_s, seconds)
        self.most_s = max(self.most_s, seconds)

    def mean_s(self) -> float | None:
        """Return the mean; None without any."""
        return self.total_s / self.count if self.count else None

    def percentile_s(self, share: float) -> float | None:
        """Return what `share` (0 to 1) of the durations do not exceed (nearest rank); None without any."""
        wanted = math.ceil(share * self.count - 1e-9)
        if wanted >= self.count:
            return self.most_s if self.count else None
        return min(max(_edge_s(self._bucket(wanted) + 0.5), self.least_s), self.most_s)

    def histogram(self, bars_max: int) -> list[Bar]:
        """Return at most so many bars of equal ratio, and one more for the tail, however long that is."""
        if not self.count:
            return []
        first, last = min(self._counts), self._bucket(math.ceil(_BODY * self.count))
        width = math.ceil((last + 1 - first) / bars_max)
        bars = [
            Bar(
                max(_edge_s(low), self.least_s),
                min(_edge_s(low + width), self.most_s),
                sum(self._counts[bucket] for bucket in range(low, low + width)),
            )
            for low in range(first, last + 1, width)
        ]
        tail = self.count - sum(bar.count for bar in bars)
        return [*bars, Bar(bars[-1].to_s, self.most_s, tail)] if tail else bars

    def _bucket(self, rank: int) -> int:
        """Return the bucket of the duration with this rank, from 1."""
        seen = 0
        for bucket in sorted(self._counts):
            seen += self._counts[bucket]
            if seen >= rank:
                break
        return bucket


def _edge_s(bucket: float) -> float:
    return _LOWEST_S * math.exp(bucket * _STEP)
