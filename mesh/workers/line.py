"""The line between a supervisor and a worker: messages as lines of JSON on a socket; its end is the other's end."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Generic, TypeVar

import msgspec

from mesh.workers.messages import FromWorker, ToWorker

__all__ = ["Line", "supervisor_line", "worker_line"]

T = TypeVar("T")
_OCTETS = 1 << 16
_BACKLOG_MAX = 1 << 20
"""Octets that wait for the other side to read; what comes then is lost, as everything would be if it died."""


class Line(Generic[T]):
    """One end. Nothing blocks; any thread may send, one receives.

    Args:
        connection: The socket; closed with the line.
        kind: What the other side says.
    """

    def __init__(self, connection: socket.socket, kind: object) -> None:
        connection.setblocking(False)
        self._socket = connection
        self._decoder: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)
        self._encode = msgspec.json.Encoder().encode
        self._lock = threading.Lock()
        self._unsent = bytearray()
        self._unread = b""
        self.ended: bool = False
        """Whether the other side has closed, or is gone."""

    @property
    def descriptor(self) -> int:
        """To be watched for reading."""
        return self._socket.fileno()

    def send(self, message: FromWorker | ToWorker) -> None:
        """Send a message, or as much of it as the socket takes now; `flush` sends the rest."""
        with self._lock:
            if len(self._unsent) <= _BACKLOG_MAX:
                self._unsent += self._encode(message) + b"\n"
            self._flush()

    def flush(self) -> None:
        """Send what waits."""
        with self._lock:
            self._flush()

    def receive(self) -> list[T]:
        """Return the messages that have come."""
        try:
            while data := self._socket.recv(_OCTETS):
                self._unread += data
            self.ended = True
        except BlockingIOError:
            pass
        except OSError:  # it died with our messages unread
            self.ended = True
        *lines, self._unread = self._unread.split(b"\n")
        messages = []
        for line in lines:
            with contextlib.suppress(msgspec.DecodeError):  # the application can write to every descriptor it has
                messages.append(self._decoder.decode(line))
        return messages

    def close(self) -> None:
        """Release the socket; the other side sees the end."""
        with self._lock:
            self._socket.close()
            self.ended = True

    def _flush(self) -> None:
        try:
            while self._unsent and not self.ended:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            pass
        except OSError:  # the other side is gone, which `receive` finds out
            self._unsent.clear()


def supervisor_line(connection: socket.socket) -> Line[FromWorker]:
    """Return the supervisor's end."""
    return Line(connection, FromWorker)


def worker_line(connection: socket.socket) -> Line[ToWorker]:
    """Return the worker's end."""
    return Line(connection, ToWorker)
