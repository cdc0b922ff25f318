"""Tests of mesh.spool.commit: who makes the transactions, and of what."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from mesh import ClosedError
from mesh.spool.commit import WEIGHT_MAX, GroupCommit, Job
from tests.helpers import wait_until

Numbers = list[int]


class Disk:
    """Makes transactions of lists, and stands still where a test wants it to."""

    def __init__(self) -> None:
        self.groups: list[Numbers] = []
        self.threads: list[threading.Thread] = []
        self.may_go = threading.Event()
        self.may_go.set()
        self.begun = threading.Semaphore(0)
        self.error: BaseException | None = None
        self.commits: GroupCommit[Numbers] = GroupCommit(self.transact)

    def transact(self, jobs: Sequence[Job[Numbers, Any]]) -> None:
        self.begun.release()
        self.threads.append(threading.current_thread())
        assert self.may_go.wait(5)
        group: Numbers = []
        for job in jobs:
            job.result = job.work(group)
            job.error = self.error
        self.groups.append(group)

    def done(self) -> Numbers:
        return [number for group in self.groups for number in group]

    def queued(self, count: int) -> None:
        """Wait until so many wait behind the transaction that runs."""
        wait_until(lambda: len(self.commits._queue) == count)


@pytest.fixture
def disk() -> Disk:
    return Disk()


def adding(number: int) -> Callable[[Numbers], int]:
    def work(group: Numbers) -> int:
        group.append(number)
        return 10 * number

    return work


def in_threads(disk: Disk, numbers: Sequence[int], weight: int = 1) -> list[threading.Thread]:
    """Start a thread for each number, one after the other, and return when all wait."""
    threads = []
    for count, number in enumerate(numbers, 1):
        threads.append(threading.Thread(target=lambda n=number: disk.commits.do(adding(n), weight)))
        threads[-1].start()
        disk.queued(count)
    return threads


def running(disk: Disk, number: int = 0) -> threading.Thread:
    """Start a transaction that stands still."""
    disk.may_go.clear()
    thread = threading.Thread(target=lambda: disk.commits.do(adding(number)))
    thread.start()
    assert disk.begun.acquire(timeout=5)
    return thread


def test_a_lone_caller_commits_in_its_own_thread(disk: Disk) -> None:
    assert disk.commits.do(adding(1)) == 10
    assert disk.groups == [[1]]
    assert disk.threads == [threading.current_thread()]


def test_those_who_come_during_a_transaction_share_the_next_one(disk: Disk) -> None:
    threads = [running(disk), *in_threads(disk, [1, 2, 3])]
    disk.may_go.set()
    for thread in threads:
        thread.join(5)
    assert disk.groups == [[0], [1, 2, 3]]
    assert disk.threads == threads[:2]


def test_nobody_commits_for_others_a_second_time(disk: Disk) -> None:
    """Or a thread that puts one record would work for the others as long as they keep coming."""
    threads = [running(disk), *in_threads(disk, [1, 2], WEIGHT_MAX)]
    disk.may_go.set()
    for thread in threads:
        thread.join(5)
    assert disk.groups == [[0], [1], [2]]
    assert disk.threads == threads


@pytest.mark.parametrize(
    ("weight", "groups"), [(WEIGHT_MAX // 2, [[1, 2], [3]]), (WEIGHT_MAX + 1, [[1], [2], [3]]), (1, [[1, 2, 3]])]
)
def test_a_transaction_is_bounded(disk: Disk, weight: int, groups: list[Numbers]) -> None:
    threads = [running(disk), *in_threads(disk, [1, 2, 3], weight)]
    disk.may_go.set()
    for thread in threads:
        thread.join(5)
    assert disk.groups == [[0], *groups]


def test_an_error_is_raised_where_it_belongs(disk: Disk) -> None:
    disk.error = ValueError("no")
    with pytest.raises(ValueError, match="no"):
        disk.commits.do(adding(1))
    disk.error = None
    assert disk.commits.do(adding(2)) == 20


def test_a_loop_goes_on_while_its_record_is_written(disk: Disk) -> None:
    async def main() -> None:
        disk.may_go.clear()
        puts = [asyncio.create_task(disk.commits.do_async(adding(number))) for number in range(5)]
        await asyncio.sleep(0)
        disk.may_go.set()
        assert await asyncio.gather(*puts) == [0, 10, 20, 30, 40]

    asyncio.run(main())
    disk.commits.close()
    assert sorted(disk.done()) == [0, 1, 2, 3, 4]
    assert len(disk.groups) <= 3
    assert all(thread is not threading.main_thread() for thread in disk.threads[:-1])


def test_coroutines_whose_records_are_on_disk_together_are_woken_with_one_call(
    disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[object] = []

    async def main() -> None:
        thread = running(disk)
        puts = [asyncio.create_task(disk.commits.do_async(adding(number))) for number in range(50)]
        await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        call = loop.call_soon_threadsafe

        def counted(callback: Callable[[], None]) -> asyncio.Handle:
            calls.append(callback)
            return call(callback)

        monkeypatch.setattr(loop, "call_soon_threadsafe", counted)
        disk.may_go.set()
        thread.join(5)
        wait_until(lambda: len(disk.groups) == 2)  # the loop stands still meanwhile
        disk.commits.close()
        assert await asyncio.gather(*puts) == [10 * number for number in range(50)]

    asyncio.run(main())
    assert len(calls) == 1


def test_a_coroutine_that_is_cancelled_holds_up_nobody(disk: Disk) -> None:
    async def main() -> None:
        thread = running(disk)
        gone = asyncio.create_task(disk.commits.do_async(adding(1)))
        await asyncio.sleep(0)
        kept = asyncio.create_task(disk.commits.do_async(adding(2)))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        disk.may_go.set()
        assert await kept == 20
        await asyncio.to_thread(thread.join, 5)

    asyncio.run(main())
    disk.commits.close()


class Interrupted(Exception):
    """Raised by a signal handler."""


@pytest.fixture
def interrupt() -> Iterator[Callable[[], None]]:
    """Return what interrupts the main thread while it waits."""

    def handler(number: int, frame: object) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGUSR1, handler)
    main = threading.get_ident()
    yield lambda: signal.pthread_kill(main, signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)


def test_a_thread_that_is_interrupted_holds_up_nobody(disk: Disk, interrupt: Callable[[], None]) -> None:
    first = running(disk)
    behind = threading.Thread(target=lambda: disk.commits.do(adding(2)))

    def others() -> None:
        disk.queued(1)
        behind.start()
        disk.queued(2)
        interrupt()

    helper = threading.Thread(target=others)
    helper.start()
    with pytest.raises(Interrupted):
        disk.commits.do(adding(1))
    disk.may_go.set()
    for thread in (helper, first, behind):
        thread.join(5)
    assert disk.groups == [[0], [2]]


def test_closing_waits_for_what_came_before_and_takes_no_more(disk: Disk) -> None:
    threads = [running(disk), *in_threads(disk, [1])]
    closing = threading.Thread(target=disk.commits.close)
    closing.start()
    disk.queued(2)
    with pytest.raises(ClosedError):
        disk.commits.do(adding(2))
    disk.may_go.set()
    closing.join(5)
    assert not closing.is_alive()
    for thread in threads:
        thread.join(5)
    assert disk.done() == [0, 1]
