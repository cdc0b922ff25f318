"""Syslog over TCP (RFC 6587).

Syslog over TCP has no acknowledgements. A sender believes that a message has arrived when its own kernel has taken it,
so that what lies in the kernels of both ends is lost when either host, or this process, dies; no receiver can change
that, and a sender that must not lose anything needs a protocol with answers: the spool itself, RELP, or RADIUS. What is
promised here: what has been read becomes a record; nothing is read that cannot be stored, so that a spool that is full
holds the sender up instead of losing its messages; and an orderly stop reads what had arrived.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass

from mesh.spool.listen.entry import encode_entry, place
from mesh.spool.listen.framing import Deframer, Frame
from mesh.spool.listen.intake import Intake, pieces
from mesh.spool.listen.sockets import Where, open_tcp, peer_of
from mesh.spool.listen.syslog import parse

__all__ = ["TcpLimits", "TcpSyslog"]

_READ_OCTETS = 64 << 10
_LAST_OCTETS = 4 << 20
"""What is still read of a connection, at the most, when the listener is told to stop."""
_PAUSE_S = 0.1
"""After a connection that could not be taken."""


@dataclass(frozen=True, slots=True)
class TcpLimits:
    """What one listener bears."""

    message_max: int = 64 << 10
    """Octets of a message that are kept; what follows is skipped, and the record says that it is not whole."""
    connections_max: int = 1000
    """Connections at a time. Beyond that the one goes that was silent longest, or, if none was, the new one."""
    idle_s: float = 60.0
    """Silence after which a connection may have to make room."""
    unfinished_s: float = 30.0
    """Time for one message to arrive; after it the connection is closed, and what has arrived becomes a record."""


class TcpSyslog:
    """Takes syslog from connections; call `open`, `run` until `stop`, then `close`.

    Args:
        where: Address and port to bind.
        intake: Where records go; their stream is `syslog/ADDRESS` of the sender.
        method: Full name of the inbox method.
        limits: What it bears.
        clock: Unix seconds.
    """

    def __init__(
        self,
        where: Where,
        intake: Intake,
        method: str,
        limits: TcpLimits | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._where = where
        self._intake = intake
        self._method = method
        self._limits = limits or TcpLimits()
        self._clock = clock
        self._sock: socket.socket | None = None
        self._stopped = asyncio.Event()
        self._connections: dict[_Connection, None] = {}
        self._received = self._refused = 0

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        bound = peer_of(self._sock.getsockname()) if self._sock is not None else self._where
        return f"syslog tcp://{place(bound)}"

    def counts(self) -> dict[str, int]:
        """Return what was counted since it was opened."""
        return {"received": self._received, "connections": len(self._connections), "refused": self._refused}

    def open(self) -> None:
        """Bind. Raises ConfigError."""
        self._sock = open_tcp(self._where)

    async def run(self) -> None:
        """Take in what comes, until `stop` and everything is durable."""
        async with asyncio.TaskGroup() as group:
            accepting = group.create_task(self._accept(group))
            await self._stopped.wait()
            accepting.cancel()
            self._accept_last(group)
            for connection in self._connections:
                connection.stop()

    def stop(self) -> None:
        """Read what has come already, and no more; `run` returns when it is durable."""
        self._stopped.set()

    def close(self) -> None:
        """Release the sockets."""
        if self._sock is not None:
            self._sock.close()

    async def _accept(self, group: asyncio.TaskGroup) -> None:
        assert self._sock is not None
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(self._sock)
            except OSError:  # it ended before it was taken, or there is no descriptor or memory for it
                await asyncio.sleep(_PAUSE_S)
                continue
            self._begin(sock, peer_of(address), group)

    def _accept_last(self, group: asyncio.TaskGroup) -> None:
        """Take the connections that were made and not taken yet."""
        assert self._sock is not None
        try:
            while True:
                sock, address = self._sock.accept()
                self._begin(sock, peer_of(address), group)
        except OSError:
            pass

    def _begin(self, sock: socket.socket, peer: Where, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        if len(self._connections) >= self._limits.connections_max and not self._make_room(loop.time()):
            self._refused += 1
            sock.close()
            return
        connection = _Connection(sock, loop)
        self._connections[connection] = None
        group.create_task(self._serve(connection, peer))

    def _make_room(self, now: float) -> bool:
        # One whose octets wait for room in the spool is not silent, though nothing is read of it.
        silent = [connection for connection in self._connections if connection.waits]
        longest = min(silent, key=lambda connection: connection.heard_at, default=None)
        if longest is None or now - longest.heard_at < self._limits.idle_s:
            return False
        longest.stop()
        return True

    async def _serve(self, connection: _Connection, peer: Where) -> None:
        loop = asyncio.get_running_loop()
        deframer = Deframer(self._limits.message_max)
        deadline: float | None = None
        try:
            while octets := await connection.read(deadline):
                frames = deframer.feed(octets)
                await self._store(frames, peer)
                if not deframer.inside:
                    deadline = None
                elif frames or deadline is None:
                    deadline = loop.time() + self._limits.unfinished_s
            await self._store(deframer.finish(), peer)
        finally:
            del self._connections[connection]
            connection.close()

    async def _store(self, frames: list[Frame], peer: Where) -> None:
        if not frames:
            return
        self._received += len(frames)
        at = self._clock()
        bodies = [
            encode_entry("syslog", "tcp", peer, at, frame.octets, parse(frame.octets), frame.whole) for frame in frames
        ]
        for piece in pieces(bodies):
            await self._intake.put_many(self._method, piece, stream=f"syslog/{peer[0]}")


class _Connection:
    """One connection: octets are read only when somebody asks for them."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._loop = loop
        self._waiter: asyncio.Future[None] | None = None
        self._left: int | None = None
        self.heard_at = loop.time()
        """When octets came last, by the clock of the loop."""

    @property
    def waits(self) -> bool:
        """Whether somebody waits for octets to come."""
        return self._waiter is not None

    async def read(self, deadline: float | None) -> bytes:
        """Return octets; none when the sender has ended, it is later than `deadline`, or `stop` was called.

        Args:
            deadline: By the clock of the loop; None: octets may come at any time.
        """
        while self._left is None or self._left > 0:
            try:
                octets = self._sock.recv(_READ_OCTETS)
            except (BlockingIOError, InterruptedError):
                if self._left is not None or not await self._wait(deadline):
                    break
            except OSError:  # the connection was reset
                break
            else:
                self.heard_at = self._loop.time()
                if self._left is not None:
                    self._left -= len(octets)
                return octets
        return b""

    def stop(self) -> None:
        """Have `read` return what has arrived, and then nothing."""
        self._left = _LAST_OCTETS
        self._wake()

    def close(self) -> None:
        """Close it."""
        self._sock.close()

    async def _wait(self, deadline: float | None) -> bool:
        """Return True when there may be something to read, False when it is too late."""
        self._waiter = self._loop.create_future()
        self._loop.add_reader(self._sock, self._wake)
        try:
            async with asyncio.timeout_at(deadline):
                await self._waiter
        except TimeoutError:
            return False
        finally:
            self._loop.remove_reader(self._sock)
            self._waiter = None
        return True

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
