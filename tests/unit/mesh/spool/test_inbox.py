"""An inbox stores each record once, however it comes, and acknowledges what is on disk."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mesh import ConfigError, Inbox, RemoteError, Request, SpoolError, SpoolRecord, Status
from tests.helpers import wait_until
from tests.helpers.spools import PRODUCER, record, send

SCHEMA = "CREATE TABLE IF NOT EXISTS readings (seq INTEGER, body BLOB)"
Handler = Callable[[SpoolRecord, sqlite3.Connection], None]


def insert(record: SpoolRecord, db: sqlite3.Connection) -> None:
    db.execute("INSERT INTO readings VALUES (?, ?)", (record.seq, record.body))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "readings.db"


@contextlib.contextmanager
def opened(path: Path, handler: Handler = insert) -> Iterator[Inbox]:
    with Inbox("warehouse", path, schema=SCHEMA) as inbox:
        inbox.method(name="ingest")(handler)
        yield inbox


def stored(path: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        return [seq for (seq,) in db.execute("SELECT seq FROM readings ORDER BY rowid")]


def received(path: Path, producer: bytes = PRODUCER) -> list[tuple[int, int]]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT first, last FROM mesh_inbox_received WHERE producer = ? ORDER BY 1", (producer,))
        return rows.fetchall()


def refuses(*seqs: int) -> Handler:
    def handler(record: SpoolRecord, db: sqlite3.Connection) -> None:
        insert(record, db)  # is undone
        if record.seq in seqs:
            raise ValueError(f"no such sensor: {record.seq}")

    return handler


def test_records_are_stored_and_acknowledged(path: Path) -> None:
    with opened(path) as inbox:
        receipt = send(inbox, [record(1), record(2)])
    assert (receipt.durable, receipt.duplicates, receipt.refused) == ([(0, 1)], 0, {})
    assert stored(path) == [1, 2]


def test_a_duplicate_has_no_second_effect_also_after_a_restart(path: Path) -> None:
    with opened(path) as inbox:
        send(inbox, [record(1), record(2)])
    with opened(path) as inbox:
        receipt = send(inbox, [record(2), record(3), record(3)])
        assert (receipt.durable, receipt.duplicates) == ([(0, 2)], 2)
        counts = inbox.counts()
        assert (counts.records, counts.duplicates, counts.producers) == (3, 2, 1)
    assert stored(path) == [1, 2, 3]


def test_producers_are_told_apart(path: Path) -> None:
    other = b"another one, 16o"
    with opened(path) as inbox:
        send(inbox, [record(1)])
        receipt = send(inbox, [record(1, producer=other), record(1), record(2, producer=other)])
    assert (receipt.durable, receipt.duplicates) == ([(0, 2)], 1)
    assert received(path) == [(1, 1)]
    assert received(path, other) == [(1, 2)]


def test_what_was_received_is_one_row_when_it_came_in_order_and_few_when_it_did_not(path: Path) -> None:
    with opened(path) as inbox:
        for first in range(1, 10_001, 100):
            send(inbox, [record(seq) for seq in range(first, first + 100)])
        assert received(path) == [(1, 10_000)]
        send(inbox, [record(seq) for seq in (10_003, 10_007, 10_005)])
        assert received(path) == [(1, 10_000), (10_003, 10_003), (10_005, 10_005), (10_007, 10_007)]
        send(inbox, [record(seq) for seq in (10_001, 10_002, 10_004)])
        assert received(path) == [(1, 10_005), (10_007, 10_007)]
    assert sorted(stored(path)) == [*range(1, 10_006), 10_007]


def test_numbers_that_never_come_leave_one_row_below_the_floor(path: Path) -> None:
    with opened(path) as inbox:
        for seq in range(1, 200, 2):  # the even ones go to another inbox
            send(inbox, [record(seq)], {PRODUCER: max(1, seq - 10)})
        assert len(received(path)) < 10
        assert send(inbox, [record(1), record(99)]).duplicates == 2


def test_a_handler_that_raises_refuses_its_record_alone(path: Path) -> None:
    with opened(path, refuses(2)) as inbox:
        receipt = send(inbox, [record(1), record(2), record(3)])
        assert receipt.durable == [(0, 0), (2, 2)]
        assert receipt.refused == {1: "ValueError: no such sensor: 2"}
        assert stored(path) == [1, 3]
        assert received(path) == [(1, 1), (3, 3)]
    with opened(path) as inbox:
        assert send(inbox, [record(2)]).durable == [(0, 0)], "it may come again"
    assert stored(path) == [1, 3, 2]


def test_a_refused_record_holds_up_its_stream_and_nothing_else(path: Path) -> None:
    with opened(path, refuses(2)) as inbox:
        receipt = send(
            inbox, [record(1, stream="a"), record(2, stream="a"), record(3, stream="a"), record(4, stream="b")]
        )
    assert (receipt.durable, list(receipt.refused)) == ([(0, 0), (3, 3)], [1])
    assert stored(path) == [1, 4]


def test_the_same_record_twice_in_a_batch_is_not_acknowledged_when_it_is_refused(path: Path) -> None:
    with opened(path, refuses(1)) as inbox:
        receipt = send(inbox, [record(1), record(1)])
    assert receipt.durable == []


def test_a_batch_handler_gets_all_and_each_alone_when_it_raises(path: Path) -> None:
    calls: list[list[int]] = []
    with Inbox("warehouse", path, schema=SCHEMA) as inbox:

        @inbox.method(batch=True)
        def ingest(records: list[SpoolRecord], db: sqlite3.Connection) -> None:
            calls.append([one.seq for one in records])
            for one in records:
                insert(one, db)
                if one.seq == 3:
                    raise LookupError("three")

        send(inbox, [record(1), record(2)])
        receipt = send(inbox, [record(2), record(3), record(4)])
    assert calls == [[1, 2], [3, 4], [3], [4]]
    assert receipt.refused == {1: "LookupError: three"}
    assert stored(path) == [1, 2, 4]


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        MemoryError(),
        RemoteError("the other database is away", code=Status.UNAVAILABLE),
    ],
)
def test_a_host_that_is_not_well_refuses_nothing_and_stores_nothing(path: Path, error: Exception) -> None:
    def handler(record: SpoolRecord, db: sqlite3.Connection) -> None:
        insert(record, db)
        if record.seq == 2:
            raise error

    with opened(path, handler) as inbox:
        with pytest.raises(RemoteError) as caught:
            send(inbox, [record(1), record(2)])
        assert caught.value.code is Status.UNAVAILABLE
        assert stored(path) == []
        assert inbox.counts().records == 0
        send(inbox, [record(1)])
    assert stored(path) == [1]


def test_a_file_that_another_program_holds_takes_nothing_until_it_lets_go(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mesh.spool.ledger._BUSY_S", 0.05)
    with opened(path) as inbox:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(RemoteError, match="another program holds it") as caught:
                send(inbox, [record(1)])
            assert caught.value.code is Status.UNAVAILABLE
            with pytest.raises(SpoolError, match="another program holds it"):
                Inbox("other", path)
        assert send(inbox, [record(1)]).durable == [(0, 0)]


def test_a_full_disk_takes_nothing_until_there_is_room(path: Path) -> None:
    with opened(path) as inbox:
        (pages,) = inbox.change(lambda db: db.execute("PRAGMA page_count").fetchone())
        inbox.change(lambda db: db.execute(f"PRAGMA max_page_count = {pages}").fetchone())
        with pytest.raises(RemoteError, match="the disk is full: make room on it") as caught:
            send(inbox, [record(1, b"x" * 50_000), record(2)])
        assert caught.value.code is Status.UNAVAILABLE
        assert received(path) == []
        inbox.change(lambda db: db.execute("PRAGMA max_page_count = 1000000").fetchone())
        assert send(inbox, [record(1), record(2)]).durable == [(0, 1)]
    assert stored(path) == [1, 2]


@pytest.mark.parametrize("end", ["commit", "COMMIT", "ROLLBACK", "END", "BEGIN"])
def test_a_handler_cannot_part_its_effect_from_the_note(path: Path, end: str) -> None:
    def handler(record: SpoolRecord, db: sqlite3.Connection) -> None:
        insert(record, db)
        if end == "commit":
            db.commit()
        else:
            db.execute(end)

    with opened(path, handler) as inbox:
        for _ in range(2):
            receipt = send(inbox, [record(1)])
            assert receipt.durable == []
            assert "not authorized" in receipt.refused[0]
    assert stored(path) == []


def test_batches_that_wait_are_stored_in_one_transaction_however_large_they_are(path: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()
    commits: list[int] = []

    def handler(record: SpoolRecord, db: sqlite3.Connection) -> None:
        insert(record, db)
        commits.append(record.seq)
        entered.set()
        assert go_on.wait(5.0)

    with opened(path, handler) as inbox:
        batches = [[record(seq) for seq in range(first, first + 500)] for first in range(1, 2501, 500)]
        threads = [threading.Thread(target=send, args=(inbox, batch)) for batch in batches]
        threads[0].start()
        assert entered.wait(5.0)
        for thread in threads[1:]:
            thread.start()
        wait_until(lambda: len(inbox._commits._queue) == 4)
        looked: list[int] = []
        real = inbox._ledger.commit

        def commit() -> None:
            looked.append(len(commits))
            real()

        inbox._ledger.commit = commit  # type: ignore[method-assign]
        go_on.set()
        for thread in threads:
            thread.join(5.0)
    assert looked[:2] == [500, 2500]
    assert sorted(stored(path)) == list(range(1, 2501))


def test_two_inboxes_of_one_file_know_what_the_other_has(path: Path) -> None:
    with opened(path) as one, opened(path) as other:
        assert one.mark == other.mark
        send(one, [record(1)])
        assert send(other, [record(1), record(2)]).duplicates == 1
        assert send(one, [record(2)]).duplicates == 1
    assert stored(path) == [1, 2]


def test_what_is_no_batch_is_an_invalid_argument(path: Path) -> None:
    with opened(path) as inbox, pytest.raises(RemoteError, match=r"warehouse\.ingest takes batches") as caught:
        inbox.service.methods["warehouse.ingest"].invoke(Request("warehouse.ingest", [b"hello"]))
    assert caught.value.code is Status.INVALID_ARGUMENT


def test_a_closed_inbox_has_its_records_come_again(path: Path) -> None:
    with opened(path) as inbox:
        pass
    inbox.close()
    with pytest.raises(RemoteError, match="is closed here") as caught:
        send(inbox, [record(1)])
    assert caught.value.code is Status.UNAVAILABLE


def test_what_cannot_be_an_inbox_says_why(path: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database " * 100)
    for place, sentence in {
        tmp_path / "text": "it is no SQLite file: give another path",
        tmp_path: "it cannot be opened: mend the path",
        tmp_path / "nowhere" / "x.db": "it cannot be opened: mend the path",
    }.items():
        with pytest.raises(SpoolError, match=sentence):
            Inbox("warehouse", place)
    with pytest.raises(ConfigError, match=r"the schema cannot be used: near \"CREAT\""):
        Inbox("warehouse", path, schema="CREAT TABLE x (y)")
    with pytest.raises(ConfigError, match="service name"):
        Inbox("ware house", path)
    with opened(path) as inbox, pytest.raises(ConfigError, match="is no function; a name goes into name="):
        inbox.method("ingest")  # type: ignore[call-overload]


def test_the_file_of_another_version_says_so(path: Path) -> None:
    with opened(path):
        pass
    with contextlib.closing(sqlite3.connect(path)) as db, db:
        db.execute("UPDATE mesh_inbox SET version = 9")
    with pytest.raises(SpoolError, match="form 9; this one has 1"):
        Inbox("warehouse", path)
