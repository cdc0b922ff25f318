"""Waiting for descriptors, with epoll and without."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from mesh.io import poller as module
from mesh.io.poller import Poller, Wake
from tests.helpers import PATIENCE_S


@pytest.fixture(params=["epoll", "selectors"])
def poller(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Poller]:
    """A poller of each kind, as far as the machine has it."""
    if request.param == "epoll" and not module._EPOLL:
        pytest.skip("this machine has no epoll")
    monkeypatch.setattr(module, "_EPOLL", request.param == "epoll")
    poller = Poller()
    yield poller
    poller.close()


@pytest.fixture
def wake() -> Iterator[Wake]:
    wake = Wake()
    yield wake
    wake.close()


def test_it_returns_what_is_readable(poller: Poller, wake: Wake) -> None:
    poller.add(wake.descriptor)
    assert poller.wait(0.0) == []
    wake.set()
    assert poller.wait(PATIENCE_S) == [wake.descriptor]
    assert poller.wait(None) == [wake.descriptor]
    wake.clear()
    assert poller.wait(0.0) == []


def test_what_was_removed_wakes_no_more(poller: Poller, wake: Wake) -> None:
    poller.add(wake.descriptor)
    wake.set()
    poller.remove(wake.descriptor)
    poller.remove(wake.descriptor)
    assert poller.wait(0.0) == []


def test_what_is_paused_wakes_again_after_resume(poller: Poller, wake: Wake) -> None:
    poller.add(wake.descriptor)
    wake.set()
    poller.pause(wake.descriptor)
    assert poller.wait(0.0) == []
    poller.resume(wake.descriptor)
    assert poller.wait(PATIENCE_S) == [wake.descriptor]


def test_another_thread_wakes_it(poller: Poller, wake: Wake) -> None:
    poller.add(wake.descriptor)
    thread = threading.Thread(target=wake.set)
    thread.start()
    assert poller.wait(PATIENCE_S) == [wake.descriptor]
    thread.join()


def test_a_wake_can_be_set_until_its_pipe_is_full_and_is_cleared_at_once(wake: Wake) -> None:
    for _ in range(70_000):
        wake.set()
    wake.clear()
    with pytest.raises(BlockingIOError):
        os.read(wake.descriptor, 1)


def test_a_wake_that_is_set_after_its_end_writes_into_nobody_elses_descriptor() -> None:
    wake = Wake()
    wake.close()
    reading, writing = os.pipe()  # gets the numbers that have become free
    try:
        os.set_blocking(reading, False)
        wake.set()
        with pytest.raises(BlockingIOError):
            os.read(reading, 1)
    finally:
        os.close(reading)
        os.close(writing)
