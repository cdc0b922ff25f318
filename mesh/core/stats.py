"""Latencies in bounded memory, and the smoothed ones that decisions are made from."""

from __future__ import annotations

import math

__all__ = ["Histogram", "Smoothed"]

_PER_OCTAVE = 8
_LOWEST_S = 1e-6
_BUCKETS = 30 * _PER_OCTAVE
_SCALE = _PER_OCTAVE / math.log(2.0)
_SHIFT = -math.log(_LOWEST_S) * _SCALE
_log = math.log


class Histogram:
    """Counts of durations from 1 us to 18 minutes in buckets 9 % wide: 240 numbers, whatever was recorded.

    The numbers are made with the first record: most of a thousand servers that are known are never called.
    """

    __slots__ = ("_counts", "count", "max_s", "total_s")

    def __init__(self) -> None:
        self._counts: list[int] = []
        self.count: int = 0
        """How many were recorded."""
        self.total_s: float = 0.0
        """Their sum in seconds."""
        self.max_s: float = 0.0
        """The longest, in seconds."""

    def record(self, duration_s: float) -> None:
        """Count one duration in seconds; negative ones count as zero."""
        self.count += 1
        if duration_s > _LOWEST_S:
            self.total_s += duration_s
            if duration_s > self.max_s:
                self.max_s = duration_s
            index = int(_log(duration_s) * _SCALE + _SHIFT)
            if index >= _BUCKETS:
                index = -1
        else:
            index = 0
        try:
            self._counts[index] += 1
        except IndexError:
            self._counts = [0] * _BUCKETS
            self._counts[index] = 1

    def percentile_s(self, share: float) -> float:
        """Return the duration that `share` (0 to 1) of the records do not exceed, within 9 %; 0.0 without any."""
        wanted = math.ceil(self.count * share)
        if wanted <= 0:
            return 0.0
        seen = 0
        for index, count in enumerate(self._counts[:-1]):  # the last bucket holds whatever is longer
            seen += count
            if seen >= wanted:
                upper: float = _LOWEST_S * 2.0 ** ((index + 1) / _PER_OCTAVE)
                return min(upper, self.max_s) if self.max_s else upper
        return self.max_s


_UP, _DOWN = 1.095, 0.995


class Smoothed:
    """A smoothed value and its deviation, as TCP keeps them for its timeouts (RFC 6298), and a 95th percentile."""

    __slots__ = ("count", "deviation_s", "p95_s", "value_s")

    def __init__(self) -> None:
        self.value_s: float = 0.0
        self.deviation_s: float = 0.0
        self.p95_s: float = 0.0
        """What 95 % of the samples do not exceed: it steps up by 9.5 % when one does and down by 0.5 % when one does
        not, which balances at one in twenty, needs no memory, and follows a value that changes."""
        self.count: int = 0

    def add(self, sample_s: float) -> None:
        """Take in one sample in seconds."""
        if self.count == 0:
            self.value_s = sample_s
            self.deviation_s = sample_s / 2
            self.p95_s = sample_s * 2 + _LOWEST_S
        else:
            self.p95_s *= _UP if sample_s > self.p95_s else _DOWN
            error = sample_s - self.value_s
            self.deviation_s += 0.25 * ((error if error >= 0 else -error) - self.deviation_s)
            self.value_s += 0.125 * error
        self.count += 1

    def bound_s(self) -> float:
        """Return the time within which nearly every sample lies: value + 4 deviations."""
        return self.value_s + 4.0 * self.deviation_s
