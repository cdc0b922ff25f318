"""Tests of mesh.spool.locks."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from mesh import SpoolError
from mesh.spool.locks import FileLock


def test_one_holds_it_at_a_time(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path, "a.lock"), FileLock(tmp_path, "a.lock")
    with one:
        assert not other.take_if_free()
    with other:
        assert not one.take_if_free()
    one.close()
    other.close()


def test_it_is_waited_for(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path, "a.lock"), FileLock(tmp_path, "a.lock")
    got = threading.Event()

    def wait() -> None:
        with other:
            got.set()

    with one:
        thread = threading.Thread(target=wait)
        thread.start()
        assert not got.wait(0.02)
    assert got.wait(5)
    thread.join()
    one.close()
    other.close()


def test_it_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mesh.spool.locks._WAIT_S", 0.01)
    one, other = FileLock(tmp_path, "a.lock"), FileLock(tmp_path, "a.lock")
    named = r"a\.lock was held by another process .* end that process"
    with one, pytest.raises(SpoolError, match=named) as raised, other:
        pass
    assert raised.value.path == str(tmp_path)
    one.close()
    other.close()


def test_several_may_share_it(tmp_path: Path) -> None:
    one, other = FileLock(tmp_path, "a.lock"), FileLock(tmp_path, "a.lock")
    one.share()
    other.share()
    assert not one.take_if_free()
    other.close()
    other.close()
    assert one.take_if_free()
    one.close()


def test_a_forked_child_does_not_keep_the_lock_of_its_parent(tmp_path: Path) -> None:
    mine, other = FileLock(tmp_path, "a.lock"), FileLock(tmp_path, "a.lock")
    reading, writing = os.pipe()
    assert mine.take_if_free()
    child = os.fork()
    if child == 0:
        os.write(writing, b"x")
        signal.pause()
        os._exit(0)
    try:
        os.read(reading, 1)
        assert not other.take_if_free(), "the child has let go of nothing but its own end"
        mine.close()
        assert other.take_if_free()
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        other.close()
        os.close(reading)
        os.close(writing)
