"""mesh/1: frames to records and back (WIRE.md is the specification).

    message = head *body
    head    = magic(2 octets) version(1 octet) msgpack([record, ...])
    body    = a body of `inline_max` octets or more, in the order in which records refer to them

`decode` returns a `Message` or raises `RemoteProtocolError`, whatever it is given; `decode(encode(records))` gives
the same records. Records are msgspec structs, decoded in one call; fields that a later version appends are ignored,
kinds that it adds are counted and skipped.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import msgspec

from mesh.config import Limits
from mesh.errors import RemoteProtocolError

__all__ = [
    "MAGIC",
    "MESH_PREFIX",
    "VERSION",
    "Body",
    "Call",
    "Cancel",
    "Detail",
    "Hello",
    "Message",
    "Ping",
    "Pong",
    "Record",
    "Reply",
    "ServerState",
    "body_frames",
    "body_octets",
    "decode",
    "encode",
    "largest_frame",
    "pack_body",
]

MAGIC = b"\xf1M"
"""First octets of a head. 0xF1 begins no UTF-8 text that people write, so a text body is not taken for a head."""
VERSION = 1
"""The major version; minor ones only append fields and kinds."""
MESH_PREFIX = MAGIC + bytes([VERSION])

Body: TypeAlias = bytes | list[bytes]
"""One frame, or any other number of them."""
_WireBody: TypeAlias = bytes | int | list[bytes | int]


def largest_frame(body: Body) -> int:
    """Return the octets of the largest frame of a body."""
    if type(body) is bytes:
        return len(body)
    frames: list[bytes] = body  # type: ignore[assignment]
    return max(map(len, frames), default=0)


class ServerState:
    """What a server says of itself in a PONG."""

    SERVING = 0
    DRAINING = 1
    NOT_SERVING = 2


class Call(msgspec.Struct, array_like=True, tag=1, gc=False):
    """A request. `deadline` is in milliseconds of the clock of the server with boot id `boot`; 0 is none."""

    call_id: int
    method: str
    body: _WireBody = b""
    deadline: int = 0
    boot: int = 0
    key: bytes = b""
    attempt: int = 1
    metadata: dict[str, str] | None = None


class Detail(msgspec.Struct, gc=False, omit_defaults=True):
    """What else is to be said of a reply that is an error."""

    type: str = ""
    message: str = ""
    traceback: str = ""
    retry_after_ms: int | None = None
    limit: str = ""


class Reply(msgspec.Struct, array_like=True, tag=2, gc=False):
    """The answer to the call with this id; `load` is the number of calls the server has not answered yet."""

    call_id: int
    status: int = 0
    body: _WireBody = b""
    load: int = 0
    detail: Detail | None = None


class Cancel(msgspec.Struct, array_like=True, tag=5, gc=False):
    """The caller does not want the answer any more."""

    call_id: int


class Ping(msgspec.Struct, array_like=True, tag=6, gc=False):
    """Are you there? With `hello` the server also says who it is."""

    nonce: int
    hello: bool = False


class Pong(msgspec.Struct, array_like=True, tag=7, gc=False):
    """I am; produced by the loop that runs the handlers. Nonce 0 is unsolicited: the state has changed."""

    nonce: int
    boot: int
    clock: int
    state: int = ServerState.SERVING
    load: int = 0
    window: int = 1


class Hello(msgspec.Struct, array_like=True, tag=8, gc=False):
    """Who a server is: the truth of which an advertisement is only a hint."""

    peer_id: str
    name: str
    realm: str
    services: list[str]
    once: list[str]
    """Methods declared `idempotent=False`."""
    version: str = ""
    body_max: int = 0
    """Octets of the largest body it takes; 0 says nothing."""


Record: TypeAlias = Call | Reply | Cancel | Ping | Pong | Hello


class Message(msgspec.Struct, gc=False):
    """A decoded message: its records with their bodies in place, and how many were of an unknown kind."""

    records: list[Record]
    unknown: int = 0


_encode = msgspec.msgpack.Encoder().encode
_decode_fast = msgspec.msgpack.Decoder(list[Record]).decode
_decode_record = msgspec.msgpack.Decoder(Record).decode
_decode_raw = msgspec.msgpack.Decoder(list[msgspec.Raw]).decode
_decode_any_list = msgspec.msgpack.Decoder(list[object]).decode
_KINDS = frozenset({1, 2, 5, 6, 7, 8})
_UNREADABLE = (msgspec.MsgspecError, ValueError, OverflowError, RecursionError, MemoryError)


def pack_body(frames: Sequence[bytes]) -> Body:
    """Return frames as a body: a single one as itself."""
    return frames[0] if len(frames) == 1 else list(frames)


def body_frames(body: object) -> list[bytes]:
    """Return the frames of a body that was decoded or packed."""
    return [body] if isinstance(body, bytes) else body  # type: ignore[return-value]


def body_octets(body: Body) -> int:
    """Return the octets of a body, all frames together."""
    return len(body) if type(body) is bytes else sum(len(part) for part in body)  # type: ignore[arg-type,misc]


_GATHER_MAX = 1 << 20
"""A message takes no more records once its body frames hold so many octets: messages arrive whole or not at all."""


def encode(records: Sequence[Record], limits: Limits) -> tuple[list[bytes], int]:
    """Return the frames of one message, and how many of the records it carries.

    Args:
        records: What is to be sent, in order, at least one; their bodies are given whole (bytes, or a list of bytes).
        limits: `records_max`, `head_max` and `inline_max` bound the message; the rest is for the next one.
    """
    count = len(records)
    if count <= limits.records_max:
        inline_max = limits.inline_max
        for record in records:
            if type(record) is Call or type(record) is Reply:
                body = record.body
                if type(body) is not bytes or len(body) >= inline_max:
                    break
        else:  # nearly all messages are like that: small bodies, and few enough
            head = MESH_PREFIX + _encode(records)
            if count == 1 or len(head) <= limits.head_max:
                return [head], count
    return _encode_placed(records, limits)


def _encode_placed(records: Sequence[Record], limits: Limits) -> tuple[list[bytes], int]:
    """Do the same for any records: large bodies get frames of their own, and what is too much is left."""
    count = min(len(records), limits.records_max)
    frames = [b""]
    outside_octets = 0
    placed = list(records[:count])
    for index, record in enumerate(placed):
        if type(record) is not Call and type(record) is not Reply:
            continue
        body = record.body
        if type(body) is bytes and len(body) < limits.inline_max:
            continue
        outside = _take_outside(body, limits, frames)
        if outside is body:
            continue
        placed[index] = msgspec.structs.replace(record, body=outside)
        outside_octets += sum(map(len, frames[-1:] if type(body) is bytes else body))  # type: ignore[arg-type]
        if outside_octets >= _GATHER_MAX:
            count = index + 1
            break
    frames[0] = MESH_PREFIX + _encode(placed[:count])
    if len(frames[0]) > limits.head_max and count > 1:
        return encode(records[: count // 2], limits)
    return frames, count


def _take_outside(body: _WireBody, limits: Limits, frames: list[bytes]) -> _WireBody:
    """Move large parts of a body behind `frames`; return what stands for it in the record."""
    inline_max = limits.inline_max
    if type(body) is bytes:
        frames.append(body)
        return len(frames) - 2
    parts: list[bytes] = body  # type: ignore[assignment]
    if sum(map(len, parts)) > limits.head_max // 2:
        inline_max = 0  # many small parts would burst the head as well
    if all(len(part) < inline_max for part in parts):
        return body
    outside: list[bytes | int] = []
    for part in parts:
        if len(part) < inline_max:
            outside.append(part)
        else:
            frames.append(part)
            outside.append(len(frames) - 2)
    return outside


_COPY_MAX = 4096


def decode(frames: Sequence[bytes], limits: Limits) -> Message:
    """Return the records of one message.

    Args:
        frames: Head and bodies, without routing frame or envelope.
        limits: `head_max`, `records_max`, `frames_max`: beyond one of them the message is refused as a whole.

    Raises:
        RemoteProtocolError: The only exception, whatever the octets are.
    """
    if not frames:
        raise RemoteProtocolError("a message without frames")
    head = frames[0]
    if head[:3] != MESH_PREFIX:
        if head[:2] == MAGIC:
            raise RemoteProtocolError(
                f"version {head[2] if len(head) > 2 else None} of the protocol; this side reads {VERSION}"
            )
        raise RemoteProtocolError("the first frame does not begin with the magic octets")
    if len(head) > limits.head_max:
        raise RemoteProtocolError(f"head_max: a head of {len(head)} octets; {limits.head_max} are allowed")
    # Up to some thousand octets a copy takes less time than a view.
    packed = head[3:] if len(head) <= _COPY_MAX else memoryview(head)[3:]
    unknown = 0
    try:
        records = _decode_fast(packed)
    except _UNREADABLE:
        records, unknown = _decode_slowly(packed)
    if len(records) + unknown > limits.records_max:
        raise RemoteProtocolError(
            f"records_max: {len(records) + unknown} records in a message; {limits.records_max} are allowed"
        )
    if len(frames) == 1:
        for record in records:
            if (type(record) is Call or type(record) is Reply) and type(record.body) is not bytes:
                break
        else:
            return Message(records, unknown)
    gaps = unknown > 0  # records of unknown kinds may have bodies too
    used = _place_bodies(records, frames, limits, gaps)
    if used != len(frames) - 1 and not gaps:
        raise RemoteProtocolError(f"{len(frames) - 1} body frames came, the records speak of {used}")
    return Message(records, unknown)


def _decode_slowly(packed: bytes | memoryview) -> tuple[list[Record], int]:
    """Decode record by record, leaving out kinds that this version does not know."""
    records: list[Record] = []
    unknown = 0
    try:
        for raw in _decode_raw(packed):
            try:
                records.append(_decode_record(raw))
            except _UNREADABLE:
                kind = (_decode_any_list(raw) or [None])[0]
                if type(kind) is not int or kind in _KINDS:
                    raise
                unknown += 1
    except _UNREADABLE as error:
        raise RemoteProtocolError(f"a head that cannot be read: {error}") from None
    return records, unknown


def _place_bodies(records: list[Record], frames: Sequence[bytes], limits: Limits, gaps: bool) -> int:
    """Replace references by the frames they stand for: each frame once, in order, and without `gaps` every one."""
    used = 0
    for record in records:
        if type(record) is not Call and type(record) is not Reply:
            continue
        body = record.body
        if type(body) is bytes:
            continue
        parts = body if isinstance(body, list) else [body]
        if len(parts) > limits.frames_max:
            raise RemoteProtocolError(f"frames_max: a body of {len(parts)} frames; {limits.frames_max} are allowed")
        placed: list[bytes | int] = []
        for part in parts:
            if isinstance(part, bytes):
                placed.append(part)
                continue
            if part < used or (part > used and not gaps) or part + 1 >= len(frames):
                raise RemoteProtocolError(
                    f"a record refers to body {part!r}; the next one is {used} of {len(frames) - 1}"
                )
            used = part + 1
            placed.append(frames[used])
        record.body = placed if type(body) is list else placed[0]
    return used
