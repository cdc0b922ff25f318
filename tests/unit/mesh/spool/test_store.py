"""Tests of mesh.spool.store: what the delivery asks of it, several processes, damage while it is open."""

from __future__ import annotations

import contextlib
import itertools
import sqlite3
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import SpoolError
from mesh.spool import schema
from mesh.spool.quota import Quota
from mesh.spool.ranges import Ranges
from mesh.spool.store import SpoolReport, Store
from tests.helpers import spawn, wait_until


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "s")
    yield store
    store.close()


def put(store: Store, method: str, *bodies: bytes, stream: str = "") -> list[int]:
    return store.change(store.putting(method, bodies, stream), len(bodies))


def fetched(store: Store, method: str, after: int = 0, limit: int = 1000, octets: int = 1 << 20) -> list[bytes]:
    return [record.body for record in store.fetch(method, after, limit, octets)]


def change_row(store: Store, table: str, column: str, key: int, value: object) -> None:
    """Change what lies in the file, as a bit does that has changed."""
    with sqlite3.connect(store.directory / schema.FILE) as other:
        other.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = ?", (value, key))
    other.close()


def test_records_of_a_method_come_in_order_in_portions(store: Store) -> None:
    put(store, "a.b", b"1", b"2", b"3")
    put(store, "a.c", b"4")
    put(store, "a.b", b"5")
    assert store.methods() == ["a.b", "a.c"]
    assert fetched(store, "a.b", limit=2) == [b"1", b"2"]
    assert fetched(store, "a.b", after=2) == [b"3", b"5"]
    assert fetched(store, "a.c", after=2) == [b"4"]
    assert fetched(store, "a.d") == []
    assert store.newest() == 5


def test_a_portion_is_bounded_in_octets_but_not_empty(store: Store) -> None:
    put(store, "a.b", bytes(500), bytes(100), bytes(100), bytes(500))
    assert [len(body) for body in fetched(store, "a.b", octets=10)] == [500]
    assert [len(body) for body in fetched(store, "a.b", after=1, octets=400)] == [100, 100]


def test_what_is_settled_is_gone_and_counted(store: Store) -> None:
    put(store, "a.b", *[b"x"] * 10)
    put(store, "a.c", b"y")
    assert store.settle("a.b", [(1, 3), (7, 7), (99, 99)], {5: "no"}) == 5
    assert [record.seq for record in store.fetch("a.b")] == [4, 6, 8, 9, 10]
    assert store.settle("a.b", [(1, 2)]) == 0
    stats = store.stats()
    assert (stats.ready, stats.quarantined, stats.delivered) == (6, 1, 4)
    assert store.methods() == ["a.b", "a.c"]


def test_a_number_is_never_given_again(store: Store) -> None:
    put(store, "a.b", b"1", b"2")
    store.settle("a.b", [(1, 2)])
    store.close()
    again = Store(store.directory)
    assert put(again, "a.b", b"3") == [3]
    again.close()


def test_a_damaged_record_is_set_aside_and_the_rest_comes(store: Store) -> None:
    put(store, "a.b", b"1", b"2", b"3")
    records = [record.pack() for record in store.fetch("a.b")]
    change_row(store, "ready", "row", store.keys([1])[0], records[0] + records[1][:-1] + b"x" + records[2])
    assert [entry.record is None for entry in store.entries(10)] == [False, True, False]
    assert fetched(store, "a.b") == [b"1", b"3"]
    (entry,) = store.entries(10, "quarantined")
    assert (entry.seq, entry.record, entry.why) == (2, None, "damaged: its checksum is wrong")
    assert (store.stats().ready, store.stats().quarantined) == (2, 1)
    assert fetched(store, "a.b") == [b"1", b"3"]
    assert not list(store.directory.glob("damaged-*"))


