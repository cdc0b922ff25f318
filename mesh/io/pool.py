"""Threads for handlers that may block."""

from __future__ import annotations

import queue
import threading
from collections import deque
from collections.abc import Callable

__all__ = ["Pool"]


class Pool:
    """At most `size` threads, made when they are needed, that run one task after another.

    They are daemons: `concurrent.futures` waits for its threads when the interpreter exits, so that a handler that
    never ends would keep its program from ending.
    """

    def __init__(self, size: int, name: str) -> None:
        self._size = size
        self._name = name
        self._threads: list[threading.Thread] = []
        self._idle: deque[None] = deque()
        """One for each task that has ended and no other was submitted for since: somebody is free."""
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._closed = False

    def submit(self, task: Callable[[], None]) -> None:
        """Run a task, which must not raise, as soon as a thread is free; from one thread only."""
        self._tasks.put(task)
        if len(self._threads) == self._size:
            return
        if self._idle:
            self._idle.pop()
        else:
            thread = threading.Thread(target=self._work, name=f"{self._name}_{len(self._threads)}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def close(self) -> None:
        """Drop the tasks that wait and let the threads end, each after what it does now; waits for none of them."""
        self._closed = True
        for _ in self._threads:
            self._tasks.put(None)

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if task is None or self._closed:
                return
            task()
            del task  # what it holds, perhaps a large body, is not kept until the next one comes
            if len(self._threads) < self._size:
                self._idle.append(None)
