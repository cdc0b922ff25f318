"""What a test must not leave behind: threads, event loops and tasks, sockets and ZeroMQ contexts."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
from collections.abc import Callable
from typing import Any

import pytest

from tests.helpers.wait import PATIENCE_S, wait_until

__all__ = ["LoopWatch", "new_sockets", "new_threads", "open_sockets", "wait_until_gone"]

GRACE_S = PATIENCE_S
"""Seconds that threads and sockets have to disappear: closing may be asynchronous, not forgotten."""

_SOCKET_KINDS = ("socket:", "anon_inode:[eventfd]", "anon_inode:[eventpoll]")


def open_sockets() -> dict[str, str]:
    """Return this process's open descriptors of sockets, event counters and pollers, by number.

    A ZeroMQ context holds event counters and pollers as long as it is not terminated, and an event loop
    holds a poller and a socket pair, so these three kinds show all of them. Empty where there is no /proc.
    """
    found = {}
    for number in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else ():
        try:
            target = os.readlink(f"/proc/self/fd/{number}")
        except FileNotFoundError:  # the descriptor of the listing itself, or one closed meanwhile
            continue
        if target.startswith(_SOCKET_KINDS):
            found[number] = target
    return found


def new_sockets(before: dict[str, str]) -> list[str]:
    """Return the descriptors that were not open ``before``, as ``number -> kind``."""
    return [f"{number} -> {kind}" for number, kind in open_sockets().items() if before.get(number) != kind]


def new_threads(before: set[threading.Thread]) -> list[str]:
    """Return the names of the threads that did not run ``before``; pytest-timeout's own does not count."""
    return [
        thread.name
        for thread in threading.enumerate()
        if thread not in before and not thread.name.startswith("pytest_timeout ")
    ]


def wait_until_gone(leaked: Callable[[], list[str]], what: str) -> str:
    """Return a sentence about what ``leaked`` still returns after GRACE_S seconds, or an empty string.

    What only waits for the garbage collector counts as closed here: ZeroMQ, sockets and loops warn when they
    are collected open, and warnings are errors.
    """
    if not leaked():
        return ""
    gc.collect()
    try:
        wait_until(lambda: not leaked(), GRACE_S)
    except AssertionError:
        return f"the test left {what} behind: {', '.join(leaked())}"
    return ""


class LoopWatch:
    """Remembers the event loops that are made while it is installed."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._loops: list[asyncio.BaseEventLoop] = []
        original: Callable[..., None] = asyncio.BaseEventLoop.__init__

        def init(loop: asyncio.BaseEventLoop, *args: Any, **kwargs: Any) -> None:
            original(loop, *args, **kwargs)
            self._loops.append(loop)

        monkeypatch.setattr(asyncio.BaseEventLoop, "__init__", init)

    def leaked(self) -> str:
        """Return a sentence about loops that are open and tasks that are not done, or an empty string.

        The loops found open are closed, so that the next test does not suffer.
        """
        tasks = [repr(task) for loop in self._loops for task in asyncio.all_tasks(loop)]
        loops = [loop for loop in self._loops if not loop.is_closed()]
        found = [*tasks, *map(repr, loops)]
        for loop in loops:
            if not loop.is_running():
                loop.close()
        return f"the test left asyncio tasks or loops behind: {', '.join(found)}" if found else ""