def test_a_bundle_is_cut_where_records_of_it_go(store: Store) -> None:
    put(store, "a.b", *(b"%d" % number for number in range(1, 11)))
    put(store, "a.c", b"11", b"12")
    assert store.settle("a.b", [(2, 3), (6, 6)], {9: "no"}) == 4
    with schema.snapshot(store._file.reader):
        rows = store._file.reader.execute("SELECT key, records FROM ready ORDER BY key").fetchall()
    begins = [(1, 1), (4, 2), (7, 2), (10, 1)]
    assert rows == [(schema.keys_of(1)[0] | seq, records) for seq, records in begins] + [(schema.keys_of(2)[0] | 11, 2)]
    assert fetched(store, "a.b", after=3) == [b"4", b"5", b"7", b"8", b"10"]
    assert fetched(store, "a.b", after=4, limit=1) == [b"5"]
    assert [letter.row for letter in store.letters("a.b", 4)] == [5, 7, 10]
    assert [entry.seq for entry in store.entries(3, "ready", 4)] == [5, 7, 8]
    assert store.change(lambda transaction: transaction.purge("ready", store.keys([8, 12]))) == 2
    assert store.change(lambda transaction: transaction.replay(None)) == 1
    assert fetched(store, "a.b") == [b"1", b"4", b"5", b"7", b"9", b"10"]
    assert fetched(store, "a.c") == [b"11"]
    assert store.verify() == SpoolReport(7, "", {})


def test_bundles_are_bounded(store: Store) -> None:
    put(store, "a.b", *[b"x"] * 2500)
    put(store, "a.b", *[bytes(100_000)] * 4)
    put(store, "a.b", bytes(1_000_000), b"small")
    letters = store.letters("a.b", 0, 10_000, 1 << 30)
    assert [letter.records for letter in letters] == [1000, 1000, 500, 2, 2, 1, 1]
    assert store.stats().octets == sum(len(letter.packed) for letter in letters)


def test_the_oldest_make_room_one_by_one(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", Quota(8, 10_000, "drop-oldest"))
    put(store, "a.b", *[b"x"] * 5)
    put(store, "a.c", *[b"x"] * 3)
    put(store, "a.b", b"y")
    assert len(fetched(store, "a.b")) == 5
    put(store, "a.b", bytes(9650))
    assert [record.seq for record in store.fetch("a.b")] == [5, 9, 10]
    assert store.stats().dropped == 4
    store.close()


def test_a_damaged_record_that_is_replayed_is_set_aside_again(store: Store) -> None:
    put(store, "a.b", b"1")
    change_row(store, "ready", "row", store.keys([1])[0], b"no record")
    assert fetched(store, "a.b") == []
    store.change(lambda transaction: transaction.replay(None))
    assert fetched(store, "a.b") == []
    assert [entry.seq for entry in store.entries(10, "quarantined")] == [1]


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("counters", "row", b"changed"),
        ("ready", "key", (1 << schema.SEQ_BITS) + 77),
        ("ready", "records", 2),
        ("ready", "records", 1 << 40),
    ],
)
def test_what_is_damaged_while_it_is_open_is_replaced(store: Store, table: str, column: str, value: object) -> None:
    for body in (b"1", b"2", b"3"):
        put(store, "a.b", body)
    producer = store.fetch("a.b")[0].producer
    key = store.keys([2])[0] if table == "ready" else 1
    change_row(store, table, column, key, value)
    assert store.stats().ready == 3
    assert fetched(store, "a.b") == [b"1", b"2", b"3"]
    assert put(store, "a.b", b"4") == [4]
    records = store.fetch("a.b")
    assert [record.producer == producer for record in records] == [True, True, True, False]
    assert len(list(store.directory.glob("damaged-*.db"))) == 1


def test_a_row_whose_type_has_changed_is_damage(store: Store) -> None:
    put(store, "a.b", b"1", b"2")
    with sqlite3.connect(store.directory / schema.FILE) as other:
        other.execute("UPDATE ready SET row = CAST(row AS TEXT)")
    other.close()
    assert fetched(store, "a.b") == [b"1", b"2"]
    assert list(store.directory.glob("damaged-*.db"))


def test_a_put_that_finds_damage_is_on_disk_all_the_same(store: Store) -> None:
    put(store, "a.b", b"1")
    change_row(store, "counters", "row", 1, b"changed")
    put(store, "a.b", b"2")
    assert fetched(store, "a.b") == [b"1", b"2"]


