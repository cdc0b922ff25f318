"""A spool on disks that lie, fill up, fail and change bits: a share of scripts/spool_power.py and spool_damage.py."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh import Spool, SpoolError
from scripts import spool_damage, spool_power
from tests.helpers import needs_program, needs_root

pytestmark = pytest.mark.slow


@needs_program("strace")
def test_a_power_cut_loses_nothing_that_a_spool_has_acknowledged() -> None:
    result = spool_power.run("spool", 40, 3, 2, ("killed", "after"))
    assert result.wrong == []
    assert result.acknowledged > 100
    assert result.syncs > 40


@needs_program("strace")
def test_a_power_cut_loses_nothing_that_an_inbox_has_acknowledged() -> None:
    result = spool_power.run("inbox", 30, 3, 2, ("killed",))
    assert result.wrong == []
    assert result.acknowledged > 100


def test_a_changed_bit_costs_at_most_the_record_that_it_is_in(caplog: pytest.LogCaptureFixture) -> None:
    kinds, wrong = spool_damage.run(60, 5)
    assert wrong == []
    assert kinds["salvaged"] > 5
    assert kinds["quarantined"] > 5


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 16 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16M", "tmpfs", disk], check=True)
    yield disk
    subprocess.run(["umount", disk], check=True)


@needs_root
def test_a_full_disk_acknowledges_nothing_and_is_left_again(small_disk: Path) -> None:
    kept: list[int] = []
    with Spool(small_disk / "s", deliver=False) as spool:
        with contextlib.suppress(SpoolError):
            while True:
                kept += spool.put_many("a.b", [bytes(500)] * 50)
        with pytest.raises(SpoolError, match="the disk is full: make room on it, then open the spool again"):
            spool.put("a.b", b"")
        assert [entry.seq for entry in spool.peek(100_000)] == kept
        store = spool._store
        assert store is not None
        assert store.settle("a.b", [(kept[0], kept[99])]) == 100, (
            "what is delivered is removed although the disk is full"
        )
    with Spool(small_disk / "s", deliver=False) as spool:
        assert spool.put("a.b", b"") == kept[-1] + 1, "there was some room yet"


def fill(path: Path) -> None:
    """Write into a file until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(4096)) == 4096:
            pass


@needs_root
def test_what_waits_is_delivered_although_others_have_filled_the_disk(small_disk: Path) -> None:
    with Spool(small_disk / "s", deliver=False) as spool:
        spool.put_many("a.b", [bytes(500)] * 1000)
    fill(small_disk / "other")
    with Spool(small_disk / "s", deliver=False) as spool:
        with pytest.raises(SpoolError, match=r"less than 8 MiB are free there; make room on the disk"):
            spool.put("a.b", b"")
        store = spool._store
        assert store is not None
        assert store.settle("a.b", [(1, 900)]) == 900
    fill(small_disk / "another")
    with pytest.raises(SpoolError, match="the disk is full"):
        Spool(small_disk / "s", deliver=False).open()
    (small_disk / "other").unlink()
    (small_disk / "another").unlink()
    with Spool(small_disk / "s", deliver=False) as spool:
        assert spool.put("a.b", b"") == 1001
        assert spool.verify().repaired == ""
        assert spool.stats().ready == 101


_FAILING = """
import ctypes, sys
from mesh import Spool, SpoolError
from mesh.spool.store import Store
faults = ctypes.CDLL("libfiu.so.0")
names = [b"posix/io/sync/fdatasync", b"posix/io/sync/fsync"]
with Spool(sys.argv[1], deliver=False) as spool:
    print(*spool.put_many("a.b", [b"1", b"2"]))
    for name in names:
        faults.fiu_enable(name, 1, ctypes.c_void_p(5), 0)
    for put in (lambda: spool.put("a.b", b"3"), lambda: spool.put("a.b", b"4")):
        try:
            print("acknowledged", put())
        except SpoolError as error:
            print(error)
    for name in names:
        faults.fiu_disable(name)
    try:
        print("acknowledged", spool.put("a.b", b"5"))
    except SpoolError as error:
        print(error)
with Spool(sys.argv[1], deliver=False) as spool:
    print(spool.put("a.b", b"6") > 2)
    print(*sorted({entry.record.body.decode() for entry in spool.peek()} - {"3"}))
"""


@needs_program("fiu-run")
def test_an_fsync_that_fails_acknowledges_nothing(tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(textwrap.dedent(_FAILING))
    done = subprocess.run(
        ["fiu-run", "-x", sys.executable, program, tmp_path / "s"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.getcwd()},
    )
    sentence = (
        f"{tmp_path}/s/spool.db: the disk does not work: look at the system's log, then open the spool again "
        "(SQLITE_IOERR_FSYNC: disk I/O error)"
    )
    assert done.stdout.splitlines() == ["1 2", sentence, sentence, sentence, "True", "1 2 6"], done.stderr
