"""Word of the kernel that interfaces or addresses of this host have changed (rtnetlink(7)).

Without it a change is found out at the next look only, and a server that was born while the cable was out is not
found before somebody happens to ask again.
"""

from __future__ import annotations

import socket
import sys

__all__ = ["drain_notices", "open_notices"]

_LINKS, _IPV4_ADDRESSES, _IPV6_ADDRESSES = 0x1, 0x10, 0x100
"""The groups of notices (RTMGRP_*)."""
_OCTETS = 1 << 16


def open_notices() -> socket.socket | None:
    """Return a socket that is readable when something has changed; None where there is no such thing."""
    if sys.platform != "linux":
        return None
    try:
        notices = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.NETLINK_ROUTE)
    except OSError:  # a sandbox may forbid it
        return None
    try:
        notices.bind((0, _LINKS | _IPV4_ADDRESSES | _IPV6_ADDRESSES))
    except OSError:
        notices.close()
        return None
    return notices


def drain_notices(notices: socket.socket) -> None:
    """Take all notices that wait; what they say is looked up, because some may have been lost (ENOBUFS)."""
    while True:
        try:
            notices.recv(_OCTETS)
        except BlockingIOError:
            return
        except OSError:
            continue
