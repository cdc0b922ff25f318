"""Reading, from any thread, what belongs to a loop."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable
from typing import TypeVar

__all__ = ["in_loop"]

T = TypeVar("T")
_READ_S = 1.0
"""Time for the loop to come to it."""


def in_loop(loop: asyncio.AbstractEventLoop, read: Callable[[], T]) -> T | None:
    """Return what `read` returns in the loop; None if that is closed, or does not turn for a second."""
    try:
        if asyncio.get_running_loop() is loop:
            return read()
    except RuntimeError:  # no loop runs in this thread
        pass
    found: concurrent.futures.Future[T] = concurrent.futures.Future()

    def answer() -> None:
        try:
            found.set_result(read())
        except Exception as error:
            found.set_exception(error)

    try:
        loop.call_soon_threadsafe(answer)
        return found.result(_READ_S)
    except (RuntimeError, TimeoutError):
        return None
