"""Locks among processes: files that the kernel unlocks when their holder dies."""

from __future__ import annotations

import fcntl
import os
import time
import weakref
from pathlib import Path
from types import TracebackType

from mesh.errors import SpoolError

__all__ = ["FileLock"]

_WAIT_S = 30.0
_PAUSE_S, _PAUSE_MAX_S = 50e-6, 1e-3


_open: weakref.WeakSet[FileLock] = weakref.WeakSet()


def _after_fork() -> None:
    """Let go in a child: the kernel unlocks a file when its last descriptor is closed, also one that was forked."""
    for lock in list(_open):
        lock.close()


os.register_at_fork(after_in_child=_after_fork)


class FileLock:
    """A file of the spool's directory to hold, shared or alone. Of two in one process each is a holder of its own."""

    def __init__(self, directory: Path, name: str) -> None:
        self._directory = directory
        self._path = directory / name
        self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _open.add(self)

    def take_if_free(self) -> bool:
        """Hold it alone if nobody holds it; return whether."""
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def share(self) -> None:
        """Hold it with others; nobody may hold it alone who does not let go at once."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)

    def __enter__(self) -> None:
        """Hold it alone, as soon as nobody else holds it. Raises SpoolError after 30 s."""
        # Looking again and again, for a process that stands still would hold up the others for ever.
        pause_s, give_up_at = _PAUSE_S, time.monotonic() + _WAIT_S
        while not self.take_if_free():
            if time.monotonic() > give_up_at:
                raise SpoolError(
                    f"{self._path} was held by another process for {_WAIT_S:g} s; continue or end that process "
                    f"(fuser {self._path} names it)",
                    path=str(self._directory),
                )
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, _PAUSE_MAX_S)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go."""
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go for good."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
