"""Tests of mesh.spool.counters."""

from __future__ import annotations

import pytest

from mesh.spool.counters import Counters


def test_what_was_packed_is_unpacked() -> None:
    counters = Counters(b"p" * 16, 9, 1, 2, 3, 4, 5, 6)
    assert Counters.unpack(counters.pack()) == counters


def test_any_changed_bit_is_noticed() -> None:
    packed = Counters(b"p" * 16).pack()
    for bit in range(8 * len(packed)):
        changed = bytearray(packed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="checksum"):
            Counters.unpack(bytes(changed))
