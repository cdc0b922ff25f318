"""What runs until it is told to stop: by SIGINT or SIGTERM; a second one ends the process at once."""

from __future__ import annotations

import os
import queue
import signal
from types import FrameType, TracebackType
from typing import Self

__all__ = ["StopSignals"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """Catches the signals inside its `with` block, which is to be in the main thread."""

    def __init__(self) -> None:
        # The only thing to wait for that a handler may set: it is called in the midst of whatever the main thread does.
        self._caught: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._asked = False
        self._before = {number: signal.getsignal(number) for number in _SIGNALS}

    def wait(self, timeout_s: float | None = None) -> bool:
        """Return True when a signal came, False after `timeout_s` seconds without."""
        try:
            self._caught.get(timeout=timeout_s)
        except queue.Empty:
            return False
        return True

    def __enter__(self) -> Self:
        """Begin to catch."""
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the signals to whoever had them."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            os._exit(128 + number)
        self._asked = True
        self._caught.put(number)
