"""What keeps a flood of packets from taking the process's time: so many from one sender, and so many from all.

A packet costs python-zeroconf and the browser 300 us, in a thread that shares the interpreter with all calls; one that
is dropped here costs 30, and one that the kernel drops nothing: a sender of too many is shut out there for a second.
No honest sender needs more: RFC 6762 section 6 lets a record be multicast once a second, and a packet holds several.
What is lost to a flood is said again: announcements are repeated, and questions too.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import ipaddress
import struct
import sys
from typing import Any, Final

__all__ = ["Gate"]

_BURST: Final = 1000
"""Packets in a row from one sender: a host on which two hundred servers start sends a hundred."""
_EACH_PER_S: Final = 100.0
_ALL_BURST: Final = 4000
_ALL_PER_S: Final = 400.0
"""Addresses of senders are easily made up, so there is a bound for all of them."""
_SENDERS_MAX: Final = 1024
_SHUT_OUT_S: Final = 1.0
_SHUT_OUT_MAX: Final = 100
"""How many senders the kernel is asked to drop; a jump in its filter reaches no further than 255 lines."""
_SOL_SOCKET, _SO_ATTACH_FILTER, _SO_DETACH_FILTER = 1, 26, 27
"""As in Linux; the socket module does not name them all."""
_LOAD_WORD, _IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
"""Instructions of the kernel's packet filter (linux/filter.h)."""
_SOURCE: Final = 2**32 - 0x100000 + 12
"""Where a filter finds the IPv4 address of the sender: from the beginning of the network header."""


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
    """Drops what is too much; one for all sockets of a link, in whose loop everything in here runs."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._all = _Bucket(_ALL_BURST, loop.time())
        self._senders: dict[str, _Bucket] = {}
        self._transports: list[asyncio.DatagramTransport] = []
        self._shut_out: dict[str, None] = {}
        self.dropped: int = 0
        """Packets that were too many, without those that the kernel dropped."""

    def admits(self, sender: str) -> bool:
        """Return whether a packet of this sender is to be read."""
        now = self._loop.time()
        bucket = self._senders.get(sender)
        if bucket is None:
            if len(self._senders) >= _SENDERS_MAX:
                del self._senders[next(iter(self._senders))]
            bucket = self._senders[sender] = _Bucket(_BURST, now)
        if not bucket.take(now, _EACH_PER_S, _BURST):
            self._shut(sender)
        elif self._all.take(now, _ALL_PER_S, _ALL_BURST):
            return True
        self.dropped += 1
        return False

    def guard(self, transport: asyncio.DatagramTransport) -> None:
        """Stand before whoever reads from this transport; a second time does nothing."""
        reader = transport.get_protocol()
        if not isinstance(reader, _Turnstile):
            transport.set_protocol(_Turnstile(self, reader))
            self._transports = [each for each in self._transports if not each.is_closing()] + [transport]

    def _shut(self, sender: str) -> None:
        """Have the kernel drop what comes from a sender, for a while."""
        if sys.platform == "linux" and sender not in self._shut_out and len(self._shut_out) < _SHUT_OUT_MAX:
            self._shut_out[sender] = None
            self._filter()
            self._loop.call_later(_SHUT_OUT_S, self._open, sender)

    def _open(self, sender: str) -> None:
        del self._shut_out[sender]
        self._filter()

    def _filter(self) -> None:
        program = _drop(self._shut_out)
        for transport in self._transports:
            with contextlib.suppress(OSError):  # it is closed, or the kernel has no such filters: we drop all ourselves
                sock = transport.get_extra_info("socket")
                if program is None:
                    sock.setsockopt(_SOL_SOCKET, _SO_DETACH_FILTER, 0)
                else:
                    lines = ctypes.create_string_buffer(program, len(program))
                    fprog = struct.pack("HP", len(program) // 8, ctypes.addressof(lines))
                    sock.setsockopt(_SOL_SOCKET, _SO_ATTACH_FILTER, fprog)


def _drop(senders: dict[str, None]) -> bytes | None:
    """Return a program for the kernel that drops the packets of these senders; None if there is none to be dropped."""
    hosts = [ipaddress.ip_address(sender.partition("%")[0].removeprefix("::ffff:")) for sender in senders]
    numbers = [int(host) for host in hosts if host.version == 4]
    if not numbers:
        return None
    lines = [(_LOAD_WORD, 0, 0, _SOURCE)]
    lines += [(_IF_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    lines += [(_RETURN, 0, 0, 2**32 - 1), (_RETURN, 0, 0, 0)]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


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
