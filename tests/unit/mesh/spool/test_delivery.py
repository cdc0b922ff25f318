"""A spool and an inbox with a real network between them, on loopback."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import (
    ConfigError,
    Inbox,
    RemoteError,
    Request,
    Server,
    ServerConfig,
    Service,
    Spool,
    SpoolError,
    SpoolRecord,
    Status,
)
from mesh.spool import store
from mesh.spool.store import Store
from tests.helpers import free_port, wait_until

METHOD = "warehouse.ingest"


@pytest.fixture
def port() -> int:
    return free_port()


class Far:
    """A warehouse of a test."""

    def __init__(self, path: Path, port: int, name: str = "far") -> None:
        self.path = path
        self.port = port
        self.name = name
        self.service = "warehouse"
        self.refuses: set[bytes] = set()
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        schema = "CREATE TABLE IF NOT EXISTS got (seq INTEGER, body BLOB)"
        with Inbox(self.service, self.path, schema=schema) as inbox:

            @inbox.method
            def ingest(record: SpoolRecord, db: sqlite3.Connection) -> None:
                assert self.gate.wait(10.0)
                if self.error is not None:
                    raise self.error
                if record.body in self.refuses:
                    raise ValueError("no such sensor")
                db.execute("INSERT INTO got VALUES (?, ?)", (record.seq, record.body))

            bind = f"tcp://127.0.0.1:{self.port}"
            with Server(inbox.service, bind=bind, name=self.name, advertise=False):
                yield

    def bodies(self) -> list[bytes]:
        with contextlib.closing(sqlite3.connect(self.path)) as db:
            return [body for (body,) in db.execute("SELECT body FROM got ORDER BY rowid")]


@pytest.fixture
def far(tmp_path: Path, port: int) -> Far:
    return Far(tmp_path / "far.db", port)


def near(tmp_path: Path, *ports: int, live_first: bool = False) -> Spool:
    servers = [f"tcp://127.0.0.1:{port}" for port in ports]
    return Spool(tmp_path / "spool", servers=servers, discover=False, live_first=live_first)


def test_what_is_put_arrives_and_is_removed(tmp_path: Path, far: Far) -> None:
    with far.serving(), near(tmp_path, far.port) as spool:
        for number in range(10):
            spool.put(METHOD, b"%d" % number, stream="one")
        spool.put_many(METHOD, [b"many"] * 2500)
        assert spool.flush(10.0)
        stats = spool.stats()
        assert (stats.ready, stats.in_flight, stats.delivered) == (0, 0, 2510)
    bodies = far.bodies()
    assert [body for body in bodies if body != b"many"] == [b"%d" % number for number in range(10)]
    assert len(bodies) == 2510


def test_what_waits_while_nobody_is_there_arrives_when_somebody_is(tmp_path: Path, far: Far) -> None:
    with near(tmp_path, far.port) as spool:
        spool.put(METHOD, b"early")
        assert not spool.flush(0.2)
        with far.serving():
            assert spool.flush(10.0)
        spool.put(METHOD, b"between")
        with far.serving():
            assert spool.flush(10.0)
    assert far.bodies() == [b"early", b"between"]


def test_what_was_put_before_a_restart_arrives(tmp_path: Path, far: Far) -> None:
    with Spool(tmp_path / "spool", deliver=False) as spool:
        spool.put_many(METHOD, [b"old"] * 3)
    with far.serving(), near(tmp_path, far.port) as spool:
        assert spool.flush(10.0)
    assert far.bodies() == [b"old"] * 3


def test_what_another_process_puts_is_found(tmp_path: Path, far: Far) -> None:
    with far.serving(), near(tmp_path, far.port) as spool, Spool(tmp_path / "spool", deliver=False) as other:
        other.put(METHOD, b"from elsewhere")
        wait_until(lambda: spool.stats().delivered == 1)
    assert far.bodies() == [b"from elsewhere"]


def test_a_refused_record_is_set_aside_with_its_reason_and_can_be_replayed(
    tmp_path: Path, far: Far, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mesh.spool.courier.PAUSE_MIN_S", 0.01)
    far.refuses = {b"bad"}
    with far.serving(), near(tmp_path, far.port) as spool:
        with caplog.at_level(logging.WARNING, "mesh"):
            spool.put_many(METHOD, [b"good", b"bad", b"good"], stream="s")
            assert spool.flush(10.0)
        assert f"record 2 for {METHOD} is set aside: ValueError: no such sensor" in caplog.messages
        (entry,) = spool.peek(state="quarantined")
        assert (entry.seq, entry.why) == (2, "ValueError: no such sensor")
        assert far.bodies() == [b"good", b"good"]
        far.refuses = set()
        spool.replay()
        assert spool.flush(10.0)
    assert far.bodies() == [b"good", b"good", b"bad"]


def test_a_warehouse_that_is_not_well_refuses_nothing(
    tmp_path: Path, far: Far, caplog: pytest.LogCaptureFixture
) -> None:
    far.error = OSError(28, "No space left on device")
    with far.serving(), near(tmp_path, far.port) as spool:
        with caplog.at_level(logging.INFO, "mesh"):
            spool.put(METHOD, b"patient")
            wait_until(lambda: any("No space left on device" in message for message in caplog.messages))
            assert spool.stats().quarantined == 0
            far.error = None
            assert spool.flush(10.0)
        waits = [message for message in caplog.messages if message.startswith(f"records for {METHOD} wait")]
        assert len(waits) == 1, "it is said once"
        assert f"records for {METHOD} are delivered again" in caplog.messages
    assert far.bodies() == [b"patient"]


def test_a_method_that_is_no_inbox_gets_nothing_and_loses_nothing(
    tmp_path: Path, far: Far, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = Service("warehouse")

    @wrong.method(raw=True)
    def ingest(request: Request) -> bytes:
        return b"thank you"

    with near(tmp_path, far.port) as spool:
        with Server(wrong, bind=f"tcp://127.0.0.1:{far.port}", advertise=False), caplog.at_level("WARNING", "mesh"):
            spool.put(METHOD, b"precious")
            wait_until(lambda: any(f"{METHOD} is no inbox method" in message for message in caplog.messages))
        assert spool.stats().ready == 1
        with far.serving():
            assert spool.flush(10.0)
    assert far.bodies() == [b"precious"]


def test_a_method_that_nobody_offers_does_not_hold_up_others(tmp_path: Path, far: Far) -> None:
    with far.serving(), near(tmp_path, far.port) as spool:
        spool.put_many("warehouse.nonsense", [b"x"] * 10)
        spool.put_many("elsewhere.ingest", [b"x"] * 10)
        spool.put(METHOD, b"through")
        wait_until(lambda: spool.stats().delivered == 1)
        assert (spool.stats().ready, spool.stats().quarantined) == (20, 0)


def test_a_batch_whose_answer_was_lost_is_recognised(tmp_path: Path, far: Far, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = 0
    real = Inbox._receive

    def receive(self: Inbox, request: Request, store: object) -> bytes:
        nonlocal answers
        answer = real(self, request, store)  # type: ignore[arg-type]
        answers += 1
        if answers == 1:
            raise RemoteError("the answer is lost", code=Status.UNAVAILABLE)
        return answer

    monkeypatch.setattr(Inbox, "_receive", receive)
    with far.serving(), near(tmp_path, far.port) as spool:
        spool.put_many(METHOD, [b"a", b"b"])
        assert spool.flush(10.0)
    assert answers == 2
    assert far.bodies() == [b"a", b"b"]


def test_it_stops_within_a_second_whatever_is_on_its_way_and_sends_it_again_next_time(tmp_path: Path, far: Far) -> None:
    stuck = Service("warehouse")

    @stuck.method(raw=True, name="ingest")
    async def swallow(request: Request) -> bytes:
        await asyncio.sleep(3600)
        return b""

    spool = near(tmp_path, far.port).open()
    config = ServerConfig(drain_s=0.0)
    with Server(stuck, bind=f"tcp://127.0.0.1:{far.port}", advertise=False, config=config):
        spool.put(METHOD, b"on its way")
        wait_until(lambda: spool.stats().in_flight == 1)
        begun = time.monotonic()
        spool.close()
        assert time.monotonic() - begun < 1.0
    with far.serving(), near(tmp_path, far.port) as spool:
        assert spool.flush(10.0)
    assert far.bodies() == [b"on its way"]


def test_one_spool_delivers_at_a_time_and_the_next_takes_over(tmp_path: Path, far: Far) -> None:
    first, second = near(tmp_path, far.port).open(), near(tmp_path, far.port).open()
    try:
        with far.serving():
            second.put(METHOD, b"by the first")
            assert second.flush(10.0)
            first.close()
            second.put(METHOD, b"by the second")
            assert second.flush(10.0)
    finally:
        first.close()
        second.close()
    assert far.bodies() == [b"by the first", b"by the second"]


def test_records_go_to_whichever_warehouse_is_there(tmp_path: Path, far: Far) -> None:
    other = Far(tmp_path / "other.db", free_port(), "other")
    with near(tmp_path, far.port, other.port) as spool:
        with far.serving():
            spool.put(METHOD, b"one")
            assert spool.flush(10.0)
        with other.serving():
            spool.put(METHOD, b"two")
            assert spool.flush(10.0)
    assert (far.bodies(), other.bodies()) == ([b"one"], [b"two"])


def test_an_inbox_that_gets_every_other_record_stays_compact(
    tmp_path: Path, far: Far, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "_FLOOR_SHARE", 1e9)  # what waits is counted each time, however long the last one took
    other = Far(tmp_path / "other.db", free_port(), "other")
    other.service = "elsewhere"
    with far.serving(), other.serving(), near(tmp_path, far.port, other.port) as spool:
        for _ in range(20):
            spool.put_many(METHOD, [b"x"] * 2)
            spool.put_many("elsewhere.ingest", [b"y"] * 2)
            assert spool.flush(10.0)
    for one in (far, other):
        with contextlib.closing(sqlite3.connect(one.path)) as db:
            assert db.execute("SELECT count(*) FROM mesh_inbox_received").fetchone()[0] <= 3
        assert len(one.bodies()) == 40


def test_live_records_go_first(tmp_path: Path, far: Far) -> None:
    with Spool(tmp_path / "spool", deliver=False) as spool:
        spool.put_many(METHOD, [b"old"] * 20_000)
    far.gate.clear()
    with far.serving(), near(tmp_path, far.port, live_first=True) as spool:
        wait_until(lambda: spool.stats().in_flight > 0)
        spool.put(METHOD, b"new")
        far.gate.set()
        assert spool.flush(30.0)
    bodies = far.bodies()
    assert len(bodies) == 20_001
    assert bodies.index(b"new") < 10_000


def test_a_disk_that_cannot_be_read_for_a_moment_ends_nothing(
    tmp_path: Path, far: Far, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("mesh.spool.delivery._MEND_S", 0.05)
    failures = 2
    real = Store.newest

    def newest(store: Store) -> int:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise SpoolError("the disk does not work", path="somewhere")
        return real(store)

    monkeypatch.setattr(Store, "newest", newest)
    with far.serving(), near(tmp_path, far.port, live_first=True) as spool:
        spool.put(METHOD, b"through")
        assert spool.flush(10.0)
    assert failures < 0
    assert far.bodies() == [b"through"]
    assert any("delivery failed, trying again: the disk does not work" in message for message in caplog.messages)


def test_settings_that_cannot_be_used_are_refused_at_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool", servers=["http://nonsense"], discover=False)
    with pytest.raises(ConfigError):
        spool.open()
