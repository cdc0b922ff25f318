"""Being told to stop, in the midst of anything."""

from __future__ import annotations

import os
import select
import signal
import sys
import textwrap
import threading
import time

from mesh.signals import SignalPipe, StopSignals
from tests.helpers import PATIENCE_S, spawn


def test_a_signal_that_came_before_the_wait_ends_it_and_its_handler_is_left_as_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as signals:
        assert not signals.wait(0.0)
        signal.raise_signal(signal.SIGTERM)
        assert signals.wait(PATIENCE_S)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_signal_that_the_kernel_gives_to_another_thread_ends_the_wait() -> None:
    def give() -> None:
        while sys._current_frames()[main].f_code is not StopSignals.wait.__code__:
            time.sleep(0.001)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)

    main = threading.get_ident()
    for _ in range(10):
        with StopSignals() as signals:
            thread = threading.Thread(target=give)
            thread.start()
            assert signals.wait(PATIENCE_S)
            thread.join()


def test_a_signal_for_somebody_else_does_not_end_the_wait() -> None:
    before = signal.signal(signal.SIGHUP, lambda number, frame: None)
    try:
        with StopSignals() as signals:
            signal.raise_signal(signal.SIGHUP)
            assert not signals.wait(0.01)
            signal.raise_signal(signal.SIGTERM)
            assert signals.wait()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_second_signal_ends_the_process_at_once() -> None:
    program = """
        import signal
        from mesh.signals import SignalPipe, StopSignals
        with StopSignals():
            signal.raise_signal(signal.SIGTERM)
            print("first")
            signal.raise_signal(signal.SIGINT)
            print("second")
        """
    with spawn([sys.executable, "-u", "-c", textwrap.dedent(program)]) as process:
        assert process.wait() == 128 + signal.SIGINT
        assert process.lines == ["first"]


def test_signals_are_read_beside_other_things_and_their_handlers_are_left_as_they_were() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with SignalPipe(signal.SIGHUP, signal.SIGTERM) as signals:
        assert signals.read() == []
        for number in (signal.SIGTERM, signal.SIGHUP):
            os.kill(os.getpid(), number)
        assert select.select([signals.descriptor], [], [], 5.0)[0]
        assert signals.read() == [signal.SIGTERM, signal.SIGHUP]
    assert signal.getsignal(signal.SIGHUP) is before
