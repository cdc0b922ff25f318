"""A record as it lies in the file and travels, and what is told of all of them.

A record is kept as one run of octets that stands for itself: whoever finds it anywhere can tell what it is, whose it
is, and whether every bit of it is as it was. Nothing else in the file is needed to deliver it.

    4  the letters `spR1`
    4  crc32 of everything behind it
    4  octets in all
   16  producer        random, made with the file
    8  seq
    8  at              seconds since 1970, a double
    2  octets of the method's name
    2  octets of the stream's name
    .. method, stream (UTF-8), body

Numbers are big-endian.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator

import msgspec

__all__ = [
    "HEAD_OCTETS",
    "MAGIC",
    "SpoolRecord",
    "SpoolStats",
    "octets_at",
    "pack_all",
    "producer_of",
    "stream_of",
    "unpack_all",
]

MAGIC = b"spR1"
"""How every record begins."""
_HEAD = struct.Struct("!4sII16sQdHH")
_COVERED = struct.Struct("!I16sQdHH")
"""What follows the checksum."""
_UNCOVERED = struct.Struct("!4sI")
_COVERED_AT = 8
HEAD_OCTETS = _HEAD.size
"""Octets of a record beside its method, stream and body."""


class SpoolRecord(msgspec.Struct, frozen=True, gc=False):
    """One record; (producer, seq) names it for ever."""

    producer: bytes
    """16 octets that name the file in which it was put first."""
    seq: int
    """Its number there, from 1; never used again."""
    method: str
    """Full name of the inbox method that takes it, `service.method`."""
    stream: str
    """Records of one stream keep their order; those of the stream without a name have none."""
    at: float
    """When it was put, in seconds since 1970."""
    body: bytes
    """What was put."""

    @property
    def checksum(self) -> int:
        """The crc32 of everything it is."""
        return int.from_bytes(self.pack()[4:_COVERED_AT], "big")

    def pack(self) -> bytes:
        """Return it as it is kept."""
        return pack_all(self.producer, self.seq, self.method, self.stream, self.at, (self.body,))

    @classmethod
    def unpack(cls, packed: bytes) -> SpoolRecord:
        """Return the record that is kept like this. Raises ValueError: it is none, or no more what it was."""
        records = list(unpack_all(packed))
        if len(records) != 1:
            raise ValueError(f"it does not look like a record, but like {len(records)}")
        return records[0]


def octets_at(packed: bytes, at: int = 0) -> int:
    """Return how many octets a record that begins there says that it has."""
    return int.from_bytes(packed[at + _COVERED_AT : at + _COVERED_AT + 4], "big")


def unpack_all(packed: bytes) -> Iterator[SpoolRecord]:
    """Yield records that lie back to back. Raises ValueError: the next is none, or no more what it was."""
    view, octets_all = memoryview(packed), len(packed)
    at = names_octets = 0
    producer = names = b""
    method = stream = ""
    while at < octets_all:
        body_at = at + HEAD_OCTETS
        if body_at > octets_all:
            raise ValueError(f"it has {octets_all - at} octets, fewer than any record")
        magic, checksum, octets, by, seq, put_at, method_octets, stream_octets = _HEAD.unpack_from(packed, at)
        end = at + octets
        names_at, body_at = body_at, body_at + method_octets + stream_octets
        if magic != MAGIC or not body_at <= end <= octets_all:
            raise ValueError("it does not look like a record")
        if zlib.crc32(view[at + _COVERED_AT : end]) != checksum:
            raise ValueError("its checksum is wrong")
        # Records that come together share nearly always what names them: one object each for all.
        if by != producer:
            producer = by
        if method_octets != names_octets or packed[names_at:body_at] != names:
            names, names_octets = packed[names_at:body_at], method_octets
            method, stream = names[:method_octets].decode(), names[method_octets:].decode()
        yield SpoolRecord(producer, seq, method, stream, put_at, packed[body_at:end])
        at = end


def pack_all(producer: bytes, first_seq: int, method: str, stream: str, at: float, bodies: Iterable[bytes]) -> bytes:
    """Return records with consecutive numbers as they are kept, back to back."""
    names = method.encode() + stream.encode()
    method_octets, stream_octets = len(method.encode()), len(stream.encode())
    octets, packed = HEAD_OCTETS + len(names), []
    for seq, body in enumerate(bodies, first_seq):
        rest = _COVERED.pack(octets + len(body), producer, seq, at, method_octets, stream_octets) + names + body
        packed.append(_UNCOVERED.pack(MAGIC, zlib.crc32(rest)) + rest)
    return b"".join(packed)


def producer_of(packed: bytes) -> bytes:
    """Return the producer of a record as it is kept."""
    return packed[12:28]


def stream_of(packed: bytes) -> str:
    """Return the stream of a record as it is kept."""
    octets = packed[HEAD_OCTETS - 2 : HEAD_OCTETS]
    if octets == b"\0\0":
        return ""
    stream_at = HEAD_OCTETS + int.from_bytes(packed[HEAD_OCTETS - 4 : HEAD_OCTETS - 2], "big")
    return packed[stream_at : stream_at + int.from_bytes(octets, "big")].decode()


class SpoolStats(msgspec.Struct, frozen=True, gc=False):
    """How a spool stands."""

    ready: int
    """Records that wait to be delivered, those in flight among them."""
    in_flight: int
    """Records that this process has sent and that are not acknowledged yet."""
    quarantined: int
    """Records that were set aside: refused again and again, or damaged."""
    octets: int
    """Octets of all these records, 48 and the names of method and stream for each besides its body."""
    put: int
    """Records put since the file was made."""
    delivered: int
    """Records delivered since the file was made."""
    dropped: int
    """Records dropped since the file was made: purged, or the oldest, where that is the policy when it is full."""
    oldest_age_s: float | None
    """Seconds since the oldest record that waits was put; None if none waits."""
    put_per_s: float
    """Records put a second since the last look, or since it was opened; those of other processes among them."""
    delivered_per_s: float
    """Records delivered a second, likewise."""