def test_others_follow_when_the_file_is_replaced(store: Store) -> None:
    other = Store(store.directory)
    put(other, "a.b", b"1")
    change_row(store, "counters", "row", 1, b"changed")
    put(store, "a.b", b"2")
    put(other, "a.b", b"3")
    assert fetched(other, "a.b") == fetched(store, "a.b") == [b"1", b"2", b"3"]
    other.close()


_FOLLOWER = """
import os, sys, time
from mesh import Spool
with Spool(sys.argv[1], deliver=False) as spool:
    spool.put("a.b", b"1")
    print("open", flush=True)
    while not os.path.exists(sys.argv[2]):
        time.sleep(0.005)
    spool.put("a.b", b"3")
    print(len(spool.peek()), flush=True)
"""


def test_a_process_that_follows_leaves_the_new_files_alone(tmp_path: Path) -> None:
    """SQLite removes the WAL of a file that it closes by its name, which is that of the new file's by now."""
    with spawn([sys.executable, "-c", _FOLLOWER, str(tmp_path / "s"), str(tmp_path / "go")]) as other:
        other.wait_line("open")
        store = Store(tmp_path / "s")
        change_row(store, "counters", "row", 1, b"changed")
        put(store, "a.b", b"2")
        (tmp_path / "go").touch()
        other.wait_line("3")
        wait_until(lambda: other.returncode == 0)
        put(store, "a.b", b"4")
        copy = tmp_path / "copy"  # as if this process were killed now
        copy.mkdir()
        for path in (tmp_path / "s").glob("spool.db*"):
            (copy / path.name).write_bytes(path.read_bytes())
        store.close()
    killed = Store(copy)
    assert fetched(killed, "a.b") == [b"1", b"2", b"3", b"4"]
    killed.close()


def test_verify_tells_what_it_has_found(store: Store) -> None:
    put(store, "a.b", b"1")
    put(store, "a.b", b"2")
    change_row(store, "ready", "row", store.keys([2])[0], b"no record")
    report = store.verify()
    assert (report.records, report.repaired) == (2, "")
    assert report.damaged == {2: "damaged: it has 9 octets, fewer than any record"}
    assert store.stats().quarantined == 1
    change_row(store, "counters", "row", 1, b"changed")
    assert "its counters are damaged" in store.verify().repaired
    assert fetched(store, "a.b") == [b"1"]


def test_verify_misses_records_that_have_vanished(store: Store) -> None:
    put(store, "a.b", b"1")
    put(store, "a.b", b"2")
    with sqlite3.connect(store.directory / schema.FILE) as other:
        other.execute("DELETE FROM ready WHERE key = ?", store.keys([2]))
    other.close()
    assert "2 records should be in the table ready, and 1 are" in store.verify().repaired
    assert store.stats().ready == len(fetched(store, "a.b"))


def test_the_floor_is_the_least_number_that_may_come_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", monotonic=lambda: 0.0)
    put(store, "a.b", b"1", b"2", b"3")
    put(store, "a.c", b"4")
    assert store.floor() == 1
    store.settle("a.b", [(1, 1), (3, 3)], {2: "no"})
    assert store.floor() == 2, "what is set aside may be replayed"
    store.change(lambda transaction: transaction.purge("quarantined", None))
    assert store.floor() == 4
    store.settle("a.c", [(4, 4)])
    assert store.floor() == 5
    store.close()


def test_the_floor_is_not_counted_all_the_time(tmp_path: Path) -> None:
    seconds = itertools.count()
    store = Store(tmp_path / "s", monotonic=lambda: float(next(seconds)))
    put(store, "a.b", b"1")
    assert store.floor() == 1
    store.settle("a.b", [(1, 1)])
    asked = 1
    while store.floor() == 1:
        asked += 1
    assert asked == 100
    store.close()


def test_the_floor_does_not_pass_records_that_have_vanished(store: Store) -> None:
    put(store, "a.b", b"1")
    put(store, "a.b", b"2")
    with sqlite3.connect(store.directory / schema.FILE) as other:
        other.execute("DELETE FROM ready WHERE key = ?", store.keys([1]))
    other.close()
    store.floor()
    assert list(store.directory.glob("damaged-*.db")), "the file was replaced by what can be found"
    assert store.stats().ready == len(fetched(store, "a.b"))


