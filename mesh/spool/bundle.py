"""A bundle: records that were put together and lie back to back in one run of octets, in the file as on the wire.

Their numbers follow one another, and they share method and stream. Each is as it would be alone (`mesh.spool.record`),
so that those behind a damaged one are found again, and a single record is a bundle too.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import accumulate

from mesh.spool.record import HEAD_OCTETS, MAGIC, octets_at

__all__ = ["RECORDS_MAX", "are_whole", "ends_of", "pieces", "portions", "split"]

RECORDS_MAX = 1000
"""Records of one bundle."""
OCTETS_MAX = 1 << 18
"""Octets of one bundle, unless its only record has more."""

_START = struct.Struct("!4sII16sQ")
"""How a record begins: letters, checksum, octets, producer, number."""
_COVERED_AT = 8


def portions(octets: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield where each bundle begins and ends, given how many octets each of the records has."""
    ends = list(accumulate(octets))
    begin = before = 0
    while begin < len(ends):
        end = min(begin + RECORDS_MAX, max(begin + 1, bisect_right(ends, before + OCTETS_MAX)))
        yield begin, end
        begin, before = end, ends[end - 1]


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


def ends_of(packed: bytes) -> list[int]:
    """Return where each record of a bundle ends that is whole."""
    ends, at = [], 0
    while at < len(packed):
        at += octets_at(packed, at)
        ends.append(at)
    return ends


def split(packed: bytes) -> list[bytes]:
    """Return the records of a bundle that is whole, one by one as they are kept."""
    ends = ends_of(packed)
    return [packed[at:end] for at, end in zip([0, *ends], ends, strict=False)]


def pieces(packed: bytes, seq: int, records: int) -> list[bytes]:
    """Return so many records one by one as they are kept, this number's the first; joined they are what was given.

    What is no whole record stands at the place of those that are missing, all of it at that of the first one.

    Raises ValueError: one has a number that it cannot have, or there are more than these, or fewer.
    """
    if are_whole(packed, seq, records):
        return split(packed)
    return list(_search(packed, seq, records))


def _search(packed: bytes, seq: int, records: int) -> Iterator[bytes]:
    """Yield the same where something is damaged."""
    end = seq + records
    lost_at = 0
    at = packed.find(MAGIC)
    while at >= 0:
        octets = octets_at(packed, at)
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
    """Yield what is left of so many records. Raises ValueError: that cannot be."""
    if bool(octets) != bool(records) or records > max(1, len(octets) // HEAD_OCTETS):
        raise ValueError(f"{len(octets)} octets are where {records} damaged records should be")
    if records:
        yield octets
        yield from (b"" for _ in range(records - 1))
