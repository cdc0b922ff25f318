"""What a task awaits in place of a future."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import Any, TypeAlias

import pytest

from mesh.io.waiter import Waiter

_Make: TypeAlias = Callable[[Coroutine[Any, Any, Any]], "asyncio.Task[Any]"]
_WHERE: ContextVar[str] = ContextVar("where", default="nowhere")


@pytest.fixture(params=["C", "Python"])
def make(request: pytest.FixtureRequest) -> _Make:
    """Make a task of the kind that CPython has in C, or of the one in Python that debuggers and others use."""
    if request.param == "C":
        return lambda work: asyncio.get_running_loop().create_task(work)
    kind = asyncio.tasks._PyTask  # type: ignore[attr-defined]
    return lambda work: kind(work, loop=asyncio.get_running_loop())


async def wait(waiter: Waiter) -> str:
    _WHERE.set("in its task")
    await waiter
    return _WHERE.get()


def test_a_task_goes_on_at_once_and_in_its_context(make: _Make) -> None:
    async def main() -> str:
        waiter = Waiter(asyncio.get_running_loop())
        task = make(wait(waiter))
        await asyncio.sleep(0)
        assert "pending" in repr(waiter)
        assert repr(waiter) in repr(task)
        asyncio.get_running_loop().call_soon(waiter.end)  # outside of any task, as a driver is
        asyncio.get_running_loop().call_soon(lambda: ended.append(task.done()))
        assert await task == "in its task"
        assert _WHERE.get() == "nowhere"
        return repr(waiter)

    ended: list[bool] = []
    assert "done" in asyncio.run(main())
    assert ended == [True]


def test_what_has_ended_is_not_waited_for(make: _Make) -> None:
    async def main() -> str:
        waiter = Waiter(asyncio.get_running_loop())
        waiter.end()
        waiter.end()
        task = make(wait(waiter))
        await asyncio.sleep(0)
        assert task.done()
        return str(await task)

    assert asyncio.run(main()) == "in its task"


def test_a_task_that_is_cancelled_hears_why_and_of_no_end(make: _Make) -> None:
    async def main() -> None:
        waiter = Waiter(asyncio.get_running_loop())
        task = make(wait(waiter))
        await asyncio.sleep(0)
        assert task.cancel("no time")
        waiter.end()
        assert "cancelled" in repr(waiter)
        with pytest.raises(asyncio.CancelledError, match="no time"):
            await task

    asyncio.run(main())


def test_a_task_that_is_cancelled_before_it_waits_does_not_wait(make: _Make) -> None:
    async def cancel_and_wait(waiter: Waiter) -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await waiter

    async def main() -> None:
        task = make(cancel_and_wait(Waiter(asyncio.get_running_loop())))
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())


def test_a_timeout_ends_the_wait_and_not_the_task(make: _Make) -> None:
    async def impatient(waiter: Waiter) -> str:
        try:
            async with asyncio.timeout(0.001):
                await waiter
        except TimeoutError:
            return "went on"
        return "waited"

    async def main() -> str:
        return str(await make(impatient(Waiter(asyncio.get_running_loop()))))

    assert asyncio.run(main()) == "went on"


def test_an_end_that_is_on_its_way_is_not_cancelled() -> None:
    waiter = Waiter(asyncio.new_event_loop(), done=True)
    waiter.loop.close()
    assert not waiter.cancel()
    waiter.result()
