"""What keeps a flood of packets from taking the process's time: so many from one sender, and so many from all.

A packet costs python-zeroconf and the browser 300 us, in a thread that shares the interpreter with all calls; one that
is dropped here costs 30. No honest sender needs more: RFC 6762 section 6 lets a record be multicast once a second, and
a packet holds several. What is lost to a flood is said again: announcements are repeated, and questions too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

__all__ = ["Gate"]

_BURST: Final = 400
"""Packets in a row from one sender: a host on which two hundred servers start sends a hundred."""
_EACH_PER_S: Final = 50.0
_ALL_BURST: Final = 2000
_ALL_PER_S: Final = 200.0
"""Addresses of senders are easily made up, so there is a bound for all of them."""
_SENDERS_MAX: Final = 1024


class _Bucket:
    """Tokens for packets."""

    __slots__ = ("at", "tokens")

    def __init__(self, tokens: float, now: float) -> None:
        self.tokens = tokens
        self.at = now

    def take(self, now: float, per_s: float, burst: float) -> bool:
        self.tokens = min(burst, self.tokens + (now - self.at) * per_s)
        self.at = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True


class Gate:
    """Drops what is too much; one for all sockets of a link."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._all = _Bucket(_ALL_BURST, clock())
        self._senders: dict[str, _Bucket] = {}
        self.dropped: int = 0
        """Packets that were too many."""

    def admits(self, sender: str) -> bool:
        """Return whether a packet of this sender is to be read."""
        now = self._clock()
        bucket = self._senders.get(sender)
        if bucket is None:
            if len(self._senders) >= _SENDERS_MAX:
                del self._senders[next(iter(self._senders))]
            bucket = self._senders[sender] = _Bucket(_BURST, now)
        if bucket.take(now, _EACH_PER_S, _BURST) and self._all.take(now, _ALL_PER_S, _ALL_BURST):
            return True
        self.dropped += 1
        return False

    def guard(self, transport: asyncio.DatagramTransport) -> None:
        """Stand before whoever reads from this transport; a second time does nothing."""
        reader = transport.get_protocol()
        if not isinstance(reader, _Turnstile):
            transport.set_protocol(_Turnstile(self, reader))


class _Turnstile(asyncio.DatagramProtocol):
    """Hands packets on that the gate admits."""

    def __init__(self, gate: Gate, reader: asyncio.BaseProtocol) -> None:
        self._gate = gate
        self._reader: Any = reader

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._gate.admits(addr[0]):
            self._reader.datagram_received(data, addr)

    def error_received(self, exc: Exception) -> None:
        self._reader.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.connection_lost(exc)
