"""Threads for handlers that may block."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mesh.io.pool import Pool
from tests.helpers import PATIENCE_S, wait_until


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(2, "pool")
    yield pool
    pool.close()


def _threads() -> int:
    return sum(thread.name.startswith("pool_") for thread in threading.enumerate())


def test_tasks_run_at_the_same_time_up_to_the_size(pool: Pool) -> None:
    meeting = threading.Barrier(2, timeout=PATIENCE_S)
    done: list[int] = []
    for _ in range(4):
        pool.submit(lambda: done.append(meeting.wait()))
    wait_until(lambda: len(done) == 4)
    assert _threads() == 2


def test_a_thread_that_is_free_is_used_again(pool: Pool) -> None:
    done: list[str] = []
    for number in range(5):
        pool.submit(lambda: done.append(threading.current_thread().name))
        wait_until(lambda number=number: len(done) == number + 1 and pool._idle)  # type: ignore[misc]
    assert done == ["pool_0"] * 5


def test_its_threads_keep_no_program_from_ending(pool: Pool) -> None:
    daemon: list[bool] = []
    pool.submit(lambda: daemon.append(threading.current_thread().daemon))
    assert wait_until(lambda: daemon) == [True]


def test_what_waits_is_dropped_when_it_is_closed() -> None:
    pool = Pool(1, "pool")
    entered, opened = threading.Event(), threading.Event()
    done: list[str] = []

    def first() -> None:
        entered.set()
        opened.wait(PATIENCE_S)
        done.append("first")

    pool.submit(first)
    pool.submit(lambda: done.append("second"))
    assert entered.wait(PATIENCE_S)
    pool.close()
    opened.set()
    wait_until(lambda: _threads() == 0)
    assert done == ["first"]
