"""Deadlines: the new ones, and those that last."""

from __future__ import annotations

from mesh.core.timers import NEVER, Timers


class Item:
    def __init__(self) -> None:
        self.timer_at = NEVER


def due(timers: Timers[Item], now: float) -> list[Item]:
    """Take out everything that is due."""
    found = []
    while (item := timers.due(now)) is not None:
        found.append(item)
    return found


def test_items_come_out_in_time_and_in_order() -> None:
    timers: Timers[Item] = Timers()
    late, early, same = Item(), Item(), Item()
    timers.set(late, 3.0)
    timers.set(early, 1.0)
    timers.set(same, 1.0)
    assert timers.deadline() == 1.0
    assert due(timers, 0.999) == []
    assert due(timers, 1.0) == [early, same]
    assert early.timer_at == NEVER
    assert timers.deadline() == 3.0
    assert due(timers, 9.0) == [late]
    assert timers.deadline() is None


def test_a_later_set_replaces_the_earlier_one_in_both_directions() -> None:
    timers: Timers[Item] = Timers()
    sooner, later = Item(), Item()
    timers.set(sooner, 5.0)
    timers.set(sooner, 2.0)
    timers.set(later, 1.0)
    timers.set(later, 4.0)
    assert due(timers, 3.0) == [sooner]
    assert due(timers, 9.0) == [later]


def test_back_and_forth_comes_out_once() -> None:
    timers: Timers[Item] = Timers()
    item = Item()
    for when in (1.0, 2.0, 1.0):
        timers.set(item, when)
    assert due(timers, 9.0) == [item]


def test_a_cleared_item_never_comes_out_and_can_be_set_again() -> None:
    timers: Timers[Item] = Timers()
    item = Item()
    timers.set(item, 1.0)
    timers.clear(item)
    timers.clear(item)
    assert due(timers, 9.0) == []
    timers.set(item, 10.0)
    assert due(timers, 10.0) == [item]


def test_the_deadline_is_never_late() -> None:
    timers: Timers[Item] = Timers()
    items = [Item() for _ in range(100)]
    for number, item in enumerate(items):
        timers.set(item, float(number))
    for item in items[:50]:
        timers.clear(item)
    deadline = timers.deadline()
    assert deadline is not None
    assert deadline <= 50.0


def test_cancelled_deadlines_do_not_pile_up() -> None:
    timers: Timers[Item] = Timers()
    lasting = Item()
    timers.set(lasting, 1e9)
    for number in range(20_000):
        item = Item()
        timers.set(item, 1000.0 + number)
        timers.clear(item)
    assert len(timers) < 2_000
    assert due(timers, 2e9) == [lasting]


def test_a_deadline_that_is_cleared_while_it_is_new_leaves_nothing() -> None:
    timers: Timers[Item] = Timers()
    for number in range(1000):
        item = Item()
        timers.set(item, 1000.0 - number)
        assert timers.deadline() == 1000.0 - number
        timers.clear(item)
        assert len(timers) == 0, "what it belonged to, such as a body, would be kept for as long"
        assert timers.deadline() is None


def test_new_and_lasting_deadlines_come_out_in_one_order() -> None:
    timers: Timers[Item] = Timers()
    items = [Item() for _ in range(1000)]
    whens = [float(number * 7919 % 997) for number in range(1000)]
    for item, when in zip(items, whens, strict=True):
        timers.set(item, when)
    timers.set(items[3], 0.5)
    whens[3] = 0.5
    expected = sorted(range(1000), key=lambda number: whens[number])
    for number in expected:
        assert timers.deadline() == whens[number]
        assert timers.due(whens[number]) is items[number]
    assert timers.deadline() is None
