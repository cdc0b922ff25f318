"""Waiting for descriptors, by epoll where there is one; and a descriptor to end the waiting with."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import threading

__all__ = ["Poller", "Wake"]

_EPOLL = hasattr(select, "epoll")


class Poller:
    """Descriptors to be readable. One thread waits; any thread may add, remove, pause and resume meanwhile."""

    def __init__(self) -> None:
        self._epoll = select.epoll() if _EPOLL else None
        self._selector = None if _EPOLL else selectors.DefaultSelector()

    def add(self, descriptor: int) -> None:
        """Watch a descriptor."""
        if self._epoll is not None:
            self._epoll.register(descriptor, select.EPOLLIN)
        elif self._selector is not None:
            self._selector.register(descriptor, selectors.EVENT_READ)

    def remove(self, descriptor: int) -> None:
        """Stop watching it; an unknown one is left alone."""
        with contextlib.suppress(OSError, KeyError, ValueError):
            if self._epoll is not None:
                self._epoll.unregister(descriptor)
            elif self._selector is not None:
                self._selector.unregister(descriptor)

    def pause(self, descriptor: int) -> None:
        """Do not wake for it until `resume`."""
        if self._epoll is not None:
            self._epoll.modify(descriptor, 0)
        else:
            self.remove(descriptor)

    def resume(self, descriptor: int) -> None:
        """Wake for it again."""
        if self._epoll is not None:
            self._epoll.modify(descriptor, select.EPOLLIN)
        else:
            self.add(descriptor)

    def wait(self, timeout_s: float | None) -> list[int]:
        """Return the readable descriptors, none if `timeout_s` has passed before (None: never passes)."""
        if self._epoll is not None:
            return [fd for fd, _ in self._epoll.poll(timeout_s)]
        assert self._selector is not None
        return [key.fd for key, _ in self._selector.select(timeout_s)]

    def close(self) -> None:
        """Release what the kernel holds for it."""
        if self._epoll is not None:
            self._epoll.close()
        elif self._selector is not None:
            self._selector.close()


class Wake:
    """A descriptor that any thread can make readable, also one that comes too late: after `close` nothing happens."""

    def __init__(self) -> None:
        reading, self._write = os.pipe()
        self.descriptor: int = reading
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._write, False)
        # Whoever writes while another thread closes would write into whatever gets the same number next. Reentrant,
        # for a signal handler may come while its own thread is in `set`.
        self._lock = threading.RLock()
        self._closed = False

    def set(self) -> None:
        """Make it readable."""
        with self._lock, contextlib.suppress(BlockingIOError):  # full: it is readable
            if not self._closed:
                os.write(self._write, b"\0")

    def clear(self) -> None:
        """Make it not readable."""
        with contextlib.suppress(BlockingIOError):
            while len(os.read(self.descriptor, 4096)) == 4096:
                pass

    def close(self) -> None:
        """Close both ends."""
        with self._lock:
            self._closed = True
            os.close(self.descriptor)
            os.close(self._write)
