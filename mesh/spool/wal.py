"""Reads the WAL as SQLite does when it recovers, to see what it would silently leave out.

SQLite takes the first frame whose checksum is wrong for the end of what was committed. That is right after a crash, as
what follows was never acknowledged; it is wrong after a bit has changed, when what follows was. The index beside the
WAL, as long as it is there, says how many frames were committed. Without it frames tell by their salts: those that were
written since the WAL was last begun anew have the same ones as its header (sqlite.org/fileformat2.html, section 4).
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["INDEX_OCTETS", "Frame", "frames", "loss"]

HEADER_OCTETS, FRAME_HEAD_OCTETS = 32, 24
_HEADER = struct.Struct(">IIII8sII")
_FRAME = struct.Struct(">II8sII")
_MAGIC = 0x377F0682
"""The lowest bit says that the checksums are taken of big-endian words."""
_MASK = 0xFFFFFFFF
_INDEX = struct.Struct("=IIIBBHIIII8sII")
"""The index's header: version, unused, changes, initialised, big-endian, page size, last frame, pages, the checksum of
that frame, salts, own checksum. There are two copies, one behind the other."""
INDEX_OCTETS = 2 * _INDEX.size
"""How much of the index is looked at."""


class Frame(NamedTuple):
    """One page as it was after some transaction."""

    page: int
    """Number of the page, from 1."""
    commits: bool
    """Whether it is the last one of its transaction."""
    at: int
    """Where its octets begin in the file."""


def frames(wal: bytes | memoryview, page_octets: int) -> Iterator[Frame]:
    """Yield every frame there is, sound or not, those of earlier rounds among them."""
    step = FRAME_HEAD_OCTETS + page_octets
    for at in range(HEADER_OCTETS, len(wal) - step + 1, step):
        page, size = struct.unpack_from(">II", wal, at)
        yield Frame(page, size != 0, at + FRAME_HEAD_OCTETS)


def loss(wal: bytes, index: bytes) -> str:
    """Return what SQLite would leave out of this WAL although it was committed, in words; "" if nothing.

    Args:
        wal: The file's content.
        index: The first octets of the file with the suffix `-shm`; empty if there is none.
    """
    if len(wal) <= HEADER_OCTETS:
        return ""
    magic, _, page_octets, _, salts, *checksum = _HEADER.unpack_from(wal)
    order = "big" if magic & 1 else "little"
    if magic & ~1 != _MAGIC or _sum(wal[:24], order, (0, 0)) != tuple(checksum):
        return "the header of its WAL is damaged"
    step = FRAME_HEAD_OCTETS + page_octets
    sums, sound = (checksum[0], checksum[1]), 0
    alike: list[int] = []
    """Frames behind the sound ones that were written in the same round."""
    starts = range(HEADER_OCTETS, len(wal) - step + 1, step)
    for number, at in enumerate(starts):
        _, _, own_salts, *checksum = _FRAME.unpack_from(wal, at)
        if sound == number:
            after = _sum(wal[at : at + 8] + wal[at + FRAME_HEAD_OCTETS : at + step], order, sums)
            if after == tuple(checksum):
                if own_salts == salts:
                    sums, sound = after, number + 1
                    continue
                alike.append(number)
        if own_salts == salts:
            alike.append(number)
    committed = _committed(index, salts)
    if committed is not None:
        return f"{committed - sound} frames at the end of its WAL are damaged" if sound < committed else ""
    return f"frame {sound + 1} of its WAL is damaged" if alike else ""


def _committed(index: bytes, salts: bytes) -> int | None:
    """Return how many frames the index says were committed; None if it does not belong to this WAL."""
    size = _INDEX.size
    if len(index) < 2 * size or index[:size] != index[size : 2 * size]:
        return None
    *_, last_frame, _, _, _, own_salts, first, second = _INDEX.unpack_from(index)
    if own_salts != salts or _sum(index[: size - 8], sys.byteorder, (0, 0)) != (first, second):
        return None
    return int(last_frame)


def _sum(octets: bytes, order: str, before: tuple[int, int]) -> tuple[int, int]:
    words = struct.unpack(f"{'>' if order == 'big' else '<'}{len(octets) // 4}I", octets)
    first, second = before
    pairs = iter(words)
    for even, odd in zip(pairs, pairs, strict=True):
        first = first + even + second & _MASK
        second = second + odd + first & _MASK
    return first, second
