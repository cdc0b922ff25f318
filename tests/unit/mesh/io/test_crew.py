"""Workers that run coroutine handlers: to a handler its worker is a task of its own, and nothing of it is left."""

from __future__ import annotations

import asyncio
import contextvars
import sys
import time
import weakref
from collections.abc import Awaitable, Callable, Generator
from typing import Any, cast

import pytest

from mesh.core.events import ReplyGiven
from mesh.core.work import Work
from mesh.errors import Status
from mesh.io import crew as crew_module
from mesh.io.crew import Crew
from mesh.runner import MethodRunner
from mesh.service import Service
from tests.helpers import PATIENCE_S, async_wait_until

VARIABLE = contextvars.ContextVar("VARIABLE", default="nobody's")


class Hands:
    """A crew whose handlers are functions of the test, called by number."""

    def __init__(self, *handlers: Callable[[], Awaitable[object]]) -> None:
        service = Service("s")
        for number, handler in enumerate(handlers):
            service.method(name=f"m{number}")(_returning_nothing(handler))
        self.runner = MethodRunner(service.methods, expose_tracebacks=False)
        self.replies: list[ReplyGiven] = []
        self.crew = Crew(asyncio.get_running_loop(), self.runner.run_async, self.replies.append)

    def run(self, *numbers: int) -> list[Work]:
        works = [Work(b"", (), True, index, f"s.m{number}", [b""], None) for index, number in enumerate(numbers)]
        self.crew.run(works)
        return works

    async def ended(self, count: int) -> list[ReplyGiven]:
        """Return the results, once there are so many."""
        await async_wait_until(lambda: len(self.replies) >= count)
        assert len(self.replies) == count
        return self.replies

    def cancel(self, work: Work) -> None:
        work.cancelled = True
        self.crew.cancel(work)

    async def close(self) -> None:
        if left := self.crew.close():
            _, pending = await asyncio.wait(left, timeout=PATIENCE_S)
            assert not pending


def _returning_nothing(handler: Callable[[], Awaitable[object]]) -> Callable[[], Awaitable[None]]:
    async def handle() -> None:
        await handler()

    return handle


