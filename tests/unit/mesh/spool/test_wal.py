"""Tests of mesh.spool.wal, against WALs and indexes that SQLite has written."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.spool.wal import INDEX_OCTETS, Loss, frames, loss

_HEADER, _STEP = 32, 24 + 4096


@dataclass
class Left:
    """What a process that was killed has left."""

    directory: Path
    wal: bytes
    index: bytes

    def recovered(self, wal: bytes) -> bytes:
        """Return the index that SQLite makes of a WAL."""
        (self.directory / "b.db-wal").write_bytes(wal)
        connection = sqlite3.connect(f"file:{self.directory / 'b.db'}?mode=ro", uri=True)
        try:
            connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            return (self.directory / "b.db-shm").read_bytes()[:INDEX_OCTETS]
        finally:
            connection.close()

    def loss(self, wal: bytes, *, index: bool = False) -> Loss | None:
        return loss(wal, self.index if index else b"", self.recovered(wal))


@pytest.fixture
def left(tmp_path: Path) -> Iterator[Left]:
    """Three transactions, of which the second has several frames."""
    connection = sqlite3.connect(tmp_path / "a.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("CREATE TABLE t(a)")
    connection.execute("INSERT INTO t VALUES (zeroblob(20000))")
    connection.execute("INSERT INTO t VALUES (1)")
    for suffix in ("", "-wal"):
        (tmp_path / f"b.db{suffix}").write_bytes((tmp_path / f"a.db{suffix}").read_bytes())
    yield Left(tmp_path, (tmp_path / "a.db-wal").read_bytes(), (tmp_path / "a.db-shm").read_bytes()[:INDEX_OCTETS])
    connection.close()


def flip(octets: bytes, at: int, bit: int = 1) -> bytes:
    return octets[:at] + bytes([octets[at] ^ bit]) + octets[at + 1 :]


def transactions(left: Left) -> list[tuple[int, int]]:
    """Return the first and the last frame of each transaction."""
    found, first = [], 0
    for number, frame in enumerate(frames(left.wal, 4096)):
        if frame.commits:
            found.append((first, number))
            first = number + 1
    return found


def test_a_sound_wal_has_lost_nothing(left: Left) -> None:
    assert left.loss(left.wal) is None
    assert left.loss(left.wal, index=True) is None
    assert loss(b"", b"", b"") is None


def test_every_frame_is_seen(left: Left) -> None:
    seen = list(frames(left.wal, 4096))
    assert len(seen) == (len(left.wal) - _HEADER) // _STEP
    assert [left.wal[frame.at - 24 : frame.at - 20] for frame in seen] == [
        frame.page.to_bytes(4, "big") for frame in seen
    ]


@pytest.mark.parametrize("index", [False, True])
def test_damage_that_transactions_follow_is_certain(left: Left, index: bool) -> None:
    first, last = transactions(left)[-2]
    assert last > first
    for frame in (0, first, last):
        lost = left.loss(flip(left.wal, _HEADER + frame * _STEP + 1000), index=index)
        assert lost is not None
        assert lost.certain


def test_damage_of_the_last_transaction_is_certain_only_with_an_index(left: Left) -> None:
    at = _HEADER + transactions(left)[-1][0] * _STEP + 1000
    lost = left.loss(flip(left.wal, at))
    assert lost is not None
    assert not lost.certain
    assert lost.frame == transactions(left)[-1][0]
    assert (certain := left.loss(flip(left.wal, at), index=True)) is not None
    assert certain.certain


@pytest.mark.parametrize("at", [0, 3, 5, 11, 14, 17, 23], ids=lambda at: f"octet {at} of a head")
def test_a_changed_head_of_the_last_frame_is_seen(left: Left, at: int) -> None:
    assert left.loss(flip(left.wal, len(left.wal) - _STEP + at)) is not None


@pytest.mark.parametrize("at", range(0, _HEADER, 3))
def test_a_changed_header_is_seen(left: Left, at: int) -> None:
    lost = left.loss(flip(left.wal, at))
    assert lost is not None
    assert lost.certain


def test_a_transaction_that_was_cut_short_is_no_certain_loss(left: Left) -> None:
    first, last = transactions(left)[-2]
    until = _HEADER + last * _STEP  # without its last frame, as when the process was killed in between
    lost = left.loss(left.wal[:until])
    assert lost is not None
    assert (lost.certain, lost.frame) == (False, first)


def test_what_an_earlier_round_has_left_is_none(left: Left) -> None:
    """After a checkpoint frames are written over the old ones, which have other salts."""
    connection = sqlite3.connect(left.directory / "b.db", isolation_level=None)
    connection.execute("PRAGMA wal_checkpoint(RESTART)")
    connection.execute("INSERT INTO t VALUES (2)")
    wal = (left.directory / "b.db-wal").read_bytes()
    assert len(wal) == len(left.wal)
    index = (left.directory / "b.db-shm").read_bytes()[:INDEX_OCTETS]
    assert loss(wal, b"", index) is None
    assert loss(wal, index, index) is None
    assert loss(wal, left.index, index) is None, "an index of another round says nothing"
    connection.close()
