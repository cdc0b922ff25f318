"""Deferred calls: accepted on disk, made when it can be, and their outcomes kept."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mesh.errors import (
    CallTimeout,
    LocalProtocolError,
    MeshError,
    NoServer,
    OutcomeUnknown,
    RemoteError,
    SpoolError,
    SpoolFull,
    Status,
)
from mesh.spool.deferred import Contract, DeferredCalls
from mesh.spool.outcomes import DeferredOutcome
from tests.helpers import async_wait_until


class Mesh:
    """A client, and servers behind it that do what a test says."""

    def __init__(self) -> None:
        self.does: list[MeshError | list[bytes] | asyncio.Event] = []
        """What happens next, in order; then every call is answered with what it was."""
        self.asked: list[tuple[str, list[bytes], Any]] = []
        self.repeats = True

    async def request(self, method: str, body: list[bytes], within_s: float, *, key: object, metadata: object) -> Any:
        self.asked.append((method, body, key))
        does = self.does.pop(0) if self.does else body
        if isinstance(does, asyncio.Event):
            does.set()
            await asyncio.Event().wait()
        if isinstance(does, MeshError):
            raise does
        return SimpleNamespace(frames=does, peer_id="s1")

    async def look_up(self, method: str) -> Contract:
        return Contract(self.repeats, raw=True)


@pytest.fixture
def mesh() -> Mesh:
    return Mesh()


def opened(directory: Path, mesh: Mesh, **settings: Any) -> DeferredCalls:
    client: Any = mesh
    return DeferredCalls(directory, client, mesh.look_up, **settings)


async def ended(calls: DeferredCalls, name: str) -> DeferredOutcome:
    await async_wait_until(lambda: name not in calls._open)
    outcome = await calls.outcome(name)
    assert outcome is not None
    return outcome


def test_a_call_is_made_and_its_answer_kept(tmp_path: Path, mesh: Mesh) -> None:
    async def main() -> None:
        async with opened(tmp_path, mesh) as calls:
            name = await calls.put("calc.add", [b"1", b"2"], key=b"k", metadata={"traceparent": "x"})
            outcome = await ended(calls, name)
            assert (outcome.state, outcome.frames, outcome.peer_id) == ("answered", [b"1", b"2"], "s1")
            assert calls.waiting == 0
        async with opened(tmp_path, mesh) as calls:
            assert await calls.outcome(name) == outcome
            assert await calls.outcome("nobody") is None
        assert mesh.asked == [("calc.add", [b"1", b"2"], b"k")]

    asyncio.run(main())


def test_a_call_waits_as_long_as_nobody_is_there(tmp_path: Path, mesh: Mesh) -> None:
    async def main() -> None:
        mesh.does = [NoServer("calc.add: no server within 1 s."), RemoteError("busy", code=Status.UNAVAILABLE)]
        async with opened(tmp_path, mesh) as calls:
            name = await calls.put("calc.add", [b""])
            outcome = await ended(calls, name)
        assert (outcome.state, outcome.tries) == ("answered", 3)
        assert {key for _, _, key in mesh.asked} == {name}, "the key of every try is the same"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("error", "code", "kind", "problem"),
    [
        (
            RemoteError("no such order", code=Status.NOT_FOUND, type="KeyError"),
            "NOT_FOUND",
            "KeyError",
            "no such order",
        ),
        (LocalProtocolError("a body too long"), "INVALID_ARGUMENT", "LocalProtocolError", "a body too long"),
        (
            OutcomeUnknown("its server was lost"),
            "ABORTED",
            "OutcomeUnknown",
            "its server was lost; it may or may not have run, and must not run twice",
        ),
    ],
)
def test_a_call_that_no_other_try_could_help_fails(
    tmp_path: Path, mesh: Mesh, error: MeshError, code: str, kind: str, problem: str
) -> None:
    async def main() -> None:
        mesh.does = [error]
        async with opened(tmp_path, mesh) as calls:
            outcome = await ended(calls, await calls.put("calc.add", [b""]))
        assert (outcome.state, outcome.code, outcome.type, outcome.problem) == ("failed", code, kind, problem)

    asyncio.run(main())


@pytest.mark.parametrize(("repeats", "state", "made"), [(True, "answered", 2), (False, "failed", 1)])
def test_a_call_without_an_answer_is_made_again_if_it_may_be(
    tmp_path: Path, mesh: Mesh, repeats: bool, state: str, made: int
) -> None:
    async def main() -> None:
        mesh.repeats = repeats
        mesh.does = [CallTimeout("calc.add: no answer within 30 s.")]
        async with opened(tmp_path, mesh) as calls:
            outcome = await ended(calls, await calls.put("calc.add", [b""]))
        assert (outcome.state, len(mesh.asked)) == (state, made)

    asyncio.run(main())


@pytest.mark.parametrize(("repeats", "state", "made"), [(True, "answered", 2), (False, "failed", 1)])
def test_a_call_under_way_when_the_process_ended_is_made_again_if_it_may_be(
    tmp_path: Path, mesh: Mesh, repeats: bool, state: str, made: int
) -> None:
    async def main() -> None:
        mesh.repeats = repeats
        under_way = asyncio.Event()
        mesh.does = [under_way]
        async with opened(tmp_path, mesh, drain_s=0.01) as calls:
            name = await calls.put("calc.add", [b"x"])
            await under_way.wait()
        async with opened(tmp_path, mesh) as calls:
            outcome = await ended(calls, name)
        assert (outcome.state, len(mesh.asked)) == (state, made)
        if not repeats:
            assert outcome.problem.startswith("it had begun when the process that made it ended; it may or may not")

    asyncio.run(main())


def test_a_call_that_has_not_run_is_no_suspect_afterwards(tmp_path: Path, mesh: Mesh) -> None:
    async def main() -> None:
        mesh.repeats = False
        mesh.does = [NoServer("calc.add: no server within 1 s."), [b"3"]]
        async with opened(tmp_path, mesh) as calls:
            assert (await ended(calls, await calls.put("calc.add", [b""]))).frames == [b"3"]

    asyncio.run(main())


def test_a_call_with_a_term_is_not_begun_after_it(tmp_path: Path, mesh: Mesh) -> None:
    async def main() -> None:
        now = 1000.0
        mesh.does = [NoServer("nobody.")]
        async with opened(tmp_path, mesh, clock=lambda: now) as calls:
            name = await calls.put("calc.add", [b""], within_s=60.0)
            await async_wait_until(lambda: len(mesh.asked) == 1)
            now = 1061.0
            outcome = await ended(calls, name)
        assert (outcome.state, outcome.code) == ("failed", "DEADLINE_EXCEEDED")
        assert outcome.problem == "no server could begin it in time. nobody."

    asyncio.run(main())


def test_how_a_call_stands_is_told_meanwhile(tmp_path: Path, mesh: Mesh) -> None:
    async def main() -> None:
        under_way = asyncio.Event()
        mesh.does = [NoServer("nobody."), under_way]
        async with opened(tmp_path, mesh) as calls:
            name = await calls.put("calc.add", [b""])
            await async_wait_until(lambda: len(mesh.asked) == 1)
            await under_way.wait()
            outcome = await calls.outcome(name)
            assert outcome is not None
            assert (outcome.state, outcome.tries, outcome.problem, outcome.ended_at) == ("running", 2, "nobody.", 0.0)

    asyncio.run(main())


def test_a_call_whose_caller_hangs_up_while_it_is_kept_is_made(tmp_path: Path, mesh: Mesh) -> None:
    async def main() -> None:
        async with opened(tmp_path, mesh) as calls:
            putting = asyncio.create_task(calls.put("calc.add", [b"x"]))
            await asyncio.sleep(0)
            putting.cancel()
            await async_wait_until(lambda: len(mesh.asked) == 1 and calls.waiting == 0)
            assert putting.cancelled()

    asyncio.run(main())


def test_a_call_that_must_not_run_twice_may_end_before_it_stops(tmp_path: Path, mesh: Mesh) -> None:
    async def main() -> None:
        mesh.repeats = False
        begun, goes_on = asyncio.Event(), asyncio.Event()

        async def request(method: str, body: list[bytes], *_: object, **__: object) -> Any:
            begun.set()
            await goes_on.wait()
            return SimpleNamespace(frames=body, peer_id="s1")

        mesh.request = request  # type: ignore[method-assign]
        async with opened(tmp_path, mesh) as calls:
            name = await calls.put("calc.add", [b"x"])
            await begun.wait()
            asyncio.get_running_loop().call_soon(goes_on.set)
        async with opened(tmp_path, mesh) as calls:
            outcome = await calls.outcome(name)
        assert outcome is not None
        assert (outcome.state, outcome.frames) == ("answered", [b"x"])

    asyncio.run(main())


def test_more_calls_than_may_wait_are_refused(tmp_path: Path, mesh: Mesh) -> None:
    async def main() -> None:
        mesh.does = [asyncio.Event(), asyncio.Event()]
        async with opened(tmp_path, mesh, calls_max=2) as calls:
            for _ in range(2):
                await calls.put("calc.add", [b""])
            with pytest.raises(SpoolFull):
                await calls.put("calc.add", [b""])

    asyncio.run(main())


def test_one_process_at_a_time_uses_a_directory(tmp_path: Path, mesh: Mesh) -> None:
    async def main() -> None:
        async with opened(tmp_path, mesh):
            with pytest.raises(SpoolError, match=r"is in use by another process; give each its own directory"):
                await opened(tmp_path, mesh).__aenter__()

    asyncio.run(main())


def test_outcomes_are_forgotten_when_they_are_old_or_too_many(tmp_path: Path, mesh: Mesh) -> None:
    async def main() -> None:
        now = 1000.0
        async with opened(tmp_path, mesh, keep_s=100.0, octets_max=3000, clock=lambda: now) as calls:
            names = []
            for _ in range(4):
                names.append(await calls.put("calc.add", [b"x" * 900]))
                await ended(calls, names[-1])
            assert [await calls.outcome(name) is None for name in names] == [True, True, False, False]
            now = 1101.0
            await ended(calls, await calls.put("calc.add", [b""]))
            assert await calls.outcome(names[-1]) is None

    asyncio.run(main())


def test_a_call_whose_outcome_is_on_disk_is_not_made_again(tmp_path: Path, mesh: Mesh) -> None:
    async def main() -> None:
        async with opened(tmp_path, mesh) as calls:

            async def fails(*_: object) -> int:
                raise SpoolError("killed between the outcome and the removal")

            calls._store.settle_async = fails  # type: ignore[assignment,method-assign]
            name = await calls.put("calc.add", [b"x"])
            await ended(calls, name)
        async with opened(tmp_path, mesh) as calls:
            assert calls.waiting == 0
            assert calls._store.ready() == 0
        assert len(mesh.asked) == 1

    asyncio.run(main())


def test_outcomes_of_another_version_are_left_alone(tmp_path: Path, mesh: Mesh) -> None:
    with sqlite3.connect(tmp_path / "outcomes.db") as other:
        other.execute("PRAGMA user_version=7")

    async def main() -> None:
        with pytest.raises(SpoolError, match=r"another version of this program \(form 7; this one reads 1\)"):
            await opened(tmp_path, mesh).__aenter__()

    asyncio.run(main())
