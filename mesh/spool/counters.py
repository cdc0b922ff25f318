"""What a spool knows of itself: one row, changed by each transaction."""

from __future__ import annotations

import struct
import zlib

import msgspec

__all__ = ["Counters"]

_FORM = struct.Struct("!16sQQQQQQQ")


class Counters(msgspec.Struct, gc=False):
    """How many records there are and were, and the next one's name. Changed in place by a transaction."""

    producer: bytes
    """16 octets for the name of the next record."""
    next_seq: int = 1
    """The next record's number."""
    ready: int = 0
    quarantined: int = 0
    octets: int = 0
    """Of all records that are there, as they are kept."""
    put: int = 0
    delivered: int = 0
    dropped: int = 0

    def pack(self) -> bytes:
        """Return it as it is kept, behind its checksum."""
        row = _FORM.pack(
            self.producer,
            self.next_seq,
            self.ready,
            self.quarantined,
            self.octets,
            self.put,
            self.delivered,
            self.dropped,
        )
        return zlib.crc32(row).to_bytes(4, "big") + row

    @classmethod
    def unpack(cls, packed: bytes) -> Counters:
        """Return what is kept like this. Raises ValueError: it is no more what it was."""
        if len(packed) != 4 + _FORM.size or zlib.crc32(packed[4:]) != int.from_bytes(packed[:4], "big"):
            raise ValueError("its checksum is wrong")
        return cls(*_FORM.unpack_from(packed, 4))
