"""Datagrams: read as fast as rounds are written, and left to the kernel beyond that, which counts what it drops."""

from __future__ import annotations

import asyncio
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Callable

from mesh.spool.listen.entry import encode_entry, place
from mesh.spool.listen.intake import Intake, Rounds, Taken
from mesh.spool.listen.sockets import Where, kernel_drops, open_udp, peer_of
from mesh.spool.listen.syslog import parse

__all__ = ["Datagrams", "UdpSyslog"]

_DATAGRAM_MAX = 65_535
_TURN_MAX = 256
"""Datagrams read before others have their turn."""
_RECORDS_MAX = 10_000
_OCTETS_MAX = 16 << 20
"""What may gather while a round is written."""


class Datagrams(ABC):
    """A UDP socket whose datagrams become records; call `open`, `run` until `stop`, then `close`.

    Args:
        where: Address and port to bind.
        intake: Where records go.
        method: Full name of the inbox method.
    """

    def __init__(self, where: Where, intake: Intake, method: str) -> None:
        self._where = where
        self._rounds = Rounds(intake, method, _RECORDS_MAX, _OCTETS_MAX, self._resume)
        self._sock: socket.socket | None = None
        self._reading = False
        self._stopping = False

    @abstractmethod
    def take(self, octets: bytes, peer: Where) -> Taken | None:
        """Return what becomes of a datagram; None: no record."""

    @property
    def bound(self) -> Where:
        """Where it listens, once open."""
        return peer_of(self._sock.getsockname()) if self._sock is not None else self._where

    @property
    def drops(self) -> int:
        """Datagrams that came when there was no room, and are lost."""
        return kernel_drops(self._sock) if self._sock is not None else 0

    def open(self) -> None:
        """Bind. Raises ConfigError."""
        self._sock = open_udp(self._where)

    async def run(self) -> None:
        """Take in what comes, until `stop` and everything is durable."""
        self._resume()
        await self._rounds.run()

    def stop(self) -> None:
        """Read what has come already, and no more; `run` returns when it is durable."""
        self._read(_RECORDS_MAX)
        self._stopping = True
        self._pause()
        self._rounds.end()

    def send(self, octets: bytes, to: Where) -> None:
        """Send an answer; one that cannot be sent is lost, as any datagram may be."""
        if self._sock is not None:
            try:
                self._sock.sendto(octets, to)
            except OSError:
                pass

    def close(self) -> None:
        """Release the socket."""
        self._pause()
        if self._sock is not None:
            self._sock.close()

    def _read(self, count: int = _TURN_MAX) -> None:
        assert self._sock is not None
        for _ in range(count):
            if self._rounds.full:
                self._pause()
                return
            try:
                octets, address = self._sock.recvfrom(_DATAGRAM_MAX)
            except BlockingIOError:
                return
            except OSError:  # the kernel's word that an answer did not arrive
                continue
            if taken := self.take(octets, peer_of(address)):
                self._rounds.add(taken)

    def _resume(self) -> None:
        if not self._reading and not self._stopping and self._sock is not None:
            self._reading = True
            asyncio.get_running_loop().add_reader(self._sock, self._read)

    def _pause(self) -> None:
        if self._reading and self._sock is not None:
            self._reading = False
            asyncio.get_running_loop().remove_reader(self._sock)


class UdpSyslog(Datagrams):
    """Takes syslog from datagrams, one message each (RFC 5426).

    Nobody is told that a datagram was lost: not the sender, by nature, and not us on the way. What came here when there
    was no room is counted.

    Args:
        where: Address and port to bind.
        intake: Where records go; their stream is `syslog/ADDRESS` of the sender.
        method: Full name of the inbox method.
        clock: Unix seconds.
    """

    def __init__(self, where: Where, intake: Intake, method: str, clock: Callable[[], float] = time.time) -> None:
        super().__init__(where, intake, method)
        self._clock = clock
        self._received = 0

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"syslog udp://{place(self.bound)}"

    def counts(self) -> dict[str, int]:
        """Return what was counted since it was opened."""
        return {"received": self._received, "dropped": self.drops}

    def take(self, octets: bytes, peer: Where) -> Taken | None:
        """Return its record."""
        self._received += 1
        return Taken(f"syslog/{peer[0]}", encode_entry("syslog", "udp", peer, self._clock(), octets, parse(octets)))
