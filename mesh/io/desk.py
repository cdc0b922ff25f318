"""A lock at which those who find it taken leave their work."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Generic, ParamSpec, TypeVar

__all__ = ["Desk"]

P = ParamSpec("P")
R = TypeVar("R")
W = TypeVar("W")


class Desk(Generic[W]):
    """A lock whose holder does, before others can take it, what was left meanwhile (combining: Hendler et al. 2010).

    `do` holds the lock in a `with` statement: that, unlike `acquire` and `release`, leaves no instant at which an
    interrupt (Ctrl-C) could come between what happens to the lock and what is known of it. Whoever calls `do_if_free`
    calls `let_go` when an exception comes out of it.

    Args:
        take_up: Does what was left, in the order in which it was; called with the lock held. What is left while it
            works comes out of the same iterable. After an interrupt what it was about to begin with comes once more.
        mend: Called with the lock held when an interrupt has ended work somewhere in its midst.
    """

    def __init__(self, take_up: Callable[[Iterable[W]], None], mend: Callable[[], None]) -> None:
        self._take_up = take_up
        self._mend = mend
        lock: Any = threading.RLock()  # which knows its holder, for `let_go`
        self._lock = lock
        self._left: deque[W] = deque()
        self.is_mine: Callable[[], bool] = lock._is_owned
        """Whether this thread holds the lock."""

    def do(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do something, and what was left, with the lock held; wait for it first. Return what `work` returns."""
        try:
            with self._lock:
                return self._do(work, *args, **kwargs)
        finally:
            self.look_again()

    def do_if_free(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | None:
        """Do the same if that needs no waiting; return None if it does."""
        if not self._lock.acquire(False):
            return None
        try:
            result = self._do(work, *args, **kwargs)
        finally:
            self._lock.release()
        self.look_again()
        return result

    def let_go(self) -> None:
        """Release the lock, if an interrupt has left it with this thread, and do what was left."""
        if self.is_mine():
            self._lock.release()
        self.look_again()

    def leave_work(self, work: W) -> None:
        """Have the next holder of the lock do this."""
        self._left.append(work)

    def count_left(self) -> int:
        """Return how many have left work that nobody has begun with."""
        return len(self._left)

    def look_again(self) -> None:
        """Do what was left since the last holder looked; if there is a holder now, he does it."""
        while self._left and not self.is_mine() and self._lock.acquire(False):
            try:
                self._do(self._take_up, self._each())
            finally:
                self._lock.release()

    def take_back(self, work: W) -> bool:
        """Return whether nobody has begun with what was left, which nobody will now. The lock is held."""
        try:
            self._left.remove(work)
        except ValueError:
            return False
        return True

    def _do(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        try:
            result = work(*args, **kwargs)
            if self._left:
                self._take_up(self._each())
        except BaseException as error:
            if not isinstance(error, Exception):
                self._mend()
            raise
        return result

    def _each(self) -> Iterator[W]:
        left = self._left
        while left:
            yield left[0]
            left.popleft()
