"""What keeps a flood of packets from taking the process's time: so many from one source, and so many from all.

A packet costs python-zeroconf, the browser and who is told 600 us, in a thread that shares the interpreter with all
calls; one that is dropped here costs 100, most of it for waking up, and one that the kernel drops nothing. So what a
source sends too much of is shut out there, for a time that doubles while it goes on. No honest sender needs more: RFC
6762 section 6 lets a record be multicast once a second, and a packet holds several. What is lost to a flood is said
again: announcements are repeated, and browsers ask.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from .sieve import SOURCES_MAX, Source, sift

__all__ = ["Gate"]


class _Rate(NamedTuple):
    """How many packets are read: so many a second, and so many in a row before that."""

    per_s: float
    burst: float


_ANSWERS: Final = _Rate(50.0, 400.0)
"""From one source: a process in which a thousand servers start sends 250, and the same again after a second."""
_QUESTIONS: Final = _Rate(100.0, 1000.0)
"""From one source: a client asks five times in its first seconds, and two hundred may start on one host."""
_ALL: Final = _Rate(400.0, 4000.0)
"""Addresses of senders are easily made up, so there is a bound for all of them."""
_USELESS: Final = 10.0
"""A packet that nobody here can use counts so often: shutting out what sends such packets loses nothing."""
_SOURCES_MAX: Final = 1024
_SHUT_OUT_S: Final = (1.0, 16.0)
"""For how long a source is shut out first, which doubles each time until it keeps to its rate, and the longest."""
_AFTER_S: Final = 1.0
"""A source that is let in again may send at once what it may send in this time."""
_REST_S_MAX: Final = 0.02
"""The longest rest after a packet: if one took longer, the process stood still."""


class _Bucket:
    """Tokens for the packets of one source, or of all."""

    __slots__ = ("_at", "_rate", "_tokens", "shut_out_s")

    def __init__(self, rate: _Rate, now: float) -> None:
        self._rate = rate
        self._tokens = rate.burst
        self._at = now
        self.shut_out_s: float = _SHUT_OUT_S[0]
        """For how long the source is shut out the next time."""

    def take(self, now: float, count: float = 1.0) -> bool:
        """Take so many tokens, if there are as many."""
        self._tokens += (now - self._at) * self._rate.per_s
        self._at = now
        if self._tokens >= self._rate.burst:
            self._tokens = self._rate.burst
            self.shut_out_s = _SHUT_OUT_S[0]
        if self._tokens < count:
            return False
        self._tokens -= count
        return True

    def begin_anew(self, now: float) -> None:
        """Begin with few tokens: its source was shut out until now, and may still send as before."""
        self._tokens = _AFTER_S * self._rate.per_s
        self._at = now
        self.shut_out_s = min(2 * self.shut_out_s, _SHUT_OUT_S[1])


class Gate:
    """Drops what is too much, and what nobody here can use; everything in here runs in the loop.

    Args:
        loop: Where the packets arrive, in a thread that nobody waits for.
        is_wanted: Tells of a packet whether anybody here can use it, sooner than python-zeroconf would find out.
        on_shut_out: Called with a source that sent too much and is not heard for a while.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        is_wanted: Callable[[Source, bytes], bool],
        on_shut_out: Callable[[Source], None],
    ) -> None:
        self._loop = loop
        self._is_wanted = is_wanted
        self._on_shut_out = on_shut_out
        self._all = _Bucket(_ALL, loop.time())
        self._sources: dict[Source, _Bucket] = {}
        self._transports: list[asyncio.DatagramTransport] = []
        self._shut_out: dict[Source, None] = {}
        self._rests_until = 0.0
        self.dropped: int = 0
        """Packets that were too many, without those that the kernel dropped."""

    @property
    def misses_answers(self) -> bool:
        """Whether somebody's answers are shut out now, and with them those of other programs on the same host."""
        return any(source.is_answer for source in self._shut_out)

    def admits(self, source: Source, octets: bytes) -> bool:
        """Return whether a packet of this source is to be read."""
        now = self._loop.time()
        bucket = self._sources.get(source)
        if bucket is None:
            if len(self._sources) >= _SOURCES_MAX:
                del self._sources[next(iter(self._sources))]
            bucket = self._sources[source] = _Bucket(_ANSWERS if source.is_answer else _QUESTIONS, now)
        is_wanted = self._is_wanted(source, octets)
        if not bucket.take(now, 1.0 if is_wanted else _USELESS):
            self._shut(source, bucket)
        elif not is_wanted:
            return False
        elif self._all.take(now):
            return True
        self.dropped += 1
        return False

    def guard(self, transport: asyncio.DatagramTransport) -> None:
        """Stand before whoever reads from this transport; a second time does nothing."""
        reader = transport.get_protocol()
        if not isinstance(reader, _Turnstile):
            transport.set_protocol(_Turnstile(self, reader))
            self._transports = [each for each in self._transports if not each.is_closing()] + [transport]

    def pace(self, work: Callable[[], None]) -> None:
        """Work, but wait first, until the work before has rested for as long as it took.

        Whoever wants the interpreter while a thread works without a pause gets it after 5 ms only
        (sys.getswitchinterval), again and again. So this thread sleeps, and packets wait with the kernel meanwhile.
        """
        now = self._loop.time()
        if now < self._rests_until:
            time.sleep(self._rests_until - now)
            now = self._loop.time()
        try:
            work()
        finally:
            ended_at = self._loop.time()
            self._rests_until = ended_at + min(ended_at - now, _REST_S_MAX)

    def _shut(self, source: Source, bucket: _Bucket) -> None:
        """Have the kernel drop what comes from a source, for a while."""
        if source not in self._shut_out and len(self._shut_out) < SOURCES_MAX:
            self._shut_out[source] = None
            self._sift()
            self._loop.call_later(bucket.shut_out_s, self._open, source, bucket)
            self._on_shut_out(source)

    def _open(self, source: Source, bucket: _Bucket) -> None:
        del self._shut_out[source]
        bucket.begin_anew(self._loop.time())
        self._sift()

    def _sift(self) -> None:
        sift([transport.get_extra_info("socket") for transport in self._transports], self._shut_out)


class _Turnstile(asyncio.DatagramProtocol):
    """Hands packets on that the gate admits."""

    def __init__(self, gate: Gate, reader: asyncio.BaseProtocol) -> None:
        self._gate = gate
        self._reader: Any = reader

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if self._gate.admits(Source.of(addr[0], data), data):
            self._gate.pace(lambda: self._reader.datagram_received(data, addr))

    def error_received(self, exc: Exception) -> None:
        self._reader.error_received(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        self._reader.connection_lost(exc)
