"""A bell wakes the thread that waits for it, whichever kind it is, and holds a descriptor no longer than it is used."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import pytest

from mesh.io import bell as module
from mesh.io.bell import Bell, Bells
from tests.helpers import PATIENCE_S, wait_until

pytestmark = pytest.mark.skipif(not module._EVENTS, reason="this machine has no eventfd")


@pytest.fixture(params=["event", "lock"])
def make(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Bell]:
    """Makes a bell of each kind."""
    monkeypatch.setattr(module, "_EVENTS", request.param == "event")
    return lambda: Bells().take()


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], object]]:
    """Has something done when SIGUSR1 comes."""
    before = signal.getsignal(signal.SIGUSR1)
    yield lambda do: signal.signal(signal.SIGUSR1, lambda *_: do())
    signal.signal(signal.SIGUSR1, before)


def signal_main_when_it_waits(then: Callable[[], object]) -> threading.Thread:
    main = threading.main_thread().ident
    assert main is not None

    def send() -> None:
        wait_until(lambda: sys._current_frames()[main].f_code is module._Event.wait.__code__)
        signal.pthread_kill(main, signal.SIGUSR1)
        then()

    thread = threading.Thread(target=send)
    thread.start()
    return thread


def test_a_bell_ends_the_waiting_once_for_each_time_that_it_is_rung(make: Callable[[], Bell]) -> None:
    bell = make()
    bell.ring()
    bell.wait()
    thread = threading.Thread(target=bell.wait)
    thread.start()
    thread.join(0.01)
    assert thread.is_alive()
    bell.ring()
    thread.join(PATIENCE_S)
    assert not thread.is_alive()


def test_a_signal_that_is_handled_does_not_end_the_waiting(on_signal: Callable[[Callable[[], object]], object]) -> None:
    handled = threading.Event()
    on_signal(handled.set)
    bell = Bells().take()

    def ring() -> None:
        assert handled.wait(PATIENCE_S)
        bell.ring()

    thread = signal_main_when_it_waits(ring)
    bell.wait()
    assert handled.is_set()
    thread.join()


def test_an_interrupt_ends_the_waiting(on_signal: Callable[[Callable[[], object]], object]) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    on_signal(interrupt)
    bell = Bells().take()
    thread = signal_main_when_it_waits(lambda: None)
    with pytest.raises(KeyboardInterrupt):
        bell.wait()
    thread.join()


def test_a_bell_is_used_again() -> None:
    bells = Bells()
    bell = bells.take()
    assert bells.take() is not bell
    bells.give_back(bell)
    assert bells.take() is bell


def test_only_so_many_bells_hold_a_descriptor() -> None:
    bells = Bells()
    taken = [bells.take() for _ in range(module._EVENTS_MAX + 2)]
    assert [type(bell) is module._Event for bell in taken].count(True) == module._EVENTS_MAX


def test_a_bell_needs_no_descriptor_where_none_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> int:
        raise OSError("too many open files")

    monkeypatch.setattr(os, "eventfd", fail)
    bell = Bells().take()
    bell.ring()
    bell.wait()


def test_a_descriptor_is_released_when_all_is_closed_and_its_bell_not_used_any_more() -> None:
    bells = Bells()
    bell, quiet = bells.take(), bells.take()
    assert isinstance(bell, module._Event)
    assert isinstance(quiet, module._Event)
    used, unused = bell._descriptor, quiet._descriptor
    bells.give_back(quiet)
    del quiet
    bells.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(unused)
    bell.ring()
    bells.give_back(bell)
    del bell
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(used)