def test_a_directory_that_is_gone_is_no_empty_spool(store: Store) -> None:
    put(store, "a.b", b"1")
    (store.directory / schema.FILE).rename(store.directory / "elsewhere")
    with pytest.raises(SpoolError, match=r"spool\.db: it cannot be opened"):
        put(store, "a.b", b"2")
    with pytest.raises(SpoolError, match=r"spool\.db: it cannot be opened"):
        store.stats()
    (store.directory / "elsewhere").rename(store.directory / schema.FILE)
    assert put(store, "a.b", b"2") == [2]


def test_changes_are_told(store: Store) -> None:
    told: list[int] = []
    unlisten = store.listen(lambda: told.append(1))
    put(store, "a.b", b"1")
    assert told == [1]
    store.settle("a.b", [(99, 99)])
    assert told == [1], "nothing was changed"
    unlisten()
    put(store, "a.b", b"2")
    assert told == [1]


def test_changes_of_others_are_seen(store: Store) -> None:
    other = Store(store.directory)
    store.changed()
    assert not store.changed()
    put(other, "a.b", b"1")
    assert store.changed()
    assert not store.changed()
    other.close()


_PUTTER = """
import sys
from mesh import Spool
with Spool(sys.argv[1], deliver=False, records_max=300) as spool:
    for number in range(100):
        spool.put("a.b", b"%s %d" % (sys.argv[2].encode(), number))
"""


def test_processes_share_it_and_its_quota(tmp_path: Path) -> None:
    got: list[bytes] = []
    with contextlib.ExitStack() as stack:
        putters = [
            stack.enter_context(spawn([sys.executable, "-c", _PUTTER, str(tmp_path / "s"), str(name)]))
            for name in range(4)
        ]
        store = stack.enter_context(contextlib.closing(Store(tmp_path / "s", Quota(300))))
        while any(putter.returncode is None for putter in putters) or store.ready() > 0:
            records = store.fetch("a.b", 0, 50)
            assert store.stats().ready <= 300
            got += [record.body for record in records]
            store.settle("a.b", Ranges.of(record.seq for record in records))
        assert [putter.returncode for putter in putters] == [0] * 4
    assert sorted(got) == sorted(b"%d %d" % (name, number) for name in range(4) for number in range(100))
    for name in range(4):
        of = [body for body in got if body.startswith(b"%d " % name)]
        assert of == [b"%d %d" % (name, number) for number in range(100)]


def test_the_file_is_bounded_by_the_backlog(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    sizes = []
    for _ in range(20):
        put(store, "a.b", *[bytes(200)] * 2000)
        while records := store.fetch("a.b"):
            store.settle("a.b", Ranges.of(record.seq for record in records))
        sizes.append(sum(path.stat().st_size for path in store.directory.glob("spool.db*")))
    store.close()
    assert max(sizes) < 8 << 20


def test_a_large_file_that_is_empty_is_cut_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.spool.file._MANY_OCTETS", 1 << 20)
    store = Store(tmp_path / "s")
    put(store, "a.b", *[bytes(1000)] * 6000)
    put(store, "a.b", b"last")
    store.settle("a.b", [(1, 6000)])
    store.settle("a.b", [])
    assert (tmp_path / "s" / schema.FILE).stat().st_size < 1 << 20
    assert fetched(store, "a.b") == [b"last"]
    assert store.verify().repaired == ""
    store.close()


def test_looking_does_not_wait_for_a_commit(store: Store) -> None:
    put(store, "a.b", b"1")
    begun, go = threading.Event(), threading.Event()

    def work(transaction: object) -> None:
        begun.set()
        assert go.wait(5)

    thread = threading.Thread(target=lambda: store.change(work))
    thread.start()
    assert begun.wait(5)
    assert fetched(store, "a.b") == [b"1"]
    assert store.stats().ready == 1
    go.set()
    thread.join(5)
