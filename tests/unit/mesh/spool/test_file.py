"""Tests of mesh.spool.file and mesh.spool.schema: opening what may be anything, and the room that is kept."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from pathlib import Path

import pytest

from mesh import SpoolError
from mesh.spool import schema
from mesh.spool.store import Store


def put(store: Store, *bodies: bytes) -> list[int]:
    return store.change(store.putting("a.b", bodies, ""))


def bodies(directory: Path) -> list[bytes]:
    store = Store(directory)
    try:
        return [record.body for record in store.fetch("a.b")]
    finally:
        store.close()


def killed(directory: Path, copy: Path) -> None:
    """Make a spool, and a copy of it as a killed process would leave it."""
    store = Store(directory)
    put(store, b"1")
    put(store, b"2")
    copy.mkdir()
    for path in directory.iterdir():
        (copy / path.name).write_bytes(path.read_bytes())
    store.close()


def test_its_files_are_the_users_own(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = Store(tmp_path / "s")
        put(store, b"secret")
        modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "s").iterdir()}
        assert (tmp_path / "s").stat().st_mode & 0o777 == 0o700
        store.close()
    finally:
        os.umask(before)
    assert {modes[name] for name in ("spool.db", "spool.db-wal", "write.lock", "open.lock")} == {0o600}


def test_what_a_killed_process_left_half_made_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "spool.db.new").write_bytes(b"half")
    (tmp_path / "spool.db.new-journal").write_bytes(b"half")
    assert bodies(tmp_path) == []
    assert not list(tmp_path.glob("*.new*"))


def set_version(directory: Path, version: int) -> None:
    with sqlite3.connect(directory / schema.FILE) as connection:
        connection.execute(f"PRAGMA user_version={version}")
    connection.close()


@pytest.mark.parametrize(
    ("version", "sentence"),
    [
        (3, r"was made by a newer version of this program \(form 3; this one reads 2\); install that version"),
        (1, r"was made by an older version of this program \(form 1; this one reads 2\); empty the spool with"),
    ],
)
def test_a_file_of_another_version_is_left_alone(tmp_path: Path, version: int, sentence: str) -> None:
    Store(tmp_path).close()
    set_version(tmp_path, schema.tagged(version))
    before = (tmp_path / schema.FILE).read_bytes()
    with pytest.raises(SpoolError, match=sentence):
        Store(tmp_path)
    assert (tmp_path / schema.FILE).read_bytes() == before
    assert not list(tmp_path.glob("damaged*"))
    assert (tmp_path / "reserve").exists()


@pytest.mark.parametrize("octets", [0, 10, 4096, 20_000])
def test_a_file_that_was_cut_off_is_replaced_by_what_is_left(tmp_path: Path, octets: int) -> None:
    store = Store(tmp_path)
    put(store, *[bytes(200)] * 1000)
    store.close()
    os.truncate(tmp_path / schema.FILE, octets)
    store = Store(tmp_path)
    assert store.stats().ready == len(store.fetch("a.b"))
    assert bool(store.fetch("a.b")) == (octets == 20_000)
    store.close()
    assert list(tmp_path.glob("damaged-*.db"))


def test_a_directory_may_have_any_name(tmp_path: Path) -> None:
    directory = tmp_path / "a name? with # all %41 sorts"
    store = Store(directory)
    put(store, b"1")
    store.close()
    assert bodies(directory) == [b"1"]
    assert (directory / schema.FILE).exists()


def test_a_version_in_which_a_bit_has_changed_is_damage(tmp_path: Path) -> None:
    store = Store(tmp_path)
    put(store, b"1")
    store.close()
    set_version(tmp_path, schema.tagged(1) ^ 2)
    assert bodies(tmp_path) == [b"1"]
    assert list(tmp_path.glob("damaged*"))


def test_a_kill_is_no_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    killed(tmp_path / "a", tmp_path / "b")
    with caplog.at_level(logging.INFO):
        assert bodies(tmp_path / "b") == [b"1", b"2"]
    assert not caplog.records
    assert not list((tmp_path / "b").glob("damaged*"))


def test_what_another_process_left_in_the_wal_is_not_continued(tmp_path: Path) -> None:
    """If an fsync of it failed, frames look written that are not; none of ours may come behind them."""
    killed(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "b" / "spool.db-wal").stat().st_size > 0
    store = Store(tmp_path / "b")
    assert (tmp_path / "b" / "spool.db-wal").stat().st_size == 0
    store.close()


@pytest.mark.parametrize("index", [False, True])
def test_the_end_of_the_wal_is_not_left_out_when_a_bit_in_it_has_changed(tmp_path: Path, index: bool) -> None:
    killed(tmp_path / "a", tmp_path / "b")
    wal = tmp_path / "b" / "spool.db-wal"
    octets = bytearray(wal.read_bytes())
    octets[-4096 - 24 + 9] ^= 1  # in the salts of the last frame
    wal.write_bytes(octets)
    if not index:
        (tmp_path / "b" / "spool.db-shm").unlink()
    assert bodies(tmp_path / "b") == [b"1", b"2"]


def test_a_wal_that_was_cut_short_is_told_and_kept_if_a_record_is_not_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    killed(tmp_path / "a", tmp_path / "b")
    wal = tmp_path / "b" / "spool.db-wal"
    wal.write_bytes(wal.read_bytes().replace(b"a.b2", b"a.b3"))
    (tmp_path / "b" / "spool.db-shm").unlink()
    assert bodies(tmp_path / "b") == [b"1"]
    assert "what is whole in it was kept, and so is the WAL" in caplog.text
    assert len(list((tmp_path / "b").glob("damaged-*.db-wal"))) == 1


def test_only_the_first_process_looks_at_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = Store(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("mesh.spool.file.SpoolFile.check", lambda self: pytest.fail("it was looked at again"))
        second = Store(tmp_path)
        first.close()
        third = Store(tmp_path)
    second.close()
    third.close()
    monkeypatch.setattr("mesh.spool.file.SpoolFile.check", lambda self: "it is looked at")
    Store(tmp_path).close()
    assert list(tmp_path.glob("damaged-*"))


def test_a_put_is_refused_while_the_room_cannot_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    put(store, b"1")
    store.close()
    (tmp_path / "reserve").unlink()

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "posix_fallocate", full)
        store = Store(tmp_path)
        with pytest.raises(SpoolError, match="No space left on device: less than 8 MiB are free there; make room"):
            put(store, b"2")
        assert [record.body for record in store.fetch("a.b")] == [b"1"]
        assert store.settle("a.b", [(1, 1)]) == 1
        store.close()
        assert not (tmp_path / "reserve").exists()
    store = Store(tmp_path)
    assert put(store, b"2") == [2]
    store.close()


@pytest.mark.parametrize(
    ("code", "name", "remedy"),
    [
        (sqlite3.SQLITE_FULL, "SQLITE_FULL", "the disk is full: make room on it"),
        (sqlite3.SQLITE_IOERR_FSYNC, "SQLITE_IOERR_FSYNC", "the disk does not work: look at the system's log"),
        (sqlite3.SQLITE_READONLY, "SQLITE_READONLY", "mend its permissions or the mount"),
        (sqlite3.SQLITE_BUSY, "SQLITE_BUSY", "another program has held it for 30 s"),
        (sqlite3.SQLITE_NOMEM, "SQLITE_NOMEM", "open the spool again"),
    ],
)
def test_what_sqlite_complains_of_gets_a_remedy(tmp_path: Path, code: int, name: str, remedy: str) -> None:
    error = sqlite3.OperationalError("why")
    error.sqlite_errorcode, error.sqlite_errorname = code, name
    sentence = str(schema.explain(tmp_path, error))
    assert sentence.startswith(f"{tmp_path / 'spool.db'}: ")
    assert remedy in sentence
    assert sentence.endswith(f"({name}: why)")


def test_what_cannot_be_opened_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / schema.FILE).mkdir()
    with pytest.raises(SpoolError, match=r"spool\.db"):
        Store(tmp_path)
