"""Work that is left at a lock is done by whoever holds it, in order, once, and never forgotten."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

import pytest

from mesh.io.desk import Desk
from tests.helpers import PATIENCE_S, wait_until


def never() -> None:
    raise AssertionError("nothing was interrupted")


def test_work_is_done_at_once_where_nobody_holds_the_lock() -> None:
    done: list[int] = []
    desk: Desk[int] = Desk(done.extend, never)
    desk.leave_work(1)
    assert desk.count_left() == 1
    desk.look_again()
    assert done == [1]
    assert desk.do_if_free(list) == [], "the lock is free again"


def test_work_that_is_left_is_done_by_the_holder_before_the_lock_is_free() -> None:
    done: list[int] = []
    desk: Desk[int] = Desk(done.extend, never)

    def hold() -> str:
        assert desk.is_mine()
        for number in range(3):
            desk.leave_work(number)
        assert done == []
        return "held"

    assert desk.do(hold) == "held"
    assert done == [0, 1, 2]
    assert desk.do_if_free(list) == []


def test_what_is_left_while_work_is_done_is_done_with_it() -> None:
    done: list[int] = []

    def take_up(left: Iterable[int]) -> None:
        for number in left:
            done.append(number)
            if number < 3:
                desk.leave_work(number + 1)

    desk: Desk[int] = Desk(take_up, never)
    desk.leave_work(0)
    desk.look_again()
    assert done == [0, 1, 2, 3]


def test_work_can_be_taken_back_as_long_as_nobody_has_begun_with_it() -> None:
    done: list[int] = []
    desk: Desk[int] = Desk(done.extend, never)

    def hold() -> None:
        desk.leave_work(1)
        desk.leave_work(2)
        assert desk.take_back(1)
        assert not desk.take_back(1)

    desk.do(hold)
    assert done == [2]
    assert not desk.do(desk.take_back, 2)


def test_the_lock_is_free_after_work_that_fails() -> None:
    def fail(left: Iterable[int]) -> None:
        raise ValueError(list(left))

    desk: Desk[int] = Desk(fail, never)
    desk.leave_work(1)
    with pytest.raises(ValueError, match="1"):
        desk.look_again()
    assert not desk.is_mine()


def test_what_was_left_is_done_when_the_holder_fails() -> None:
    done: list[int] = []
    mended: list[bool] = []
    desk: Desk[int] = Desk(done.extend, lambda: mended.append(desk.is_mine()))

    def fail() -> None:
        desk.leave_work(1)
        raise KeyboardInterrupt

    ways: list[Callable[[Callable[[], None]], object]] = [desk.do, desk.do_if_free]
    for number, do in enumerate(ways, 1):
        with pytest.raises(KeyboardInterrupt):
            do(fail)
        desk.let_go()
        assert done == [1] * number
        assert mended == [True] * number, "before others can have the lock"
        assert not desk.is_mine()


def test_an_interrupt_among_what_was_left_is_mended_too_and_what_it_came_at_comes_once_more() -> None:
    mended: list[bool] = []
    done: list[int] = []

    def interrupted(left: Iterable[int]) -> None:
        for number in left:
            if number == 2 and not mended:
                raise KeyboardInterrupt
            done.append(number)

    desk: Desk[int] = Desk(interrupted, lambda: mended.append(desk.is_mine()))
    for number in range(1, 4):
        desk.leave_work(number)
    with pytest.raises(KeyboardInterrupt):
        desk.look_again()
    assert mended == [True]
    assert not desk.is_mine()
    desk.look_again()
    assert done == [1, 2, 3]


def test_a_lock_that_an_interrupt_has_left_with_its_thread_is_let_go() -> None:
    done: list[int] = []
    desk: Desk[int] = Desk(done.extend, never)
    desk._lock.acquire()
    desk.leave_work(1)
    assert done == []
    desk.let_go()
    assert done == [1]
    assert not desk.is_mine()


def test_no_work_of_many_threads_is_forgotten_or_done_twice() -> None:
    done: list[tuple[int, int]] = []
    inside = 0

    def take_up(left: Iterable[tuple[int, int]]) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1
        done.extend(left)
        inside -= 1

    desk: Desk[tuple[int, int]] = Desk(take_up, never)

    def work(thread: int) -> None:
        for number in range(2000):
            if number % 7:
                desk.leave_work((thread, number))
                desk.look_again()
            else:
                desk.do(desk.leave_work, (thread, number))

    threads = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    wait_until(lambda: len(done) == 16_000, what="all work to be done")
    assert all([n for t, n in done if t == thread] == list(range(2000)) for thread in range(8)), "in order"
