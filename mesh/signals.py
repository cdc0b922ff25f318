"""Signals for whoever waits: to be told to stop, or to read them beside other things that come."""

from __future__ import annotations

import os
import select
import signal
import socket
import time
from types import FrameType, TracebackType
from typing import Self

__all__ = ["SignalPipe", "StopSignals"]


class SignalPipe:
    """Makes signals readable inside its `with` block, which is to be in the main thread.

    Args:
        numbers: Which ones; others do what they did before.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self._numbers = numbers
        self._reading, self._writing = socket.socketpair()
        for end in (self._reading, self._writing):
            end.setblocking(False)

    @property
    def descriptor(self) -> int:
        """Is readable when a signal has come."""
        return self._reading.fileno()

    def read(self) -> list[signal.Signals]:
        """Return the signals that have come, in order; the same one may be there once for several."""
        try:
            return [signal.Signals(number) for number in self._reading.recv(4096) if number in self._numbers]
        except BlockingIOError:
            return []

    def __enter__(self) -> Self:
        """Begin to catch."""
        # Python writes the number of each signal that has a handler; a full pipe has woken its reader already.
        self._wakeup_before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._on_signal) for number in self._numbers}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the signals to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._reading.close()
        self._writing.close()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Do nothing: the pipe tells."""


class StopSignals(SignalPipe):
    """Catches SIGINT and SIGTERM inside its `with` block, in the main thread; a second one ends the process at once."""

    def __init__(self) -> None:
        super().__init__(signal.SIGINT, signal.SIGTERM)
        self._asked = False

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return True when a signal came, False after `timeout_s` seconds without."""
        # The kernel may give a signal to another thread, after a SIGCONT for instance. A lock would go on waiting in
        # this one, and the handler wait with it; the pipe wakes it.
        until = None if timeout_s is None else time.monotonic() + timeout_s
        while not self._asked:
            left_s = None if until is None else max(0.0, until - time.monotonic())
            if not select.select([self.descriptor], [], [], left_s)[0]:
                break
            self.read()  # it tells of signals that others wait for, too
        return self._asked

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(128 + number)
        self._asked = True
