"""`mesh spool`: putting records, looking at them, and setting them right."""

from __future__ import annotations

import base64
import json
import os
import sqlite3
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from mesh import Spool
from mesh.cli.parser import GROUPS
from tests.helpers import wait_until

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A spool with three records; the second has octets that are no text, the third is set aside."""
    path = tmp_path / "spool"
    with Spool(path, deliver=False, clock=lambda: 1000.0) as spool:
        spool.put_many("w.i", [b"one", b"\xff\x1b[2J"], stream="s\x1b")
        spool.put("w.other", b"three")
        spool.quarantine([3], "refused: no")
    return path


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_group_has_a_help_of_its_own(run: Run) -> None:
    code, out, err = run("spool", "--help")
    assert (code, err) == (0, "")
    assert all(f"    {word}" in out for word in GROUPS["spool"])
    assert run("spool")[0] == 2


@pytest.mark.parametrize("word", GROUPS["spool"])
def test_each_command_has_a_help(run: Run, word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    code, out, err = run("spool", word, "--help")
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: mesh spool {word} ")
    assert max(map(len, out.partition("exit codes:")[0].splitlines())) <= 80


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["lss"], "there is no command 'spool lss'; did you mean 'ls'?"),
        (["ls"], "the following arguments are required: --dir"),
        (["ls", "--dir", "gone"], "gone is no spool; name the directory that was given to mesh spool run or put"),
        (["put", "--dir", "x", "warehouse", "a"], "'warehouse' is no method; write SERVICE.METHOD"),
        (["purge", "--dir", "DIR"], "name records by their numbers, or give --all"),
        (["purge", "--dir", "DIR", "--all", "1"], "name records by their numbers, or give --all"),
        (["replay", "--dir", "DIR", "0"], "'0' is no whole number from 1"),
        (["put", "--dir", "x", "w.i", "--max-records", "0", "a"], "'0' is no whole number from 1"),
        (["run", "--dir", "x", "--syslog", "udp://*:514"], "give --to SERVICE.METHOD"),
        (["run", "--dir", "x", "--to", "w.i", "--radius", "*:1813"], "--secret-file FILE go together"),
        (["run", "--dir", "x", "--to", "w.i", "--syslog", "*:514"], "write udp://HOST:PORT or tcp://HOST:PORT"),
        (["run", "--dir", "x", "--to", "w.i", "--syslog", "udp://514"], "it does not parse; write HOST:PORT"),
        (["run", "--dir", "x", "--listen", "s"], "it does not parse; write ipc://PATH"),
        (["run", "--dir", "x", "--max-size", "1M"], "give at least 1000 records and 4M"),
    ],
)
def test_a_wrong_command_line_is_one_sentence(run: Run, path: Path, words: list[str], sentence: str) -> None:
    code, out, err = run("spool", *(str(path) if word == "DIR" else word for word in words))
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
    assert not Path("x").exists()


def test_arguments_files_and_lines_become_records(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = str(tmp_path / "new")
    assert run("spool", "put", "--dir", spool, "w.i", "a b", "") == (0, "on disk: 2 records\n", "")
    file = tmp_path / "file"
    file.write_bytes(b"x\ny\n")
    code, out, _ = run("spool", "put", "--dir", spool, "--stream", "s", "w.i", "--file", str(file), "--json")
    assert (code, json.loads(out)) == (0, {"put": 1, "first": 3, "last": 3})
    with file.open() as text:
        monkeypatch.setattr(sys, "stdin", text)
        assert run("spool", "put", "--dir", spool, "w.i") == (0, "on disk: 2 records\n", "")
    with Spool(spool, deliver=False) as opened:
        records = [entry.record for entry in opened.peek(10)]
    assert [record.body for record in records if record] == [b"a b", b"", b"x\ny\n", b"x", b"y"]
    assert [record.stream for record in records if record] == ["", "", "s", "", ""]


def test_lines_are_put_as_they_come_and_however_they_are_cut(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = tmp_path / "new"
    reading, writing = os.pipe()

    def write() -> None:
        with os.fdopen(writing, "wb", buffering=0) as feed:
            feed.write(b"one\ntw")
            wait_until(lambda: (spool / "spool.db").exists() and _ready(spool) == 1)
            feed.write(b"o\nthree")

    with os.fdopen(reading) as stdin, ThreadPoolExecutor() as pool:
        monkeypatch.setattr(sys, "stdin", stdin)
        writer = pool.submit(write)
        assert run("spool", "put", "--dir", str(spool), "w.i") == (0, "on disk: 3 records\n", "")
        writer.result()
    with Spool(spool, deliver=False) as opened:
        assert [entry.record.body for entry in opened.peek(10) if entry.record] == [b"one", b"two", b"three"]


def _ready(path: Path) -> int:
    with Spool(path, deliver=False) as spool:
        return spool.stats().ready


def test_a_full_spool_has_an_exit_code_and_what_was_put_before_is_named(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["spool", "put", "--dir", str(tmp_path / "new"), "w.i", "--max-records", "600", "--when-full"]
    code, out, err = run(*words, "reject", *map(str, range(700)))
    assert (code, out) == (5, "")
    note, sentence = err.splitlines()
    assert note == "mesh: note: on disk: 500 records, up to number 500"
    assert sentence.startswith(f"mesh: {tmp_path / 'new'}")
    code, out, err = run(*words, "block", "--timeout", "0.01", *map(str, range(200)))
    assert code == 5
    assert run(*words, "drop-oldest", *map(str, range(200)))[:2] == (0, "on disk: 200 records\n")


def test_records_are_listed(run: Run, path: Path) -> None:
    code, out, err = run("spool", "ls", "--dir", str(path))
    assert (code, err) == (0, "")
    head, first, second = out.splitlines()
    assert head.split() == ["SEQ", "METHOD", "STREAM", "AGE", "SIZE"]
    assert first.split()[:3] == ["1", "w.i", r"s\x1b"]
    assert second.split()[-1] == "5B"
    code, out, err = run("spool", "ls", "--dir", str(path), "--quarantined", "--json")
    assert lines(out) == [
        {"seq": 3, "state": "quarantined", "method": "w.other", "why": "refused: no", "stream": "", "at": 1000.0}
        | {"octets": 5}
    ]


def test_a_list_is_bounded_and_says_how_to_go_on(run: Run, path: Path) -> None:
    code, out, err = run("spool", "ls", "--dir", str(path), "--limit", "1", "--json")
    assert [entry["seq"] for entry in lines(out)] == [1]
    assert "--after 1 shows them" in err
    code, out, err = run("spool", "ls", "--dir", str(path), "--after", "2")
    assert (code, out) == (0, "")
    assert err == "mesh: note: no record is waiting\n"


def test_bodies_are_printed_as_they_are(run: Run, path: Path) -> None:
    assert run("spool", "peek", "--dir", str(path)) == (0, "one\n", "")
    assert run("spool", "peek", "--dir", str(path), "-n", "2")[1] == "one\n\udcff\x1b[2J\n"
    assert run("spool", "peek", "--dir", str(path), "--quarantined")[1] == "three\n"
    code, out, err = run("spool", "peek", "--dir", str(path), "3", "2", "9", "--json")
    assert code == 1
    assert [(entry["seq"], entry["body"], entry["encoding"]) for entry in lines(out)] == [
        (3, "three", "utf-8"),
        (2, base64.b64encode(b"\xff\x1b[2J").decode(), "base64"),
    ]
    assert "has no record 9" in err


def test_the_state_of_a_spool_is_told(run: Run, path: Path) -> None:
    code, out, err = run("spool", "stats", "--dir", str(path))
    assert (code, err) == (0, "")
    head, row = out.splitlines()
    assert head.split() == ["READY", "QUARANTINED", "SIZE", "OLDEST", "PUT", "DELIVERED", "DROPPED"]
    assert (row.split()[:2], row.split()[4:]) == (["2", "1"], ["3", "0", "0"])
    (told,) = lines(run("spool", "stats", "--dir", str(path), "--json")[1])
    assert {told[name] for name in ("ready", "put")} == {2, 3}
    assert "put_per_s" not in told


def test_records_are_set_aside_replayed_and_removed(run: Run, path: Path) -> None:
    def change(word: str, *words: str) -> tuple[int, str]:
        return run("spool", word, "--dir", str(path), *words)[:2]

    assert change("quarantine", "1", "--why", "later") == (0, "set aside: 1 record\n")
    assert change("quarantine", "1") == (1, "set aside: 0 records\n")
    assert change("replay", "--all", "--json") == (0, '{"replayed": 2}\n')
    assert change("replay", "3") == (1, "to be delivered again: 0 records\n")
    assert change("purge", "1") == (1, "removed: 0 records\n"), "it waits, and was not set aside"
    assert change("purge", "--ready", "1") == (0, "removed: 1 record\n")
    assert change("purge", "--ready", "--all", "--json") == (0, '{"purged": 2}\n')
    assert _ready(path) == 0


def test_a_spool_is_verified(run: Run, path: Path) -> None:
    assert run("spool", "verify", "--dir", str(path)) == (0, "3 records, all as put\n", "")
    with sqlite3.connect(path / "spool.db") as db:
        (row,) = db.execute("SELECT row FROM ready WHERE rowid = (SELECT min(rowid) FROM ready)").fetchone()
        db.execute("UPDATE ready SET row = ? WHERE row = ?", (row[:-1] + b"x", row))
    db.close()
    code, out, err = run("spool", "verify", "--dir", str(path))
    assert code == 1
    assert "record 2: " in err
    assert "damaged and set aside: 1 record; mesh spool purge removes them" in err
    told = lines(run("spool", "verify", "--dir", str(path), "--json")[1])[0]
    assert told["ok"] is False
    assert [damage["seq"] for damage in told["damaged"]] == [2]
    code, out, err = run("spool", "peek", "--dir", str(path), "2")
    assert (code, out) == (0, "")
    assert "record 2 is damaged" in err