def _hold(seconds: float) -> None:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def own() -> asyncio.Task[object]:
    task = asyncio.current_task()
    assert task is not None
    return task


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await main()

    asyncio.run(bounded())


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn lasts, however busy the machine is."""
    monkeypatch.setattr(crew_module, "_TURN_S", 60.0)


@pytest.mark.usefixtures("patient")
def test_handlers_that_do_not_wait_run_in_order_in_one_task_and_one_turn_of_the_loop() -> None:
    async def main() -> None:
        ran: list[str] = []

        async def work() -> None:
            ran.append(own().get_name())

        hands = Hands(work)
        works = hands.run(*[0] * 20)
        await asyncio.sleep(0)
        assert [reply.work for reply in hands.replies] == works
        assert ran == ["mesh-coroutines-1"] * 20
        hands.run(*[0] * 20)  # by the one that is idle now
        await hands.ended(40)
        assert set(ran) == {"mesh-coroutines-1"}
        await hands.close()

    run(main)


def test_a_handler_that_waits_keeps_its_task_and_its_context_and_holds_up_nobody() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        seen: list[tuple[asyncio.Task[object], str]] = []

        async def wait() -> None:
            task = own()
            VARIABLE.set(task.get_name())
            await asyncio.sleep(0)
            assert (own(), VARIABLE.get()) == (task, task.get_name())
            await gate.wait()
            assert await asyncio.create_task(look()) == task.get_name(), "children inherit the context"
            seen.append((own(), VARIABLE.get()))
            assert own() is task

        async def look() -> str:
            return VARIABLE.get()

        async def pass_by() -> None:
            assert VARIABLE.get() == "nobody's"
            VARIABLE.set("mine")

        hands = Hands(wait, pass_by)
        hands.run(0, 1, 0, 1, 1)
        await hands.ended(3)
        gate.set()
        await hands.ended(5)
        assert [task.get_name() for task, _ in seen] == [name for _, name in seen]
        assert len(set(seen)) == 2
        hands.run(1, 1)
        assert all(reply.status == 0 for reply in await hands.ended(7))
        await hands.close()

    run(main)


@pytest.mark.usefixtures("patient")
def test_a_thousand_handlers_wait_at_the_same_time_and_begin_within_some_turns() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        waiting = 0

        async def wait() -> None:
            nonlocal waiting
            waiting += 1
            await gate.wait()

        hands = Hands(wait)
        hands.run(*[0] * 1000)
        turns = 0
        while waiting < 1000:
            await asyncio.sleep(0)
            turns += 1
        assert turns < 20, "not one by one"
        gate.set()
        await hands.ended(1000)
        await async_wait_until(lambda: len(asyncio.all_tasks()) <= 1 + crew_module._IDLE_MAX)
        await hands.close()
        assert len(asyncio.all_tasks()) == 1

    run(main)


@pytest.mark.parametrize("bound", ["calls", "time"])
def test_workers_give_the_loop_a_turn_now_and_then(monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    if bound == "calls":
        monkeypatch.setattr(crew_module, "_TURN_S", 60.0)

    async def main() -> None:
        async def work() -> None:
            if bound == "time":
                _hold(0.0005)

        hands = Hands(work)
        hands.run(*[0] * 200)
        at: list[int] = []
        while len(hands.replies) < 200:
            await asyncio.sleep(0)
            at.append(len(hands.replies))
        assert max(after - before for before, after in zip([0, *at], at, strict=False)) <= 32
        assert len(at) >= (200 / 4 if bound == "time" else 200 / 32)
        await hands.close()

    run(main)


def test_timeouts_groups_and_waits_work_within_a_handler() -> None:
    async def main() -> None:
        async def fail() -> None:
            raise LookupError

        async def group() -> None:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(fail())
                await asyncio.Event().wait()

        async def use() -> None:
            for _ in range(2):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(0.001):
                        await asyncio.Event().wait()
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.Event().wait(), 0.001)
            with pytest.raises(ExceptionGroup):
                await group()
            assert own().cancelling() == 0

        async def quick() -> None:
            await asyncio.sleep(0)

        hands = Hands(use, quick)
        hands.run(0, 0, 1, 1)
        assert [reply.status for reply in await hands.ended(4)] == [0] * 4
        await hands.close()

    run(main)


@pytest.mark.parametrize("swallows", [False, True])
def test_a_cancelled_handler_ends_and_its_worker_serves_no_other(swallows: bool) -> None:
    async def main() -> None:
        tasks: list[asyncio.Task[object]] = []
        entered = asyncio.Event()

        async def wait() -> None:
            tasks.append(own())
            entered.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                if not swallows:
                    raise

        async def next_one() -> None:
            assert own() is not tasks[0]
            await asyncio.sleep(0)

        hands = Hands(wait, next_one)
        [work] = hands.run(0)
        await entered.wait()
        hands.cancel(work)
        [reply] = await hands.ended(1)
        assert reply.status == (0 if swallows else Status.UNKNOWN)
        hands.run(1, 1, 1)
        assert [reply.status for reply in (await hands.ended(4))[1:]] == [0] * 3
        assert tasks[0].done()
        await hands.close()

    run(main)


@pytest.mark.usefixtures("patient")
def test_a_cancellation_that_comes_too_late_hits_no_other_call() -> None:
    async def main() -> None:
        gate = asyncio.Event()
        entered: list[asyncio.Task[object]] = []

        async def first() -> None:
            entered.append(own())
            await gate.wait()

        async def second() -> None:
            entered.append(own())
            await asyncio.sleep(0)
            await asyncio.sleep(0)

        hands = Hands(first, second)
        [work] = hands.run(0)
        await async_wait_until(lambda: entered)
        gate.set()
        hands.run(1)
        asyncio.get_running_loop().call_soon(
            hands.cancel, work
        )  # then the first has ended, its worker is at the second
        assert [reply.status for reply in await hands.ended(2)] == [0, 0]
        assert entered[0] is entered[1]
        await hands.close()

    run(main)


def test_a_handler_that_cancels_its_own_task_spoils_no_other_call() -> None:
    async def main() -> None:
        async def cancel_itself() -> None:
            own().cancel()

        async def wait() -> None:
            await asyncio.sleep(0)

        hands = Hands(cancel_itself, wait)
        hands.run(0, 1, 0, 1, 1)
        assert [reply.status for reply in await hands.ended(5)] == [0] * 5
        await hands.close()

    run(main)


def test_what_handlers_raise_is_their_result_and_others_go_on() -> None:
    async def main() -> None:
        async def fail() -> None:
            raise LookupError

        async def fail_later() -> None:
            await asyncio.sleep(0)
            raise SystemExit(3)

        async def work() -> None:
            pass

        hands = Hands(fail, fail_later, work)
        hands.run(0, 1, 2)
        kinds = {reply.detail.type if reply.detail else "" for reply in await hands.ended(3)}
        assert kinds == {"LookupError", "SystemExit", ""}
        await hands.close()

    run(main)


@pytest.mark.parametrize("when", ["idle", "roused", "new"])
def test_a_worker_that_a_stranger_cancels_leaves_what_waits_to_others(when: str) -> None:
    async def main() -> None:
        async def work() -> None:
            pass

        def cancel_workers() -> None:
            for task in asyncio.all_tasks() - {own()}:
                task.cancel()

        hands = Hands(work)
        if when != "new":
            hands.run(0)
            await hands.ended(1)
            hands.replies.clear()
        if when == "idle":
            cancel_workers()
        hands.run(0, 0)
        if when != "idle":
            cancel_workers()
        assert [reply.status for reply in await hands.ended(2)] == [0, 0]
        await hands.close()

    run(main)


def test_no_factory_of_the_program_makes_the_workers() -> None:
    """One that begins a task at once, such as asyncio's eager one, would begin it before the crew knows it."""

    def refuse(loop: asyncio.AbstractEventLoop, coro: Any, **options: Any) -> asyncio.Task[Any]:
        raise AssertionError(f"asked to make {coro}")

    async def at_once() -> None:
        pass

    async def main() -> None:
        hands = Hands(at_once)
        asyncio.get_running_loop().set_task_factory(refuse)
        hands.run(0, 0)
        await hands.ended(2)
        asyncio.get_running_loop().set_task_factory(None)
        await hands.close()

    run(main)


