"""The file descriptors of this process: how many it may have, and whether a client or a server can do with the rest.

Where they run out halfway, libzmq ends the process (epoll.cpp) and python-zeroconf waits forever for a thread that
could not begin. So who opens sockets asks first.
"""

from __future__ import annotations

import contextlib
import os
import resource

from mesh.errors import ConfigError

__all__ = ["check_descriptors", "count_descriptors", "raise_descriptors"]

_WANTED = 65536
_NEEDED = 24
"""What a client or a server opens before its first connection, and some connections. Measured: 15 to 20."""


def raise_descriptors() -> int:
    """Have as many descriptors as the system allows, within reason, and return how many that are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(_WANTED, hard) if hard != resource.RLIM_INFINITY else _WANTED
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            return wanted
        return soft
    return wanted


def count_descriptors() -> int:
    """Return how many descriptors are open."""
    return os.stat("/proc/self/fd").st_size or len(os.listdir("/proc/self/fd"))  # Linux counts them since 6.2


def check_descriptors() -> None:
    """Raise ConfigError if too few descriptors are left for one more client or server.

    Where nobody counts them, all is well.
    """
    most = raise_descriptors()
    try:
        left = most - count_descriptors()
    except OSError:
        return
    if left < _NEEDED:
        raise ConfigError(
            f"this process may have {most} files and sockets open, and only {max(0, left)} are left, but a client or "
            f"a server needs {_NEEDED}; close some, or raise the limit (ulimit -n, in systemd LimitNOFILE=)"
        )
