"""Tests of mesh.spool.salvage: what comes out of files that SQLite cannot read, and dying half-way."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import SpoolError
from mesh.spool import schema
from mesh.spool.salvage import finish, graft, read_tail, salvage
from mesh.spool.store import Store

_SIZES = [0, 10, 3900, 4080, 5000, 20_000, 200_000]


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A spool as a killed process leaves it, with records in the file and others in its WAL."""
    source = tmp_path / "source"
    store = Store(source)
    put(store, *(bytes([size % 251]) * size for size in _SIZES))
    store._file.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    put(store, *(bytes([size % 249]) * size for size in _SIZES))
    store.settle("a.b", [(1, 1)], {2: "refused", 5: "refused, and why is a longer sentence " * 9})
    copy = tmp_path / "s"
    copy.mkdir()
    for name in ("spool.db", "spool.db-wal"):
        (copy / name).write_bytes((source / name).read_bytes())
    yield copy
    store.close()


def put(store: Store, *bodies: bytes) -> None:
    store.change(store.putting("a.b", bodies, "stream"))


def content(directory: Path) -> dict[int, tuple[str, int]]:
    """Return state and octets of each record."""
    store = Store(directory)
    try:
        entries = [*store.entries(1000, "ready"), *store.entries(1000, "quarantined")]
    finally:
        store.close()
    found: dict[int, tuple[str, int]] = {
        entry.seq: (entry.state, len(entry.record.body) if entry.record else -1) for entry in entries
    }
    assert len(found) == len(entries), "a record is in both states"
    return found


_EVERYTHING = {
    **{seq: ("ready", size) for seq, size in enumerate(_SIZES + _SIZES, 1)},
    2: ("quarantined", 10),
    5: ("quarantined", 5000),
}


@pytest.mark.parametrize("octets", [range(100), range(16, 18), range(4096, 4096 * 4), range(8)])
def test_every_record_that_is_whole_comes_out_of_a_file_without_its_head(directory: Path, octets: range) -> None:
    path = directory / "spool.db"
    damaged = bytearray(path.read_bytes())
    damaged[octets.start : octets.stop] = bytes(len(octets))
    path.write_bytes(damaged)
    salvage(directory, "it was damaged")
    assert content(directory) == _EVERYTHING
    (kept,) = directory.glob("damaged-*.db")
    assert kept.read_bytes() == bytes(damaged)
    assert len(list(directory.glob("damaged-*.db-wal"))) == 1


def test_a_file_that_is_gone_comes_out_of_its_wal(directory: Path) -> None:
    (directory / "spool.db").unlink()
    late = content(directory)
    assert all(late[seq] == _EVERYTHING[seq] for seq in range(8, 15))


def test_what_is_no_spool_at_all_is_an_empty_one(directory: Path) -> None:
    (directory / "spool.db").write_bytes(os.urandom(9000))
    (directory / "spool.db-wal").unlink()
    assert content(directory) == {}


def test_a_record_that_is_not_whole_is_in_quarantine(directory: Path) -> None:
    (directory / "spool.db-wal").unlink()
    path = directory / "spool.db"
    path.write_bytes(path.read_bytes().replace(bytes([10]) * 10, bytes([10]) * 9 + bytes([11])))
    salvage(directory, "it was damaged")
    found = content(directory)
    assert [entry for entry in found.values() if entry[1] < 0] == [("quarantined", -1)]
    assert {seq for seq, entry in found.items() if entry[1] >= 0} == {1, 3, 4, 5, 6, 7}


def test_new_records_get_names_that_were_never_given(directory: Path) -> None:
    salvage(directory, "it was damaged")
    store = Store(directory)
    old = store.fetch("a.b")[0].producer
    put(store, b"new")
    new = store.fetch("a.b", 14)[0]
    assert new.seq == 15
    assert new.producer != old
    store.close()


@pytest.mark.parametrize("step", ["link", "unlink", "rename"])
def test_dying_in_between_loses_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    class Died(BaseException):
        pass

    def die(*arguments: object, **more: object) -> None:
        raise Died

    with monkeypatch.context() as patch:
        if step == "link":
            patch.setattr(os, "link", die)
        elif step == "unlink":
            patch.setattr(Path, "unlink", die)
        else:
            patch.setattr(schema, "SALVAGED", "salvaged.db")
            rename = Path.rename
            patch.setattr(Path, "rename", lambda self, to: die() if self.name == "salvaged.db" else rename(self, to))
        with pytest.raises(Died):
            salvage(directory, "it was damaged")
    assert (directory / "salvaged.db").exists()
    assert content(directory) == _EVERYTHING
    assert not (directory / "salvaged.db").exists()
    assert len(list(directory.glob("damaged-*.db"))) == 1


def test_nothing_is_to_finish_where_nothing_was_begun(directory: Path) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert finish(directory) == ""
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_a_salvage_without_room_changes_nothing(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {path.name: path.read_bytes() for path in directory.iterdir()}

    def full(*arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("mesh.spool.salvage._fill", full)
    with pytest.raises(SpoolError, match=r"it was damaged; .* \(database or disk is full\): make as much room"):
        salvage(directory, "it was damaged")
    assert {path.name: path.read_bytes() for path in directory.iterdir()} == before


def test_records_of_a_transaction_that_may_have_been_acknowledged_are_added_once(directory: Path) -> None:
    tail = read_tail(directory, 0)
    assert tail.whole
    assert {record.seq for record in tail.records} >= set(range(8, 15))
    store = Store(directory)
    producer = store.fetch("a.b")[0].producer
    store.settle("a.b", [(9, 9), (14, 14)])
    assert graft(directory, store._file.writer, [record for record in tail.records if record.seq > 7]) == 2
    # Before it was delivered, the first one was written once more, with others on its page.
    assert graft(directory, store._file.writer, [record for record in tail.records if record.seq > 1]) == 0
    put(store, b"new")
    new = store.fetch("a.b", 14)[0]
    assert new.seq == 15
    assert new.producer != producer
    assert store.verify().repaired == ""
    store.close()