def test_nothing_is_kept_of_what_a_handler_has_waited_for_or_of_calls_that_have_ended() -> None:
    async def main() -> None:
        gone: list[weakref.ref[asyncio.Future[None]]] = []
        gate = asyncio.Event()

        async def wait() -> None:
            future = asyncio.get_running_loop().create_future()
            gone.append(weakref.ref(future))
            asyncio.get_running_loop().call_soon(future.set_result, None)
            await future
            del future
            await gate.wait()

        hands = Hands(wait)
        [work] = hands.run(0)
        await async_wait_until(lambda: gone and gone[0]() is None)
        gate.set()
        await hands.ended(1)
        hands.replies.clear()
        await async_wait_until(lambda: sys.getrefcount(work) == 2)  # ours, and that of the question
        await hands.close()

    run(main)


def test_closing_cancels_what_runs_and_drops_what_waits() -> None:
    async def main() -> None:
        ended: list[str] = []

        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("waited")

        async def never() -> None:
            raise AssertionError

        hands = Hands(wait, never)
        hands.run(0, 0)
        await async_wait_until(lambda: len(asyncio.all_tasks()) > 2)
        await asyncio.sleep(0)
        hands.run(1)
        await hands.close()
        hands.run(1)
        await asyncio.sleep(0)
        assert ended == ["waited"] * 2
        assert len(asyncio.all_tasks()) == 1

    run(main)


def test_a_handler_that_outlives_its_loop_is_closed_in_its_context() -> None:
    closed: list[str] = []

    async def wait() -> None:
        VARIABLE.set("mine")
        try:
            await asyncio.Event().wait()
        except GeneratorExit:
            closed.append(VARIABLE.get())
            raise

    async def main() -> None:
        hands = Hands(wait)
        coroutine = hands.crew._run(Work(b"", (), True, 1, "s.m0", [b""], None))
        context = contextvars.copy_context()
        waits_for = context.run(coroutine.send, None)
        rest = cast(Generator[Any, None, object], crew_module._rest(coroutine, context, waits_for))
        assert next(rest) is waits_for
        rest.close()

    run(main)
    assert closed == ["mine"]
