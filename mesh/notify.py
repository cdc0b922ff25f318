"""Telling systemd how a service stands: sd_notify(3), and its watchdog.

One datagram of `NAME=VALUE` lines to the socket in NOTIFY_SOCKET is the whole protocol. Without that variable nothing
is said, so that a program need not ask whether systemd started it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

__all__ = ["ENVIRONMENT", "Notifier"]

ENVIRONMENT = ("NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""Meant for the main process of a service, and not for the programs that it starts."""


class Notifier:
    """The way to the service manager, if there is one; of the process that the environment names.

    Args:
        environment: Usually `os.environ`.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        # @ stands for the zero octet with which Linux begins the names of sockets that are no files.
        self._address = f"\0{path[1:]}" if path.startswith("@") else path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) if path[:1] in ("/", "@") else None
        self.watchdog_s: float | None = self._interval(environment) if self._socket is not None else None
        """Seconds between two signs of life, half of what is allowed (sd_watchdog_enabled(3)); None: none is wanted."""

    def ready(self, status: str = "") -> None:
        """Calls are taken; also when a reload has ended."""
        self._send("READY=1", status)

    def reloading(self, status: str = "") -> None:
        """A reload has begun."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}", status)

    def stopping(self, status: str = "") -> None:
        """The service ends."""
        self._send("STOPPING=1", status)

    def status(self, status: str) -> None:
        """Say in one sentence how it stands."""
        self._send("", status)

    def watchdog(self) -> None:
        """Give a sign of life."""
        self._send("WATCHDOG=1")

    def close(self) -> None:
        """Release the socket."""
        if self._socket is not None:
            self._socket.close()

    def _send(self, state: str, status: str = "") -> None:
        if self._socket is None:
            return
        lines = [state] if state else []
        if status:
            lines.append(f"STATUS={' '.join(status.split())}")
        try:
            self._socket.sendto("\n".join(lines).encode(), socket.MSG_DONTWAIT, self._address)
        except OSError:
            pass  # nobody listens, or listens now: a service does not stop for that

    @staticmethod
    def _interval(environment: Mapping[str, str]) -> float | None:
        allowed = environment.get("WATCHDOG_USEC", "")
        if not allowed.isascii() or not allowed.isdigit() or int(allowed) == 0:
            return None
        if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
            return None
        return int(allowed) / 2_000_000
