"""Tests of mesh.spool.pages: a damaged page costs the records that have octets in it, and no other."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.spool import schema
from mesh.spool.ranges import Ranges
from mesh.spool.salvage import salvage
from mesh.spool.store import Store

_PAGE = schema.PAGE_OCTETS
_RECORDS = 100
_OCTETS = 400
_IN_A_PAGE = -(-_PAGE // _OCTETS) + 1


@pytest.fixture(params=["file", "wal"])
def directory(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A spool with a bundle that fills several pages, in the file or in its WAL, as a kill leaves it."""
    store = Store(tmp_path / "source")
    store.change(store.putting("a.b", [bytes([number]) * _OCTETS for number in range(_RECORDS)], "stream"))
    if request.param == "file":
        store._file.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    shutil.copytree(tmp_path / "source", tmp_path / "s")
    store.close()
    return tmp_path / "s"


def change(directory: Path, work: Callable[[bytearray, int], None]) -> None:
    """Have this done to the octets that hold the records, given where the page begins with the last one but some."""
    path = max(directory.glob("spool.db*"), key=lambda path: path.read_bytes().count(b"spR1"))
    octets = bytearray(path.read_bytes())
    step = _PAGE + 24 if path.name.endswith("-wal") else _PAGE
    begin = 32 + 24 if path.name.endswith("-wal") else 0
    at = octets.index(bytes([60]) * 100)
    work(octets, at - (at - begin) % step)
    path.write_bytes(octets)


def first_record(octets: bytearray) -> int:
    """Return where the record with the number 1 begins."""
    at = octets.index(b"spR1")
    while octets[at + 28 : at + 36] != (1).to_bytes(8, "big"):
        at = octets.index(b"spR1", at + 1)
    return at


def found(directory: Path) -> tuple[list[int], int]:
    """Salvage; return the numbers of the records that are not there, and how many are damaged and in quarantine."""
    salvage(directory, "it was damaged")
    store = Store(directory)
    try:
        bodies = {record.seq: record.body for record in store.fetch("a.b")}
        damaged = store.entries(1000, "quarantined")
    finally:
        store.close()
    assert all(body == bytes([seq - 1]) * _OCTETS for seq, body in bodies.items())
    assert all(entry.record is None for entry in damaged)
    return sorted(set(range(1, _RECORDS + 1)) - set(bodies)), len(damaged)


def test_a_page_that_is_gone_costs_what_was_in_it(directory: Path) -> None:
    def work(octets: bytearray, page: int) -> None:
        octets[page : page + _PAGE] = bytes(_PAGE)

    change(directory, work)
    missing, damaged = found(directory)
    assert 1 < len(missing) <= _IN_A_PAGE
    assert missing == list(range(missing[0], missing[-1] + 1))
    assert damaged == 1, "it begins on the page before"


def test_a_page_that_does_not_tell_the_next_one_costs_the_record_at_its_end(directory: Path) -> None:
    def work(octets: bytearray, page: int) -> None:
        octets[page + 3] ^= 1

    change(directory, work)
    missing, damaged = found(directory)
    assert len(missing) == damaged == 1


def test_the_first_record_of_a_bundle_costs_no_other(directory: Path) -> None:
    def work(octets: bytearray, page: int) -> None:
        at = first_record(octets)
        octets[at : at + 300] = bytes(300)

    change(directory, work)
    assert found(directory) == ([1], 0)


def test_the_head_of_a_row_costs_nothing_or_a_record(directory: Path) -> None:
    def work(octets: bytearray, page: int) -> None:
        at = first_record(octets)
        octets[at - 8 : at] = bytes(8)

    change(directory, work)
    missing, _ = found(directory)
    assert len(missing) <= 1


def test_records_are_found_wherever_a_page_parts_them(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    rng = random.Random(1)
    for _ in range(8):
        store.change(store.putting("a.b", [rng.randbytes(rng.randint(0, 60)) for _ in range(1000)], ""))
    records = store.fetch("a.b", limit=8000)
    store.close()
    salvage(tmp_path / "s", "it was damaged")
    store = Store(tmp_path / "s")
    assert [(one.seq, one.body) for one in store.fetch("a.b", limit=8000)] == [(one.seq, one.body) for one in records]
    store.close()


def test_what_was_delivered_is_not_taken_for_damaged(tmp_path: Path) -> None:
    rng = random.Random(10)  # of 14, the one that leaves pages of all kinds that are in no use
    store = Store(tmp_path / "s")
    waiting: set[int] = set()
    for _ in range(60):
        bodies = [rng.randbytes(rng.choice((0, 200, 1000, 3000)))] * rng.choice((1, 1, 1, 5, 30, 200))
        waiting.update(store.change(store.putting("a.b", bodies, "")))
        if rng.random() < 0.5:
            gone = range(min(waiting), min(waiting) + rng.randint(0, 300))
            store.settle("a.b", Ranges.of(gone))
            waiting.difference_update(gone)
        if rng.random() < 0.3:
            store._file.writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.close()
    salvage(tmp_path / "s", "it was damaged")
    store = Store(tmp_path / "s")
    assert waiting <= {record.seq for record in store.fetch("a.b", limit=100_000, octets_max=1 << 30)}
    assert store.stats().quarantined == 0
    store.close()
