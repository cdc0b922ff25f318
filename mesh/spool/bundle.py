"""A bundle: records that were put together and lie back to back in one run of octets, in the file as on the wire.

Their numbers follow one another, and they share method and stream. Each is as it would be alone (`mesh.spool.record`),
so that those behind a damaged one are found again, and a single record is a bundle too.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from mesh.spool.record import HEAD_OCTETS, MAGIC

__all__ = ["are_whole", "pieces", "walk"]

_START = struct.Struct("!4sII16sQ")
"""How a record begins: letters, checksum, octets, producer, number."""
_COVERED_AT = 8


def are_whole(packed: bytes, seq: int, records: int) -> bool:
    """Return whether this is nothing but so many records, this number's the first, each as it was put."""
    view, at = memoryview(packed), 0
    for number in range(seq, seq + records):
        if at + HEAD_OCTETS > len(packed):
            return False
        magic, checksum, octets, _, found = _START.unpack_from(packed, at)
        if magic != MAGIC or found != number or zlib.crc32(view[at + _COVERED_AT : at + octets]) != checksum:
            return False
        at += octets
    return at == len(packed)


def walk(packed: bytes) -> list[int]:
    """Return where each record of a bundle begins that is whole."""
    begins, at = [], 0
    while at < len(packed):
        begins.append(at)
        at += int.from_bytes(packed[at + 8 : at + 12], "big")
    return begins


def pieces(packed: bytes, seq: int, records: int) -> list[bytes]:
    """Return so many records one by one as they are kept, this number's the first; joined they are what was given.

    What is no whole record stands at the place of those that are missing, all of it at that of the first one.

    Raises ValueError: one has a number that it cannot have, or there is more than these.
    """
    if not are_whole(packed, seq, records):
        return list(_search(packed, seq, records))
    begins = walk(packed)
    return [packed[at:end] for at, end in zip(begins, [*begins[1:], len(packed)], strict=True)]


def _search(packed: bytes, seq: int, records: int) -> Iterator[bytes]:
    """Yield the same where something is damaged."""
    end = seq + records
    lost_at = 0
    at = packed.find(MAGIC)
    while at >= 0:
        octets = int.from_bytes(packed[at + 8 : at + 12], "big")
        number = int.from_bytes(packed[at + 28 : at + 36], "big")
        if not are_whole(packed[at : at + octets], number, 1):
            at += 1
        elif seq <= number < end:
            yield from _lost(packed[lost_at:at], number - seq)
            yield packed[at : at + octets]
            seq = number + 1
            at = lost_at = at + octets
        elif at == lost_at:
            raise ValueError(f"record {number} is not in its place")
        else:  # it is part of the body of one that is damaged
            at += octets
        at = packed.find(MAGIC, at)
    yield from _lost(packed[lost_at:], end - seq)


def _lost(octets: bytes, records: int) -> Iterator[bytes]:
    if records:
        yield octets
        yield from (b"" for _ in range(records - 1))
    elif octets:
        raise ValueError(f"{len(octets)} octets are between its records")
