"""Being told to stop, in the midst of anything."""

from __future__ import annotations

import signal
import sys
import textwrap

from mesh.signals import StopSignals
from tests.helpers import spawn


def test_a_signal_that_came_before_the_wait_ends_it_and_its_handler_is_left_as_it_was() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals() as signals:
        assert not signals.wait(0.0)
        signal.raise_signal(signal.SIGTERM)
        assert signals.wait(5.0)
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_signal_ends_the_process_at_once() -> None:
    program = """
        import signal
        from mesh.signals import StopSignals
        with StopSignals():
            signal.raise_signal(signal.SIGTERM)
            print("first")
            signal.raise_signal(signal.SIGINT)
            print("second")
        """
    with spawn([sys.executable, "-u", "-c", textwrap.dedent(program)]) as process:
        assert process.wait() == 128 + signal.SIGINT
        assert process.lines == ["first"]
