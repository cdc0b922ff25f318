"""A lock at which those who find it taken leave their work."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Generic, TypeVar

__all__ = ["Desk"]

W = TypeVar("W")


class Desk(Generic[W]):
    """A lock whose holder does, before others can take it, what was left meanwhile (combining: Hendler et al. 2010).

    Args:
        take_up: Does what was left, in the order in which it was; called with the lock held. What is left while it
            works comes out of the same iterable.
    """

    def __init__(self, take_up: Callable[[Iterable[W]], None]) -> None:
        self._take_up = take_up
        self._lock = threading.Lock()
        self._left: deque[W] = deque()
        self.enter: Callable[[], bool] = self._lock.acquire
        """Wait for the lock, and take it."""

    def enter_if_free(self) -> bool:
        """Take the lock if that needs no waiting; return whether it was taken."""
        return self._lock.acquire(False)

    def leave_work(self, work: W) -> None:
        """Have the holder of the lock do this, or do it at once if there is none any more."""
        self._left.append(work)
        if self._lock.acquire(False):
            self.leave()

    def take_back(self, work: W) -> bool:
        """Return whether nobody has begun with what was left, which nobody will now. The lock is held."""
        try:
            self._left.remove(work)
        except ValueError:
            return False
        return True

    def leave(self) -> None:
        """Do what was left, and release the lock."""
        left, lock = self._left, self._lock
        while True:
            if left:
                try:
                    self._take_up(self._each())
                except BaseException:
                    lock.release()
                    raise
            lock.release()
            # Who leaves work after this look takes the lock himself; whoever has left some before is seen here.
            if not left or not lock.acquire(False):
                return

    def _each(self) -> Iterator[W]:
        left = self._left
        while left:
            yield left.popleft()

    def __enter__(self) -> None:
        """Take the lock."""
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Release it."""
        self.leave()
