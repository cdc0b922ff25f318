"""Asking all workers how they do, from a thread that is none of the supervisor's own.

The thread that asks waits; the supervisor, woken, tells the workers, and says what they answered and who died.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

from mesh.core.figures import ServerFigures
from mesh.io.poller import Wake

__all__ = ["Survey"]

_ANSWER_S = 1.0
"""Time for a worker to answer: its loop has to turn for that."""


class Survey:
    """One question after the other, and the answers to the last."""

    def __init__(self) -> None:
        self._asking = threading.Lock()
        """One thread asks at a time."""
        self._changed = threading.Condition()
        self._wake = Wake()
        self._closed = False
        self._number = 0
        self._missing: dict[int, str] | None = None
        """Workers that have not answered, and their names; None while the supervisor has not asked them yet."""
        self._answers: list[ServerFigures] = []

    # -- of the thread that asks

    def ask(self) -> tuple[list[ServerFigures], list[str]]:
        """Return what the workers that serve have told, and the names of those that did not in time."""
        with self._asking, self._changed:
            self._number += 1
            self._missing = None
            self._answers = []
            self._wake.set()
            until = time.monotonic() + _ANSWER_S
            while not self._closed and (self._missing is None or self._missing):
                if not self._changed.wait(until - time.monotonic()) and time.monotonic() >= until:
                    break
            return self._answers, [] if self._closed else list((self._missing or {}).values())

    # -- of the supervisor

    @property
    def descriptor(self) -> int:
        """Is readable when somebody asks."""
        return self._wake.descriptor

    def begin(self, workers: Mapping[int, str]) -> int:
        """These workers are told to answer; return the number of the question."""
        self._wake.clear()
        with self._changed:
            self._missing = dict(workers)
            self._changed.notify_all()
            return self._number

    def answered(self, worker: int, number: int, figures: ServerFigures) -> None:
        """A worker has answered."""
        with self._changed:
            if number == self._number and self._missing is not None and self._missing.pop(worker, None) is not None:
                self._answers.append(figures)
                self._changed.notify_all()

    def died(self, worker: int) -> None:
        """A worker will not answer."""
        with self._changed:
            if self._missing is not None:
                self._missing.pop(worker, None)
                self._changed.notify_all()

    def close(self) -> None:
        """Nobody answers any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._wake.close()
