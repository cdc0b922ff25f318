"""Reads the WAL as SQLite does when it recovers, to see what it would silently leave out.

SQLite takes the first frame whose checksum is wrong for the end of what was committed. That is right after a crash, as
what follows was never acknowledged; it is wrong after a bit has changed, when what follows was. The index beside the
WAL, as long as it is there, says how many frames were committed. Without it frames tell by their salts: those that were
written since the WAL was last begun anew have the same ones as its header (sqlite.org/fileformat2.html, section 4). As
a transaction begins only when the one before is on disk, a frame that is followed by one of a later transaction was.
About the last transaction of all nobody can tell whether the power was cut while it was written or a bit has changed.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

__all__ = ["INDEX_OCTETS", "Frame", "Loss", "frames", "loss"]

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


class Loss(NamedTuple):
    """What SQLite would leave out of a WAL."""

    why: str
    """What is damaged, in words."""
    certain: bool
    """Whether it was committed for sure; if not, it is the last transaction, which may never have been complete."""
    frame: int
    """The first one that would be left out, from 0."""


def loss(wal: bytes, before: bytes, after: bytes) -> Loss | None:
    """Return what SQLite leaves out of this WAL and may have been committed; None if there is no such thing.

    Args:
        wal: The file's content.
        before: The index beside it (`-shm`), INDEX_OCTETS of it, as it was found; empty if there was none.
        after: The same when SQLite has recovered, which says how far it came.
    """
    if len(wal) <= HEADER_OCTETS:
        return None
    magic, _, page_octets, _, salts, *checksum = _HEADER.unpack_from(wal)
    order = "big" if magic & 1 else "little"
    if magic & ~1 != _MAGIC or _sum(wal[:24], order, (0, 0)) != tuple(checksum):
        return Loss("the header of its WAL is damaged", True, 0)
    step = FRAME_HEAD_OCTETS + page_octets
    sound, sums = _committed(after, salts) or (0, (checksum[0], checksum[1]))
    left_out, complete, later = False, False, False
    for at in range(HEADER_OCTETS + sound * step, len(wal) - step + 1, step):
        _, size, own_salts, *checksum = _FRAME.unpack_from(wal, at)
        # The first one may be of this round and have damaged salts, which no checksum covers.
        if own_salts == salts or (
            at == HEADER_OCTETS + sound * step
            and _sum(wal[at : at + 8] + wal[at + FRAME_HEAD_OCTETS : at + step], order, sums) == tuple(checksum)
        ):
            left_out, later = True, complete
            complete = complete or size != 0
    committed = _committed(before, salts)
    if committed is not None:
        missing = committed[0] - sound
        return Loss(f"{missing} frames of its WAL are damaged", True, sound) if missing > 0 else None
    return Loss(f"frame {sound + 1} of its WAL is not whole", later, sound) if left_out else None


def _committed(index: bytes, salts: bytes) -> tuple[int, tuple[int, int]] | None:
    """Return how many frames an index says were committed, and the sums so far; None if it is of another WAL."""
    size = _INDEX.size
    if len(index) < 2 * size or index[:size] != index[size : 2 * size]:
        return None
    *_, frames, _, first, second, own_salts, own_first, own_second = _INDEX.unpack_from(index)
    if own_salts != salts or _sum(index[: size - 8], sys.byteorder, (0, 0)) != (own_first, own_second):
        return None
    return int(frames), (first, second)


def _sum(octets: bytes, order: str, before: tuple[int, int]) -> tuple[int, int]:
    words = struct.unpack(f"{'>' if order == 'big' else '<'}{len(octets) // 4}I", octets)
    first, second = before
    pairs = iter(words)
    for even, odd in zip(pairs, pairs, strict=True):
        first = first + even + second & _MASK
        second = second + odd + first & _MASK
    return first, second
