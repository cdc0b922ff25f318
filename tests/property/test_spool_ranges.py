"""Ranges hold the same numbers as a set, whatever is added in whatever order."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mesh.spool.ranges import Ranges

pairs = st.lists(st.tuples(st.integers(0, 60), st.integers(-2, 8)).map(lambda pair: (pair[0], pair[0] + pair[1])))


@given(pairs)
def test_they_hold_what_was_added(added: list[tuple[int, int]]) -> None:
    ranges = Ranges(added)
    numbers = {number for first, last in added for number in range(first, last + 1)}
    assert [number for number in range(-3, 75) if number in ranges] == sorted(numbers)
    assert {number for first, last in ranges for number in range(first, last + 1)} == numbers
    assert all(last + 1 < first for (_, last), (first, _) in pairwise(ranges)), "those that touch are one"


@given(pairs, pairs)
def test_the_order_does_not_matter(some: list[tuple[int, int]], others: list[tuple[int, int]]) -> None:
    assert Ranges([*some, *others]) == Ranges([*others, *some])


@given(pairs, pairs)
def test_what_is_removed_is_gone_and_nothing_else(added: list[tuple[int, int]], removed: list[tuple[int, int]]) -> None:
    ranges = Ranges(added)
    for first, last in removed:
        ranges.remove(first, last)
    gone = {number for first, last in removed for number in range(first, last + 1)}
    assert ranges == Ranges.of(sorted({n for first, last in added for n in range(first, last + 1)} - gone))


@given(pairs, st.integers(-3, 70), st.integers(-3, 70))
def test_gaps_are_what_is_not_there(added: list[tuple[int, int]], first: int, last: int) -> None:
    ranges = Ranges(added)
    missing = [number for number in range(first, last + 1) if number not in ranges]
    assert ranges.gaps(first, last) == list(Ranges.of(missing))
