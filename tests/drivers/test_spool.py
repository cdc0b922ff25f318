"""What a spool promises to whoever puts: on disk when put returns, within its quota, one answer for each misuse."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mesh import (
    AsyncSpool,
    ClientConfig,
    ClosedError,
    ConfigError,
    ForkedError,
    Limits,
    LocalProtocolError,
    Spool,
    SpoolEntry,
    SpoolError,
    SpoolFull,
)
from mesh.spool.store import Store
from tests.drivers.adapter import Driver
from tests.helpers import async_wait_until


def store_of(spool: AsyncSpool) -> Store:
    assert spool._store is not None
    return spool._store


def bodies(entries: list[SpoolEntry]) -> list[bytes]:
    return [entry.record.body for entry in entries if entry.record is not None]


async def test_what_was_put_is_there_after_it_was_opened_again(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s", clock=lambda: 1000.5) as spool:
        assert await spool.put("a.b", b"one") == 1
        others: list[Any] = [b"two", bytearray(b"three"), memoryview(b"")]
        assert await spool.put_many("a.c", others, stream="s") == [2, 3, 4]
        assert await spool.put_many("a.b", []) == []
    async with driver.spool(tmp_path / "s") as spool:
        entries = await spool.peek(10)
        assert bodies(entries) == [b"one", b"two", b"three", b""]
        record = entries[1].record
        assert record is not None
        assert (record.seq, record.method, record.stream, record.at) == (2, "a.c", "s", 1000.5)
        assert await spool.put("a.b", b"five") == 5


async def test_it_tells_how_it_stands(driver: Driver, tmp_path: Path) -> None:
    now = 1000.0
    async with driver.spool(tmp_path / "s", clock=lambda: now) as spool:
        assert (await spool.stats()).oldest_age_s is None
        await spool.put("a.b", b"x" * 10)
        now = 1004.0
        await spool.put_many("a.c", [b"x"] * 3)
        stats = await spool.stats()
        assert (stats.ready, stats.put, stats.oldest_age_s) == (4, 4, 4.0)
        assert stats.octets == 4 * (48 + 3) + 10 + 3
        assert stats.put_per_s > 0
        store_of(spool).settle("a.b", [(1, 1)])
        await spool.quarantine([2], "no")
        assert await spool.purge([3], state="ready") == 1
        stats = await spool.stats()
        assert (stats.ready, stats.quarantined, stats.delivered, stats.dropped) == (1, 1, 1, 1)
        assert stats.oldest_age_s == 0.0
        assert stats.delivered_per_s > 0
        assert (await spool.stats()).put_per_s == 0


async def test_records_are_set_aside_looked_at_replayed_and_purged(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s") as spool:
        await spool.put_many("a.b", [b"%d" % number for number in range(1, 7)])
        assert await spool.quarantine([2, 3, 4, 99], "it was refused") == 3
        aside = await spool.peek(10, state="quarantined")
        assert [(entry.seq, entry.why, entry.method, entry.state) for entry in aside] == [
            (seq, "it was refused", "a.b", "quarantined") for seq in (2, 3, 4)
        ]
        assert await spool.replay([3]) == 1
        assert bodies(await spool.peek(10)) == [b"1", b"3", b"5", b"6"]
        assert bodies(await spool.peek(2, after=1)) == [b"3", b"5"]
        assert await spool.purge([2]) == 1
        assert await spool.replay() == 1
        assert await spool.purge(state="ready") == 5
        stats = await spool.stats()
        assert (stats.ready, stats.quarantined, stats.octets, stats.dropped) == (0, 0, 0, 6)


async def test_a_full_spool_refuses_where_that_is_the_policy(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s", records_max=2, when_full="reject") as spool:
        await spool.put("a.b", b"1")
        with pytest.raises(SpoolFull, match=r"is full: 1 records wait .* purge, or raise the quota") as raised:
            await spool.put_many("a.b", [b"2", b"3"])
        assert raised.value.path == str(tmp_path / "s")
        await spool.put("a.b", b"2")
        with pytest.raises(SpoolFull):
            await spool.put("a.b", b"3")
        assert bodies(await spool.peek()) == [b"1", b"2"]


async def test_a_full_spool_drops_the_oldest_where_that_is_the_policy(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s", records_max=4, when_full="drop-oldest") as spool:
        for number in range(6):
            await spool.put(f"a.{number % 2}", b"%d" % number)
        await spool.quarantine([3], "no")
        assert bodies(await spool.peek()) == [b"3", b"4", b"5"]
        await spool.put_many("a.2", [b"6", b"7"])
        assert bodies(await spool.peek()) == [b"4", b"5", b"6", b"7"]
        stats = await spool.stats()
        assert (stats.ready, stats.quarantined, stats.dropped) == (4, 0, 4)


async def test_octets_are_limited_too(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s", octets_max=10_000, when_full="drop-oldest") as spool:
        for number in range(5):
            await spool.put("a.b", b"%d" % number * 3000)
        assert [body[:1] for body in bodies(await spool.peek())] == [b"2", b"3", b"4"]
        assert (await spool.stats()).octets <= 10_000


async def test_a_put_waits_for_room(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s", records_max=1) as spool:
        await spool.put("a.b", b"1")
        waiting = asyncio.ensure_future(spool.put("a.b", b"2"))
        await async_wait_until(lambda: store_of(spool)._listeners)
        assert not waiting.done()
        store_of(spool).settle("a.b", [(1, 1)])
        assert await waiting == 2
        assert not store_of(spool)._listeners


async def test_a_put_notices_room_that_another_process_makes(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s", records_max=1) as spool, driver.spool(tmp_path / "s") as other:
        await spool.put("a.b", b"1")
        waiting = asyncio.ensure_future(spool.put("a.b", b"2"))
        await async_wait_until(lambda: store_of(spool)._listeners)
        await other.purge(state="ready")
        assert await waiting == 2


async def test_a_put_waits_no_longer_than_it_may(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s", records_max=1) as spool:
        await spool.put("a.b", b"1")
        with pytest.raises(SpoolFull):
            await spool.put("a.b", b"2", timeout=0.02)
        with pytest.raises(SpoolFull):
            await spool.put("a.b", b"2", timeout=0)


async def test_what_never_fits_does_not_wait(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s", records_max=2, octets_max=1000) as spool:
        with pytest.raises(SpoolFull, match="never fit"):
            await spool.put_many("a.b", [b""] * 3)
        with pytest.raises(SpoolFull, match="never fit"):
            await spool.put("a.b", bytes(1000))


async def test_a_put_that_waits_for_room_ends_with_the_spool(driver: Driver, tmp_path: Path) -> None:
    spool = driver.new_spool(tmp_path / "s", records_max=1)
    await spool.open()
    await spool.put("a.b", b"1")
    waiting = asyncio.ensure_future(spool.put("a.b", b"2"))
    await async_wait_until(lambda: store_of(spool)._listeners)
    await spool.close()
    with pytest.raises(ClosedError):
        await waiting
    await spool.close()


async def test_flush_waits_until_nothing_waits(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s") as spool:
        assert await spool.flush(0)
        await spool.put_many("a.b", [b"1", b"2"])
        assert not await spool.flush(0.01)
        flushing = asyncio.ensure_future(spool.flush(5))
        store_of(spool).settle("a.b", [(1, 1)], {2: "no"})
        assert await flushing


async def test_many_at_once_lose_nothing(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s") as spool:

        async def put(name: int) -> list[int]:
            return [await spool.put("a.b", b"%d %d" % (name, number)) for number in range(10)]

        numbers = await asyncio.gather(*(put(name) for name in range(30)))
        assert sorted(seq for of in numbers for seq in of) == list(range(1, 301))
        entries = {entry.seq: entry.record.body for entry in await spool.peek(1000) if entry.record is not None}
        assert all(entries[seq] == b"%d %d" % (name, i) for name, of in enumerate(numbers) for i, seq in enumerate(of))


async def test_verify_finds_a_sound_spool_in_order(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s") as spool:
        await spool.put_many("a.b", [b"x"] * 1500)
        await spool.quarantine([7], "no")
        seen: list[int] = []
        report = await spool.verify(seen.append)
        assert (report.records, report.repaired, report.damaged) == (1500, "", {})
        assert seen[-1] == 1500


async def test_nothing_is_acknowledged_after_a_failure(driver: Driver, tmp_path: Path) -> None:
    async with driver.spool(tmp_path / "s") as spool:
        kept = await spool.put_many("a.b", [b"x"] * 10)
        writer = store_of(spool)._file.writer
        writer.execute("PRAGMA max_page_count=1")  # as a full disk does, for it is the same error
        with pytest.raises(SpoolError, match=r"s/spool\.db: the disk is full: make room on it, then open") as raised:
            await spool.put("a.b", bytes(100_000))
        assert raised.value.path == str(tmp_path / "s")
        writer.execute("PRAGMA max_page_count=1000000")
        for _ in range(2):
            with pytest.raises(SpoolError, match="the disk is full"):
                await spool.put("a.b", b"y")
        assert not (tmp_path / "s" / "reserve").exists()
        store = store_of(spool)
        assert [record.seq for record in store.fetch("a.b")] == kept
        assert store.settle("a.b", [(1, 1)]) == 1
    async with driver.spool(tmp_path / "s") as spool:
        assert await spool.put("a.b", b"y") == 11
        assert (tmp_path / "s" / "reserve").exists()
        assert [entry.seq for entry in await spool.peek(20)] == list(range(2, 12))


@pytest.mark.parametrize(
    ("use", "named"),
    [
        (lambda spool: spool.put("", b""), "method is ''"),
        (lambda spool: spool.put("m" * 256, b""), "method is"),
        (lambda spool: spool.put(7, b""), "method is 7"),
        (lambda spool: spool.put("a.\ud800", b""), "no Unicode text"),
        (lambda spool: spool.put("a.b", b"", stream="s" * 256), "stream is"),
        (lambda spool: spool.put("a.b", "text"), "a body is of type str"),
        (lambda spool: spool.put_many("a.b", b"body"), "give a list"),
        (lambda spool: spool.put_many("a.b", [b"good", None]), "a body is of type NoneType"),
        (lambda spool: spool.put("a.b", bytes(100_000)), "100000 octets; at most"),
    ],
)
async def test_what_cannot_be_sent_is_refused(
    driver: Driver, tmp_path: Path, use: Callable[[Any], Any], named: str
) -> None:
    config = ClientConfig(limits=Limits(body_max=65536))
    async with driver.spool(tmp_path / "s", config=config) as spool:
        with pytest.raises(LocalProtocolError, match=named):
            await use(spool)
        assert (await spool.stats()).put == 0


@pytest.mark.parametrize("seconds", [-1, "1", True])
async def test_a_timeout_is_a_number_of_seconds(driver: Driver, tmp_path: Path, seconds: Any) -> None:
    async with driver.spool(tmp_path / "s") as spool:
        with pytest.raises(ConfigError, match="timeout is"):
            await spool.flush(seconds)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"window": 0}, "window is 0"),
        ({"records_max": 0}, "records_max is 0"),
        ({"when_full": "x"}, "when_full is 'x'"),
    ],
)
async def test_settings_that_cannot_be_used_are_named(
    driver: Driver, tmp_path: Path, settings: dict[str, Any], named: str
) -> None:
    with pytest.raises(ConfigError, match=named):
        driver.new_spool(tmp_path / "s", **settings)


async def test_a_path_is_a_path(driver: Driver) -> None:
    path: Any = 7
    with pytest.raises(ConfigError, match="path is 7"):
        driver.new_spool(path)


async def test_it_is_used_between_open_and_close(driver: Driver, tmp_path: Path) -> None:
    spool = driver.new_spool(tmp_path / "s")
    await spool.close()
    with pytest.raises(ClosedError, match="not opened"):
        await spool.put("a.b", b"")
    await spool.open()
    with pytest.raises(ClosedError, match="opened before"):
        await spool.open()
    await spool.close()
    for use in (spool.put("a.b", b""), spool.stats(), spool.peek(), spool.flush(), spool.purge(), spool.verify()):
        with pytest.raises(ClosedError):
            await use


async def test_where_no_spool_can_be_is_said(driver: Driver, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SpoolError, match=r"file cannot be used as a spool \(File exists\); name a directory"):
        await driver.new_spool(tmp_path / "file").open()
    with pytest.raises(SpoolError, match=r"No such file or directory"):
        await driver.new_spool(tmp_path / "no" / "spool").open()


async def test_another_programs_file_is_left_alone(driver: Driver, tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "spool.db")
    other.execute("CREATE TABLE other(a)")
    other.commit()
    other.close()
    with pytest.raises(SpoolError, match=r"spool\.db is no spool but another program's file"):
        await driver.new_spool(tmp_path).open()


def test_a_forked_child_opens_its_own(tmp_path: Path) -> None:
    with Spool(tmp_path / "s", deliver=False) as spool:
        spool.put("a.b", b"parent")
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for use in (lambda: spool.put("a.b", b""), spool.stats, spool.close):
                    with pytest.raises(ForkedError, match="open it again"):
                        use()
                with Spool(tmp_path / "s", deliver=False) as own:
                    own.put("a.b", b"child")
                status = 0
            finally:
                os._exit(status)
        assert os.waitpid(child, 0)[1] == 0
        spool.put("a.b", b"parent")
        assert bodies(spool.peek()) == [b"parent", b"child", b"parent"]
