"""Handlers run, and whatever they return or raise is an answer."""

from __future__ import annotations

import asyncio
import gc
import sys
import time

import pytest

from mesh.core.work import Work
from mesh.errors import Status
from mesh.request import Request
from mesh.runner import MethodRunner
from mesh.service import Service


def _runner(service: Service, *, expose: bool = True) -> MethodRunner:
    return MethodRunner(service.methods, expose)


def _work(method: str, *frames: bytes, deadline: float | None = None) -> Work:
    return Work(b"client", (), True, 1, method, list(frames), deadline, key=b"key", attempt=2)


def test_one_frame_is_a_body_and_several_are_a_list() -> None:
    service = Service("s")
    service.method(name="one", raw=True)(lambda request: request.body)
    service.method(name="all", raw=True)(lambda request: request.frames)
    runner = _runner(service)
    assert runner.run(_work("s.one", b"a", b"b")).body == b"a"
    assert runner.run(_work("s.all", b"a", b"b")).body == [b"a", b"b"]
    assert runner.run(_work("s.all")).body == []


def test_the_request_has_what_came_with_the_call() -> None:
    seen: list[Request] = []
    service = Service("s")

    @service.method(raw=True)
    def see(request: Request) -> bytes:
        seen.append(request)
        return b""

    _runner(service).run(_work("s.see", b"x", deadline=1e9))
    (request,) = seen
    assert (request.method, request.frames, request.key, request.attempt) == ("s.see", [b"x"], b"key", 2)
    assert (dict(request.metadata), request.deadline) == ({}, 1e9)


@pytest.mark.parametrize("why", ["expired", "cancelled"])
def test_what_nobody_waits_for_is_not_begun(why: str) -> None:
    service = Service("s")
    begun: list[str] = []

    @service.method(raw=True)
    def now(request: Request) -> bytes:
        begun.append("now")
        return b""

    @service.method(raw=True)
    async def later(request: Request) -> bytes:
        begun.append("later")
        return b""

    runner = _runner(service)
    works = [
        _work(method, deadline=time.monotonic() - 0.001 if why == "expired" else None) for method in service.methods
    ]
    for work in works:
        work.cancelled = why == "cancelled"
    assert [runner.run(works[0]).ran, asyncio.run(runner.run_async(works[1])).ran] == [False, False]
    assert begun == []


def test_what_a_handler_raises_is_an_answer_with_a_status() -> None:
    service = Service("s")

    @service.method(raw=True)
    def fail(request: Request) -> bytes:
        raise LookupError("gone")

    reply = _runner(service).run(_work("s.fail"))
    assert reply.status == Status.UNKNOWN
    assert reply.detail is not None
    assert (reply.detail.type, reply.detail.message) == ("LookupError", "gone")
    assert "in fail" in reply.detail.traceback
    hidden = _runner(service, expose=False).run(_work("s.fail")).detail
    assert hidden is not None
    assert hidden.traceback == ""


def test_cancelling_tells_the_request_of_a_sync_handler() -> None:
    service = Service("s")
    work = _work("s.look")

    @service.method
    def look(request: Request) -> list[bool]:
        before = request.cancelled
        runner.cancel(work)
        return [before, request.cancelled]

    runner = _runner(service)
    assert runner.run(work).body == b"\x92\xc2\xc3"


def test_cancelling_what_has_not_begun_does_nothing() -> None:
    _runner(Service("s")).cancel(_work("s.none"))


def test_cancelling_ends_a_coroutine_handler_and_is_an_answer() -> None:
    service = Service("s")
    entered = asyncio.Event()

    @service.method
    async def wait() -> None:
        entered.set()
        await asyncio.Event().wait()

    async def main() -> int:
        runner = _runner(service)
        work = _work("s.wait")
        task = asyncio.create_task(runner.run_async(work))
        await entered.wait()
        work.cancelled = True
        task.cancel()
        return (await task).status

    assert asyncio.run(main()) != Status.OK


def test_nothing_of_a_coroutine_handler_is_kept_when_it_has_ended() -> None:
    service = Service("s")

    @service.method(raw=True)
    async def take(request: Request) -> bytes:
        return request.body

    async def run() -> int:
        body = bytes(bytearray(1000))
        held = sys.getrefcount(body)
        gc.disable()  # it could not part what has no part in it
        try:
            await asyncio.create_task(_runner(service).run_async(_work("s.take", body)))
            await asyncio.sleep(0)  # only then the loop lets go of the task
        finally:
            gc.enable()
        return sys.getrefcount(body) - held

    assert asyncio.run(run()) == 0


def test_a_handler_that_leaves_by_sys_exit_does_not_take_its_server_along() -> None:
    service = Service("s")
    service.method(name="leave", raw=True)(lambda request: sys.exit("bye"))

    @service.method(raw=True)
    async def later(request: Request) -> bytes:
        raise SystemExit(3)

    runner = _runner(service)
    for reply in (runner.run(_work("s.leave")), asyncio.run(runner.run_async(_work("s.later")))):
        assert reply.status == Status.UNKNOWN
        assert reply.detail is not None
        assert reply.detail.type == "SystemExit"
