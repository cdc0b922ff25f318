"""Numbers as ranges."""

from __future__ import annotations

import sys

from mesh.spool.ranges import Ranges


def test_what_comes_in_order_is_one_pair_however_much_it_is() -> None:
    ranges = Ranges.of(range(1, 100_001))
    assert list(ranges) == [(1, 100_000)]
    assert 100_000 in ranges
    assert 100_001 not in ranges


def test_gaps_are_kept_and_closed() -> None:
    ranges = Ranges.of([5, 1, 2, 9, 4])
    assert list(ranges) == [(1, 2), (4, 5), (9, 9)]
    assert len(ranges) == 3
    ranges.add(3, 8)
    assert list(ranges) == [(1, 9)]


def test_an_empty_range_adds_nothing() -> None:
    ranges = Ranges([(3, 2)])
    assert not ranges
    assert ranges == Ranges()


def test_many_gaps_take_little() -> None:
    ranges = Ranges.of(range(0, 20_000, 2))
    assert len(ranges) == 10_000
    assert 10_000 in ranges
    assert 10_001 not in ranges
    assert sys.getsizeof(ranges._firsts) < 100_000
    for number in range(1, 20_000, 2):
        ranges.add(number, number)
    assert list(ranges) == [(0, 19_999)]
