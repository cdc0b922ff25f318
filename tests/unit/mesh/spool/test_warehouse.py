"""The ready-made far end: rows of a table, or lines of JSON, each once."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mesh import RemoteError, SpoolError, Status
from mesh.spool.warehouse import Warehouse
from tests.helpers.spools import PRODUCER, record, send


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_record_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with Warehouse.in_table(path) as warehouse:
        bodies = [b'{"a": 1}', b"\xff\x00", b"a\x00b", "grün".encode(), b"\xff", b"\xfe"]
        send(warehouse.inbox, [record(seq, body, stream="s") for seq, body in enumerate(bodies, 1)])
        send(warehouse.inbox, [record(1, bodies[0])])
        assert warehouse.counts().records == 6
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT seq, stream, at, body, CAST(body AS BLOB) FROM records ORDER BY id").fetchall()
        assert db.execute("SELECT json_extract(body, '$.a') FROM records WHERE id = 1").fetchone() == (1,)
    assert [row[:3] for row in rows] == [(seq, "s", 1000.0 + seq) for seq in range(1, 7)]
    assert [row[3] for row in rows] == ['{"a": 1}', b"\xff\x00", b"a\x00b", "grün", b"\xff", b"\xfe"]
    assert [row[4] for row in rows] == bodies


def test_each_record_of_a_long_batch_is_a_row_of_its_own(tmp_path: Path) -> None:
    path, other = tmp_path / "w.db", b"another one, 16o"
    records = [record(seq, stream=f"s{seq % 3}", producer=other if seq > 210 else PRODUCER) for seq in range(1, 250)]
    with Warehouse.in_table(path) as warehouse:
        send(warehouse.inbox, records)
    with contextlib.closing(sqlite3.connect(path)) as db:
        rows = db.execute("SELECT producer, seq, stream, at, body FROM records ORDER BY id").fetchall()
        assert db.execute("SELECT count(DISTINCT received) FROM records").fetchone() == (1,)
    assert rows == [(one.producer, one.seq, one.stream, one.at, one.body.decode()) for one in records]


def test_a_table_of_other_columns_says_so(tmp_path: Path) -> None:
    path = tmp_path / "w.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE records (x)")
    with pytest.raises(SpoolError, match="has a table 'records' with other columns"):
        Warehouse.in_table(path)


def test_each_record_is_a_line(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    with Warehouse.in_lines(path) as warehouse:
        send(warehouse.inbox, [record(1, "grün\n".encode()), record(2, b"\xff", stream="s")])
        send(warehouse.inbox, [record(2, b"\xff", stream="s"), record(3)])
    producer = record(1).producer.hex()
    assert lines(path) == [
        {"at": 1001.0, "producer": producer, "seq": 1, "body": "grün\n"},
        {"at": 1002.0, "producer": producer, "seq": 2, "stream": "s", "body_base64": "/w=="},
        {"at": 1003.0, "producer": producer, "seq": 3, "body": "body 3"},
    ]


def test_lines_that_were_not_acknowledged_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    with Warehouse.in_lines(path) as warehouse:
        send(warehouse.inbox, [record(1)])
    with path.open("a") as file:
        file.write('{"half a li')
    with Warehouse.in_lines(path) as warehouse:
        assert len(lines(path)) == 1
        with path.open("a") as file:
            file.write("left by a transaction that failed\n")
        send(warehouse.inbox, [record(2)])
    assert [line["seq"] for line in lines(path)] == [1, 2]


def test_an_error_of_the_disk_leaves_no_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.jsonl"

    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    with Warehouse.in_lines(path) as warehouse:
        monkeypatch.setattr("mesh.spool.lines.os.fdatasync", fail)
        with pytest.raises(RemoteError, match="Input/output error") as caught:
            send(warehouse.inbox, [record(1)])
        assert caught.value.code is Status.UNAVAILABLE
        monkeypatch.undo()
        send(warehouse.inbox, [record(1)])
    assert [line["seq"] for line in lines(path)] == [1]


def test_a_file_that_was_moved_away_is_followed_by_a_new_one(tmp_path: Path) -> None:
    path, old = tmp_path / "w.jsonl", tmp_path / "w.jsonl.1"
    with Warehouse.in_lines(path) as warehouse:
        send(warehouse.inbox, [record(1)])
        path.rename(old)
        send(warehouse.inbox, [record(1), record(2)])
        path.unlink()
        path.write_text("what others have written\n")
        send(warehouse.inbox, [record(3)])
    assert [line["seq"] for line in lines(old)] == [1]
    assert path.read_text().startswith("what others have written\n{")


def test_a_file_that_others_have_cut_takes_nothing_and_says_why(tmp_path: Path) -> None:
    path = tmp_path / "w.jsonl"
    with Warehouse.in_lines(path) as warehouse:
        send(warehouse.inbox, [record(1)])
        os.truncate(path, 3)
        with pytest.raises(RemoteError, match=r"has 3 octets, and \d+ were acknowledged") as caught:
            send(warehouse.inbox, [record(2)])
        assert caught.value.code is Status.UNAVAILABLE
    with pytest.raises(SpoolError, match="put back what is missing, or move the file away"):
        Warehouse.in_lines(path)


@pytest.mark.parametrize("place", ["nowhere/w.jsonl", "."])
def test_a_file_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path, place: str) -> None:
    with pytest.raises(SpoolError, match="cannot be written"):
        Warehouse.in_lines(tmp_path / place)
    assert list(tmp_path.iterdir()) == []


def test_the_mark_stays_with_the_file(tmp_path: Path) -> None:
    marks = []
    for _ in range(2):
        with Warehouse.in_table(tmp_path / "w.db") as warehouse:
            marks.append(warehouse.mark)
    assert len(set(marks)) == 1
    with Warehouse.in_table(tmp_path / "other.db") as warehouse:
        assert warehouse.mark not in marks
