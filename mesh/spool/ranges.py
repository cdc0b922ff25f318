"""Sets of sequence numbers that are kept as ranges: what came without a gap takes one pair, however much it is."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator

__all__ = ["Ranges"]


class Ranges:
    """Whole numbers, as ranges that neither overlap nor touch; adding in order takes constant time.

    Args:
        pairs: First and last number of each range to begin with, in any order.
    """

    __slots__ = ("_firsts", "_lasts")

    def __init__(self, pairs: Iterable[tuple[int, int]] = ()) -> None:
        self._firsts: list[int] = []
        self._lasts: list[int] = []
        for first, last in pairs:
            self.add(first, last)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Ranges:
        """Return the set of these numbers."""
        made = cls()
        for number in numbers:
            made.add(number, number)
        return made

    def add(self, first: int, last: int) -> None:
        """Add every number from `first` to `last`, both included; an empty range adds nothing."""
        if first > last:
            return
        firsts, lasts = self._firsts, self._lasts
        if not lasts or first > lasts[-1] + 1:
            firsts.append(first)
            lasts.append(last)
            return
        # Ranges from `begin` to before `end` overlap the new one or touch it, and become one with it.
        begin = bisect_left(lasts, first - 1)
        end = begin
        while end < len(firsts) and firsts[end] <= last + 1:
            end += 1
        if begin < end:
            first, last = min(first, firsts[begin]), max(last, lasts[end - 1])
        firsts[begin:end] = [first]
        lasts[begin:end] = [last]

    def remove(self, first: int, last: int) -> None:
        """Remove every number from `first` to `last`, both included; an empty range removes nothing."""
        firsts, lasts = self._firsts, self._lasts
        begin = bisect_left(lasts, first)
        end = bisect_right(firsts, last)
        if first > last or begin >= end:
            return
        before, after = (firsts[begin], first - 1), (last + 1, lasts[end - 1])
        left = [pair for pair in (before, after) if pair[0] <= pair[1]]
        firsts[begin:end] = [pair[0] for pair in left]
        lasts[begin:end] = [pair[1] for pair in left]

    def gaps(self, first: int, last: int) -> list[tuple[int, int]]:
        """Return first and last number of each range of those from `first` to `last` that are not there, in order."""
        found: list[tuple[int, int]] = []
        at = bisect_left(self._lasts, first)
        while at < len(self._firsts) and self._firsts[at] <= last:
            if first < self._firsts[at]:
                found.append((first, self._firsts[at] - 1))
            first = self._lasts[at] + 1
            at += 1
        if first <= last:
            found.append((first, last))
        return found

    def __contains__(self, number: int) -> bool:
        at = bisect_left(self._lasts, number)
        return at < len(self._firsts) and self._firsts[at] <= number

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Yield first and last number of each range, in order."""
        return zip(self._firsts, self._lasts, strict=True)

    def __len__(self) -> int:
        """Return how many ranges there are."""
        return len(self._firsts)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ranges) and self._firsts == other._firsts and self._lasts == other._lasts

    def __repr__(self) -> str:
        return f"Ranges({list(self)})"
