"""Waiting until a spool changes: at once for what this process changes, by looking for what others do."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from types import TracebackType
from typing import Self

from mesh.errors import ConfigError
from mesh.spool.store import Store

__all__ = ["AsyncChanges", "Changes"]

_LOOK_S = 0.05
"""How often to look for what other processes have changed."""


class _Deadline:
    def __init__(self, timeout: float | None) -> None:
        if timeout is not None and (isinstance(timeout, bool) or not isinstance(timeout, int | float) or timeout < 0):
            raise ConfigError(f"timeout is {timeout!r}; give seconds, or None to wait for ever")
        self._at = float("inf") if timeout is None else time.monotonic() + timeout

    def pause_s(self) -> float:
        """Return how long to wait before the next look; 0 if the time is over."""
        return min(_LOOK_S, max(0.0, self._at - time.monotonic()))


class Changes:
    """Waits in a thread; use it in a `with` statement. Raises ConfigError: `timeout` is no number of seconds."""

    def __init__(self, store: Store, timeout: float | None) -> None:
        self._deadline = _Deadline(timeout)
        self._changed = threading.Event()
        self._store = store

    def wait(self) -> bool:
        """Return True when it is time to look again, False when the time is over."""
        pause_s = self._deadline.pause_s()
        if self._changed.wait(pause_s):
            self._changed.clear()
        return pause_s > 0

    def __enter__(self) -> Self:
        """Begin to notice changes."""
        self._unlisten = self._store.listen(self._changed.set)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._unlisten()


class AsyncChanges:
    """Waits in a coroutine, and is `Changes` in everything else."""

    def __init__(self, store: Store, timeout: float | None) -> None:
        self._deadline = _Deadline(timeout)
        self._changed = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._store = store

    async def wait(self) -> bool:
        """Return True when it is time to look again, False when the time is over."""
        pause_s = self._deadline.pause_s()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):
                await self._changed.wait()
            self._changed.clear()
        return pause_s > 0

    def _notice(self) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._changed.set)

    def __enter__(self) -> Self:
        """Begin to notice changes."""
        self._unlisten = self._store.listen(self._notice)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End it."""
        self._unlisten()
