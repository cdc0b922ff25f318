"""Listeners and a spool, and how they stop in good order."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from pathlib import Path

import pytest

from mesh import AsyncSpool, ConfigError, Spool
from mesh.notify import Notifier
from mesh.spool import daemon as module
from mesh.spool.daemon import Complaints, Daemon, Listener
from mesh.spool.keeper import Keeper
from mesh.spool.listen.udp import UdpSyslog
from mesh.spool.record import SpoolStats
from mesh.workers.actions import Say
from tests.helpers import async_wait_until

pytestmark = pytest.mark.network


class Set:
    """A daemon with a UDP listener, what it said, and what the service manager heard."""

    def __init__(self, path: Path, more: Sequence[Listener] = (), records_max: int = 1000) -> None:
        self.path = path / "spool"
        self.said: list[Say] = []
        self._heard: list[str] = []
        self.hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.hearing.bind(str(path / "notify"))
        self.hearing.setblocking(False)
        self.notifier = Notifier({"NOTIFY_SOCKET": str(path / "notify"), "WATCHDOG_USEC": "100000"})
        self.keeper = Keeper(
            lambda: AsyncSpool(self.path, deliver=False, records_max=records_max, when_full="reject"), self.said.append
        )
        self.listener = UdpSyslog(("127.0.0.1", 0), self.keeper, "w.i")
        self.daemon = Daemon(self.keeper, [self.listener, *more], self.notifier, self.said.append)

    def __enter__(self) -> Set:
        return self

    def __exit__(self, *_: object) -> None:
        self.hearing.close()
        self.notifier.close()

    def send(self, *messages: bytes) -> None:
        port = int(self.listener.endpoint.rpartition(":")[2])
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for message in messages:
                sender.sendto(message, ("127.0.0.1", port))

    def heard(self) -> list[str]:
        """Return everything that was heard until now."""
        try:
            while True:
                self._heard.append(self.hearing.recv(4096).decode())
        except BlockingIOError:
            return self._heard

    def events(self) -> list[str]:
        return [say.event for say in self.said]


def test_it_listens_says_how_it_stands_and_stores_what_had_come_before_it_ends(tmp_path: Path) -> None:
    async def main() -> None:
        with Set(tmp_path) as given:
            task = asyncio.create_task(given.daemon.run())
            await async_wait_until(lambda: "WATCHDOG=1" in given.heard())
            given.send(b"<13>one", b"<13>two")
            given.daemon.stop()
            await task
            endpoint = given.said[0].facts["listening"][0]
            assert endpoint.startswith("syslog udp://127.0.0.1:")
            assert given.events() == ["ready", "stopped"]
            assert given.said[1].facts["counts"] == {endpoint: {"received": 2, "dropped": 0}}
            heard = given.heard()
            assert f"READY=1\nSTATUS=listening: {endpoint}" in heard
            assert "STATUS=ready 0, delivered 0, quarantined 0" in heard
            assert heard[-1].startswith("STOPPING=1")
        with Spool(given.path, deliver=False) as spool:
            assert spool.stats().ready == 2

    asyncio.run(main())


def test_what_cannot_be_stored_does_not_keep_it_from_stopping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STOP_S", 0.1)

    async def main() -> None:
        with Set(tmp_path, records_max=1) as given:
            task = asyncio.create_task(given.daemon.run())
            await async_wait_until(lambda: given.said)
            for message in (b"<13>one", b"<13>two"):
                given.send(message)
                await async_wait_until(lambda: given.listener.counts()["received"])
            await async_wait_until(lambda: "full" in given.events())
            given.daemon.stop()
            await task
            assert given.events() == ["ready", "full", "lost", "stopped"]
            assert "was not acknowledged" in given.said[2].text

    asyncio.run(main())


def test_an_address_that_cannot_be_bound_ends_it_and_makes_no_spool(tmp_path: Path) -> None:
    async def main() -> None:
        listener = UdpSyslog(("192.0.2.1", 0), None, "w.i")  # type: ignore[arg-type]
        with Set(tmp_path, [listener]) as given:
            with pytest.raises(ConfigError, match="cannot listen on"):
                await given.daemon.run()
            assert given.said == []
            assert not given.path.exists()

    asyncio.run(main())


def stats(ready: int, delivered: int) -> SpoolStats:
    return SpoolStats(
        ready=ready,
        in_flight=0,
        quarantined=0,
        octets=0,
        put=ready + delivered,
        delivered=delivered,
        dropped=0,
        oldest_age_s=None,
        put_per_s=0.0,
        delivered_per_s=0.0,
    )


def test_records_that_nobody_takes_are_told_of_once_and_so_is_the_end_of_it(tmp_path: Path) -> None:
    async def main() -> None:
        with Set(tmp_path) as given:
            for at, ready, delivered in [(0, 5, 0), (9, 5, 0), (10, 6, 0), (99, 7, 0), (100, 6, 1), (105, 5, 1)]:
                given.daemon._look(stats(ready, delivered), float(at))
            assert given.events() == ["waiting", "delivering"]
            assert given.said[0].text.startswith("6 records wait, and nobody takes them")

    asyncio.run(main())


class Dropping(UdpSyslog):
    """A listener that is not open and has dropped datagrams."""

    dropped = 0

    def counts(self) -> dict[str, int]:
        return {"dropped": self.dropped}


def test_datagrams_that_were_dropped_are_told_of_once_a_minute(tmp_path: Path) -> None:
    async def main() -> None:
        listener = Dropping(("127.0.0.1", 514), None, "w.i")  # type: ignore[arg-type]
        with Set(tmp_path, [listener]) as given:
            for at, listener.dropped in [(0, 0), (5, 3), (10, 5), (64, 5), (65, 6), (130, 6)]:
                given.daemon._look_for_drops(float(at))
            sentence = "syslog udp://127.0.0.1:514: {} datagrams came faster than they could be stored, and are lost"
            assert [say.text for say in given.said] == [sentence.format(3), sentence.format(3)]
            assert [say.facts["dropped"] for say in given.said] == [3, 6]

    asyncio.run(main())


def test_a_sentence_is_said_once_a_minute() -> None:
    said: list[Say] = []
    now = [0.0]
    complaints = Complaints(said.append, lambda: now[0])
    for now[0] in (0.0, 59.0, 60.0, 61.0):
        complaints("a")
        complaints("b")
    assert [say.text for say in said] == ["a", "b", "a", "b"]
    assert all(say.trouble for say in said)
