"""A spool that waits for room, and is opened again after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from mesh import AsyncSpool, ClosedError, LocalProtocolError, SpoolError
from mesh.spool import keeper as module
from mesh.spool.keeper import Keeper
from mesh.workers.actions import Say
from tests.helpers import async_wait_until


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long."""
    monkeypatch.setattr(module, "_ROOM_S", 0.01)
    monkeypatch.setattr(module, "_PAUSE_S", 0.01)


class Failing(AsyncSpool):
    """A spool that takes nothing after a failure, as a real one; there is one as long as some are left."""

    def __init__(self, path: Path, failures: list[Exception]) -> None:
        super().__init__(path, deliver=False)
        self.failures = failures
        self.failure: Exception | None = None

    async def put_many(self, method: str, bodies: Iterable[bytes], **options: Any) -> list[int]:
        if self.failure is None and self.failures:
            self.failure = self.failures.pop(0)
        if self.failure is not None:
            raise self.failure
        return await super().put_many(method, bodies, **options)


def told(said: list[Say]) -> list[str]:
    return [say.event for say in said]


def quota(path: Path, **settings: Any) -> Callable[[], AsyncSpool]:
    return lambda: AsyncSpool(path, deliver=False, **settings)


def test_it_waits_for_room_and_says_so_once(tmp_path: Path) -> None:
    async def main() -> None:
        said: list[Say] = []
        keeper = Keeper(quota(tmp_path, records_max=2, when_full="reject"), said.append)
        await keeper.open()
        assert await keeper.put_many("w.i", [b"1", b"2"]) == [1, 2]
        waiting = [asyncio.create_task(keeper.put_many("w.i", [b"%d" % number])) for number in (3, 4)]
        await async_wait_until(lambda: said)
        assert not any(task.done() for task in waiting)
        async with AsyncSpool(tmp_path, deliver=False) as other:
            assert await other.purge([1, 2], state="ready") == 2
        assert sorted([(await task)[0] for task in waiting]) == [3, 4]
        assert told(said) == ["full", "stored"]
        assert said[0].trouble
        assert said[0].text.endswith("senders wait until there is room")
        await keeper.close()

    asyncio.run(main())


def test_it_opens_a_spool_that_failed_again_with_growing_pauses_until_it_stores(tmp_path: Path) -> None:
    async def main() -> None:
        said: list[Say] = []
        failures: list[Exception] = [SpoolError(f"disk {number}") for number in range(2)]
        made: list[Failing] = []

        def make() -> AsyncSpool:
            made.append(Failing(tmp_path, failures))
            return made[-1]

        keeper = Keeper(make, said.append)
        await keeper.open()
        puts = [asyncio.create_task(keeper.put_many("w.i", [b"%d" % number], stream="s")) for number in range(2)]
        assert sorted([(await put)[0] for put in puts]) == [1, 2]
        assert told(said) == ["failed", "failed", "stored"], "two puts failed with the same spool"
        assert [say.facts["retry_s"] for say in said[:2]] == [0.01, 0.02]
        assert "disk 0; nothing is stored or acknowledged meanwhile" in said[0].text
        assert len(made) == 3
        with pytest.raises(ClosedError):
            await made[0].stats()
        stats = await keeper.stats()
        assert stats is not None
        assert stats.ready == 2
        await keeper.close()

    asyncio.run(main())


def test_a_spool_that_cannot_be_opened_is_tried_again(tmp_path: Path) -> None:
    async def main() -> None:
        said: list[Say] = []
        path = tmp_path / "spool"
        keeper = Keeper(lambda: Failing(path, failures), said.append)
        failures: list[Exception] = []
        await keeper.open()
        failures.append(SpoolError("the disk has gone"))
        path.rename(tmp_path / "away")
        path.write_text("no directory")
        put = asyncio.create_task(keeper.put_many("w.i", [b"x"]))
        await async_wait_until(lambda: len(said) >= 2)
        path.unlink()
        (tmp_path / "away").rename(path)
        assert await put == [1]
        assert "the disk has gone" in said[0].text
        assert f"{path} cannot be used as a spool" in said[1].text
        await keeper.close()

    asyncio.run(main())


def test_the_newest_records_are_those_that_were_put_last_and_still_wait(tmp_path: Path) -> None:
    async def main() -> None:
        keeper = Keeper(quota(tmp_path), lambda say: None)
        await keeper.open()
        assert [record async for record in keeper.newest(2)] == []
        await keeper.put_many("w.i", [b"1", b"2"])
        await keeper.put_many("w.other", [b"3", b"4"])
        async with AsyncSpool(tmp_path, deliver=False) as other:
            await other.purge([4], state="ready")
        assert [record.body async for record in keeper.newest(3)] == [b"2", b"3"]
        await keeper.put_many("w.i", [b"%d" % number for number in range(200)])
        assert [record.body async for record in keeper.newest(120)] == [b"%d" % number for number in range(80, 200)]
        await keeper.close()
        with pytest.raises(ClosedError):
            await anext(keeper.newest(1))

    asyncio.run(main())


def test_what_cannot_be_sent_is_an_error_of_the_caller(tmp_path: Path) -> None:
    async def main() -> None:
        keeper = Keeper(quota(tmp_path), lambda say: None)
        await keeper.open()
        with pytest.raises(LocalProtocolError):
            await keeper.put_many("x" * 300, [b""])
        await keeper.close()

    asyncio.run(main())


@pytest.mark.parametrize("failures", [[], [SpoolError("disk")] * 1000])
def test_nobody_waits_after_the_end(tmp_path: Path, failures: list[Exception]) -> None:
    async def main() -> None:
        keeper = Keeper(lambda: Failing(tmp_path, failures), lambda say: None)
        await keeper.open()
        put = asyncio.create_task(keeper.put_many("w.i", [b"x"])) if failures else None
        await asyncio.sleep(0)
        await keeper.close()
        for last in filter(None, [put, asyncio.create_task(keeper.put_many("w.i", [b"x"]))]):
            with pytest.raises(ClosedError):
                await last
        assert await keeper.stats() is None

    asyncio.run(main())
