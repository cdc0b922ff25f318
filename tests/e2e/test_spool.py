"""Spools and warehouses as programs: killed at any moment, and used as people use them."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
from pathlib import Path

import pytest

from mesh import Spool
from scripts.spool_kill import run
from tests.helpers import PATIENCE_S, free_port, spawn, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.slow]


@pytest.mark.timeout(120)
def test_a_hundred_kills_lose_nothing_and_double_nothing() -> None:
    verdict = run(100, seed=20261122)
    assert (verdict.lost, verdict.doubled, verdict.disordered, verdict.quarantined) == (0, 0, 0, 0), verdict
    assert sum(verdict.kills.values()) == 100
    assert all(number >= 5 for number in verdict.kills.values()), verdict
    assert verdict.acknowledged > 1000
    assert verdict.stored >= verdict.acknowledged


def mesh(*words: object) -> list[str]:
    return [sys.executable, "-m", "mesh.cli.main", *map(str, words)]


def test_a_warehouse_keeps_rows_says_how_many_and_stops_in_good_order(tmp_path: Path) -> None:
    endpoint, db = f"tcp://127.0.0.1:{free_port()}", tmp_path / "w.db"
    with (
        spawn(mesh("warehouse", "--db", db, "--bind", endpoint, "--no-advertise", "--json")) as warehouse,
        Spool(tmp_path / "spool", servers=[endpoint], discover=False) as spool,
    ):
        spool.put_many("warehouse.ingest", [b'{"watts": 3}', b"\xff"])
        assert spool.flush(PATIENCE_S)
        with spawn(mesh("call", "--server", endpoint, "warehouse.count")) as call:
            assert call.wait() == 0
            assert json.loads(call.stdout[0])["records"] == 2
        assert warehouse.terminate() == 0
        first, last = map(json.loads, warehouse.stdout)
    assert first["methods"] == ["warehouse.ingest", "warehouse.count"]
    assert first["name"].startswith("warehouse-")
    assert last == {"records": 2, "duplicates": 0, "refusals": 0}
    with contextlib.closing(sqlite3.connect(db)) as look:
        assert look.execute("SELECT body FROM records ORDER BY id").fetchall() == [('{"watts": 3}',), (b"\xff",)]


def test_a_warehouse_keeps_lines_under_another_name_of_its_service(tmp_path: Path) -> None:
    endpoint, lines = f"tcp://127.0.0.1:{free_port()}", tmp_path / "w.jsonl"
    options = ("--service", "archive", "--bind", endpoint, "--no-advertise")
    with spawn(mesh("warehouse", "--jsonl", lines, *options)) as warehouse:
        warehouse.wait_line("serving archive as archive-")
        with Spool(tmp_path / "spool", servers=[endpoint], discover=False) as spool:
            spool.put("archive.ingest", b"a line")
            assert spool.flush(PATIENCE_S)
            wait_until(lambda: lines.read_text().count("\n") == 1)
            assert json.loads(lines.read_text())["body"] == "a line"
        assert warehouse.terminate() == 0
        assert warehouse.stderr[-1] == "mesh: records: 1, duplicates left out: 0, refusals: 0"


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        ((), 2, "one of the arguments --db --jsonl is required"),
        (("--db", "nowhere/w.db"), 1, "it cannot be opened: mend the path"),
        (("--jsonl", "nowhere/w.jsonl"), 1, "cannot be written (No such file or directory)"),
        (("--db", "w.db", "--service", "ware house"), 2, "service name 'ware house'"),
        (("--db", "w.db", "--bind", "tcp://nonsense"), 2, "cannot bind 'tcp://nonsense'"),
    ],
)
def test_what_cannot_be_a_warehouse_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], code: int, sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    project = str(Path(__file__).parent.parent.parent)
    with spawn(mesh("warehouse", *words), env={"PYTHONPATH": project}) as warehouse:
        assert warehouse.wait() == code
        assert sentence in warehouse.stderr[-1]
        assert len(warehouse.stderr) == 1
