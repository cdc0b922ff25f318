"""A PING to one address, and how far it came.

A client learns from libzmq only that a dial failed. Here ZMTP is spoken by hand over one TCP connection (ZMTP 3.0, RFC
23, mechanism NULL), so that each step is seen: the connection, the greeting, the handshake, the PONG.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import errno
import os
import socket
import time
from collections.abc import Awaitable
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

import msgspec

from discovery.model import Address
from mesh.config import Limits
from mesh.core.dialect import PING, PONG
from mesh.core.wire import MESH_PREFIX, Call, Hello, Message, Ping, Pong, Record, Reply, ServerState, decode, encode
from mesh.doctor.observations import Answer, End, Try
from mesh.errors import RemoteProtocolError

__all__ = ["dial"]

_T = TypeVar("_T")

_SIGNATURE: Final = b"\xff" + bytes(8) + b"\x7f"
_GREETING: Final = _SIGNATURE + b"\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
_READY: Final = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06DEALER\x08Identity\x00\x00\x00\x00"
_MORE, _LONG, _COMMAND = 1, 2, 4
_FRAME_OCTETS_MAX: Final = 1 << 20
_PINGS: Final = 3
"""The first may have to wait for a table of addresses to be filled on the way."""
_LARGE_OCTETS: Final = 8192
"""More than any usual packet holds (RFC 894: 1500), several times."""
_STATES: Final = {
    ServerState.SERVING: "SERVING",
    ServerState.DRAINING: "DRAINING",
    ServerState.NOT_SERVING: "NOT_SERVING",
}


@dataclass
class _StopError(Exception):
    """It does not go on from here."""

    end: End
    why: str = ""


async def dial(address: Address, proto: str, timeout_s: float) -> Try:
    """Connect to an address, PING who is there, and return how far that came; `timeout_s` bounds each step."""
    begin = time.monotonic()
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address.host, address.port)
    except TimeoutError:
        return Try(address, End.NO_ANSWER)
    except OSError as error:
        return _failed(address, error)
    connect_s = time.monotonic() - begin
    try:
        answer = await _Conversation(reader, writer, timeout_s).examine(proto)
    except _StopError as stop:
        return Try(address, stop.end, stop.why, connect_s)
    finally:
        writer.transport.abort()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
    return Try(address, End.ANSWERED, "", connect_s, answer)


def _failed(address: Address, error: OSError) -> Try:
    """Return what became of a connection that did not come about."""
    if isinstance(error, socket.gaierror):
        return Try(address, End.NO_HOST, error.strerror or "")
    if isinstance(error, ConnectionRefusedError):
        return Try(address, End.REFUSED, _words(error))
    return Try(address, End.NO_ROUTE if error.errno == errno.ENETUNREACH else End.UNREACHABLE, _words(error))


def _words(error: OSError) -> str:
    """Return the words of the system: asyncio has its own, in which the address comes again."""
    return os.strerror(error.errno) if error.errno else str(error)


class _Conversation:
    """What is said over one connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, timeout_s: float) -> None:
        self._reader = reader
        self._writer = writer
        self._timeout_s = timeout_s
        self._limits = Limits()

    async def examine(self, proto: str) -> Answer:
        """Say everything that is to be said to a server of this protocol. Raises _StopError."""
        begin = time.monotonic()
        kind = await self._step(self._shake(), End.SILENT)
        shake_s = time.monotonic() - begin
        if proto == "rep":
            if kind != "REP":
                raise _StopError(End.UNREADABLE, f"it is a {kind} socket, and is advertised as REP")
            return Answer(shake_s)
        if kind not in ("ROUTER", "REP", "DEALER"):
            raise _StopError(End.UNREADABLE, f"it is a {kind} socket, and servers are ROUTERs")
        begin = time.monotonic()
        if proto == "flp":
            self._send([PING])
            if await self._step(self._message(), End.STUCK) != [PONG]:
                raise _StopError(End.UNREADABLE, "it answers a PING of 10/FLP with something else")
            return Answer(time.monotonic() - begin)
        return await self._examine_mesh()

    async def _examine_mesh(self) -> Answer:
        answer = await self._step(self._ping(1, hello=True), End.STUCK)
        for nonce in range(2, _PINGS + 1):
            again = await self._step(self._ping(nonce), End.STUCK)
            answer = replace(answer, rtt_s=min(answer.rtt_s, again.rtt_s))
        try:
            await self._step(self._ping(_PINGS + 1, octets=_LARGE_OCTETS), End.STUCK)
        except _StopError:
            return replace(answer, large_lost=True)
        with contextlib.suppress(_StopError):  # older servers, and those that are busy, need not tell
            info = await self._step(self._ask(1, "mesh.info"), End.STUCK)
            answer = replace(answer, host=str(info.get("host", "")))
            stats = await self._step(self._ask(2, "mesh.stats"), End.STUCK)
            answer = replace(answer, wall_offset_s=_wall_offset_s(stats))
        return answer

    async def _step(self, doing: Awaitable[_T], end: End) -> _T:
        """Wait for one step; without an answer in time it ends so."""
        try:
            async with asyncio.timeout(self._timeout_s):
                return await doing
        except TimeoutError:
            raise _StopError(end) from None
        except (EOFError, OSError) as error:
            raise _StopError(End.CLOSED, str(error) if isinstance(error, OSError) else "") from None

    async def _shake(self) -> str:
        """Do the handshake and return the kind of the other socket."""
        self._writer.write(_GREETING)
        begun = await self._take(len(_SIGNATURE))
        if begun[:1] != b"\xff" or begun[9:] != b"\x7f":
            raise _StopError(End.FOREIGN, f"it says {begun.decode('ascii', 'backslashreplace')!r}")
        rest = await self._take(len(_GREETING) - len(_SIGNATURE))
        mechanism = rest[2:22].rstrip(b"\0").decode("ascii", "backslashreplace")
        if mechanism != "NULL":
            raise _StopError(End.KEYS, f"its mechanism is {mechanism}")
        self._write_frame(_READY, _COMMAND)
        flags, body = await self._frame()
        if not flags & _COMMAND or not body.startswith(b"\x05READY"):
            said = body[1:].decode("ascii", "backslashreplace")
            raise _StopError(End.UNREADABLE, f"it ends the handshake with {said!r}")
        _, _, after = body.partition(b"\x0bSocket-Type")
        return after[4 : 4 + int.from_bytes(after[:4], "big")].decode("ascii", "backslashreplace")

    async def _ping(self, nonce: int, hello: bool = False, octets: int = 0) -> Answer:
        """Send a PING, padded with a field that readers ignore, and return what its PONG and a HELLO say."""
        begin = time.monotonic()
        ping: object = [6, nonce, hello, bytes(octets)] if octets else Ping(nonce, hello)
        self._send([MESH_PREFIX + msgspec.msgpack.encode([ping])])
        who: Hello | None = None
        while True:
            for record in (await self._records()).records:
                if isinstance(record, Hello):
                    who = record
                elif isinstance(record, Pong) and record.nonce == nonce:
                    return _answer(record, who, begin, time.monotonic())

    async def _ask(self, call_id: int, method: str) -> dict[str, Any]:
        """Call a reserved method and return its result; an empty one if it failed."""
        records: list[Record] = [Call(call_id, method)]
        self._send(encode(records, self._limits)[0])
        while True:
            for record in (await self._records()).records:
                if isinstance(record, Reply) and record.call_id == call_id:
                    try:
                        said = msgspec.msgpack.decode(record.body if isinstance(record.body, bytes) else b"")
                    except msgspec.DecodeError:
                        said = None
                    return said if isinstance(said, dict) else {}

    async def _records(self) -> Message:
        frames = await self._message()
        try:
            return decode(frames, self._limits)
        except RemoteProtocolError as error:
            raise _StopError(End.UNREADABLE, str(error)) from None

    async def _message(self) -> list[bytes]:
        frames: list[bytes] = []
        while True:
            flags, body = await self._frame()
            if flags & _COMMAND:
                continue  # a heartbeat
            frames.append(body)
            if not flags & _MORE:
                return frames

    async def _frame(self) -> tuple[int, bytes]:
        flags = (await self._take(1))[0]
        length = int.from_bytes(await self._take(8 if flags & _LONG else 1), "big")
        if length > _FRAME_OCTETS_MAX:
            raise _StopError(End.UNREADABLE, f"it sends a frame of {length} octets")
        return flags, await self._take(length)

    async def _take(self, count: int) -> bytes:
        return await self._reader.readexactly(count)  # IncompleteReadError is an EOFError

    def _send(self, frames: list[bytes]) -> None:
        for index, frame in enumerate(frames):
            self._write_frame(frame, _MORE if index < len(frames) - 1 else 0)

    def _write_frame(self, body: bytes, flags: int) -> None:
        if len(body) > 255:
            head = bytes([flags | _LONG]) + len(body).to_bytes(8, "big")
        else:
            head = bytes([flags, len(body)])
        self._writer.write(head + body)


def _answer(pong: Pong, who: Hello | None, begin: float, end: float) -> Answer:
    offset_s = pong.clock / 1000.0 - (begin + end) / 2.0
    state = _STATES.get(pong.state, "NOT_SERVING")
    if who is None:
        return Answer(end - begin, state=state, clock_offset_s=offset_s)
    return Answer(end - begin, who.peer_id, who.name, who.realm, tuple(who.services), state, clock_offset_s=offset_s)


def _wall_offset_s(stats: dict[str, Any]) -> float | None:
    """Return how far the time of day that follows from start and uptime is ahead of ours; None if it cannot be read."""
    try:
        started = datetime.datetime.fromisoformat(stats["started"])
        now = started.timestamp() + float(stats["uptime_s"])
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    return now - time.time()
