"""The ZeroMQ context of this process, shared by every client and server in it, and the fork check.

A context costs two threads; a process may hold hundreds of servers. It lives while somebody holds it, and is
terminated when the last one lets go. Nothing of it survives a fork: the child gets `ForkedError`.
"""

from __future__ import annotations

import os
import threading

import zmq

from mesh.errors import ForkedError
from mesh.io.descriptors import check_descriptors

__all__ = ["acquire_context", "check_process", "process_mark", "release_context"]

_lock = threading.Lock()
_context: zmq.Context[zmq.Socket[bytes]] | None = None
_holders = 0
_mark = 0


def _after_fork() -> None:
    global _lock, _context, _holders, _mark
    _lock = threading.Lock()
    _context = None  # pyzmq leaves a context of another process alone
    _holders = 0
    _mark += 1


os.register_at_fork(after_in_child=_after_fork)


def process_mark() -> int:
    """Return a number that differs in a forked child."""
    return _mark


def check_process(mark: int) -> None:
    """Raise ForkedError if this is not the process in which `mark` was taken."""
    if mark != _mark:
        raise ForkedError("this client or server was made before the process forked; make a new one in the child")


def acquire_context() -> zmq.Context[zmq.Socket[bytes]]:
    """Return the context and hold it. Raises ConfigError: too few file descriptors are left for its sockets."""
    global _context, _holders
    check_descriptors()
    with _lock:
        if _context is None:
            _context = zmq.Context(io_threads=1)
            # The default of 1023 would be the first limit that a process with many servers meets.
            _context.set(zmq.MAX_SOCKETS, min(65536, _context.get(zmq.SOCKET_LIMIT)))
        _holders += 1
        return _context


def release_context() -> None:
    """Let go of the context; the last one terminates it. Every socket is closed before."""
    global _context, _holders
    with _lock:
        _holders -= 1
        if _holders == 0 and _context is not None:
            context, _context = _context, None
            context.term()
