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
