"""A speaker of ZMTP 3 on a plain socket, for what no ZeroMQ library would send (RFC 23/ZMTP).

It writes whatever octets it is told to; only handshake and framing are done for it. Made by `dial` it plays a client,
made by `Listener` a server.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

from tests.helpers.wait import PATIENCE_S

__all__ = ["COMMAND", "LONG", "MORE", "Listener", "Zmtp", "dial", "frame", "greeting", "message", "ready"]

MORE, LONG, COMMAND = 1, 2, 4
"""Flags of a frame."""
_GREETING_OCTETS = 64


def greeting(mechanism: bytes = b"NULL", version: bytes = b"\x03\x01", as_server: bool = False) -> bytes:
    """Return the 64 octets with which each side begins."""
    return b"\xff" + bytes(8) + b"\x7f" + version + mechanism.ljust(20, b"\0")[:20] + bytes([as_server]) + bytes(31)


def frame(body: bytes, flags: int = 0, claimed: int | None = None) -> bytes:
    """Return a frame.

    Args:
        body: What is really there.
        flags: MORE, COMMAND; LONG is added where the length asks for it.
        claimed: The length that the header says; None: the true one. 8 octets, so negative ones are sent as they are.
    """
    length = len(body) if claimed is None else claimed
    if flags & LONG or not 0 <= length <= 255:
        return bytes([flags | LONG]) + (length & (2**64 - 1)).to_bytes(8, "big") + body
    return bytes([flags, length]) + body


def message(frames: Sequence[bytes]) -> bytes:
    """Return a message of these frames, at least one."""
    *others, last = frames
    return b"".join(frame(each, MORE) for each in others) + frame(last)


def ready(kind: bytes = b"DEALER") -> bytes:
    """Return the command that ends the handshake of the NULL mechanism."""
    return frame(b"\x05READY\x0bSocket-Type" + len(kind).to_bytes(4, "big") + kind, COMMAND)


class _Held:
    """A socket that is closed when its `with` block is left."""

    sock: socket.socket

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self.close()

    def close(self) -> None:
        """Close it, also under somebody who waits for it in another thread."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()


class Zmtp(_Held):
    """One connection; leaving the `with` block closes it. Made by `dial` and `Listener.accept`."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        """The socket, for whatever is to be done to it."""
        sock.settimeout(PATIENCE_S)
        self._come = bytearray()

    def shake(self, kind: bytes = b"DEALER") -> Self:
        """Do the whole handshake as a socket of this kind, and return itself."""
        self.sock.sendall(greeting() + ready(kind))
        self._take(_GREETING_OCTETS)
        flags, body = self._frame()
        assert flags & COMMAND, "the handshake ends with a command"
        assert body.startswith(b"\x05READY"), body
        return self

    def send(self, frames: Sequence[bytes]) -> None:
        """Send a message."""
        self.sock.sendall(message(frames))

    def receive(self) -> list[bytes]:
        """Return the next message. EOFError: the other side has closed the connection. TimeoutError: nothing came."""
        frames = []
        while True:
            flags, body = self._frame()
            if flags & COMMAND:
                continue  # a heartbeat
            frames.append(body)
            if not flags & MORE:
                return frames

    def wait_cut(self) -> None:
        """Return when the other side has closed the connection. TimeoutError: it has not."""
        with contextlib.suppress(ConnectionError):
            while self.sock.recv(65536):
                pass

    def _frame(self) -> tuple[int, bytes]:
        flags = self._take(1)[0]
        length = int.from_bytes(self._take(8 if flags & LONG else 1), "big")
        return flags, self._take(length)

    def _take(self, count: int) -> bytes:
        while len(self._come) < count:
            octets = self.sock.recv(65536)
            if not octets:
                raise EOFError("the other side has closed the connection")
            self._come += octets
        taken = bytes(self._come[:count])
        del self._come[:count]
        return taken


def dial(port: int, kind: bytes = b"") -> Zmtp:
    """Connect to a port of 127.0.0.1; with a `kind` of socket the handshake is done, too."""
    connection = Zmtp(socket.create_connection(("127.0.0.1", port), PATIENCE_S))
    try:
        return connection.shake(kind) if kind else connection
    except BaseException:
        connection.sock.close()
        raise


class Listener(_Held):
    """A port of 127.0.0.1 at which a hostile server waits; leaving the `with` block closes it."""

    def __init__(self) -> None:
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.settimeout(PATIENCE_S)
        self.port: int = self.sock.getsockname()[1]
        """Where it listens."""

    def accept(self) -> Zmtp:
        """Return the next connection, without a handshake."""
        return Zmtp(self.sock.accept()[0])

    def accepted(self, deadline_s: float) -> Iterator[Zmtp]:
        """Yield connections as they come, until none has come for `deadline_s` seconds."""
        self.sock.settimeout(deadline_s)
        with contextlib.suppress(TimeoutError):
            while True:
                yield self.accept()
