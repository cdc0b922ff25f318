"""Tests of mesh.spool.record: a record comes back as it was, or not at all."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.spool.bundle import split
from mesh.spool.record import HEAD_OCTETS, MAGIC, SpoolRecord, pack_all

_NAMES = st.text(max_size=40).filter(lambda name: name.isprintable())
_RECORDS = st.builds(
    SpoolRecord,
    producer=st.binary(min_size=16, max_size=16),
    seq=st.integers(0, (1 << 48) - 1),
    method=_NAMES,
    stream=_NAMES,
    at=st.floats(allow_nan=False),
    body=st.binary(max_size=300),
)


@given(_RECORDS)
def test_what_was_packed_is_unpacked(record: SpoolRecord) -> None:
    assert SpoolRecord.unpack(record.pack()) == record


@given(_RECORDS, st.data())
def test_any_changed_bit_is_noticed(record: SpoolRecord, data: st.DataObject) -> None:
    packed = bytearray(record.pack())
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match=r"checksum|look like|fewer than any record"):
        SpoolRecord.unpack(bytes(packed))


@pytest.mark.parametrize("octets", [0, 3, HEAD_OCTETS - 1, HEAD_OCTETS + 3])
def test_part_of_a_record_is_none(octets: int) -> None:
    with pytest.raises(ValueError, match=r"octets|look like"):
        SpoolRecord.unpack(SpoolRecord(bytes(16), 1, "a.b", "", 0.0, b"body").pack()[:octets])


def test_the_checksum_covers_everything_behind_it() -> None:
    record = SpoolRecord(b"p" * 16, 7, "a.b", "s", 1.5, b"body")
    packed = record.pack()
    assert packed.startswith(MAGIC)
    assert len(packed) == HEAD_OCTETS + len("a.bsbody")
    assert record.checksum == zlib.crc32(packed[8:])


def test_two_records_are_not_one() -> None:
    packed = pack_all(b"p" * 16, 5, "a.b", "", 2.0, [b"one", b"two"])
    with pytest.raises(ValueError, match="does not look like a record, but like 2"):
        SpoolRecord.unpack(packed)


def test_records_that_are_packed_together_have_consecutive_numbers() -> None:
    packed = pack_all(b"p" * 16, 5, "a.b", "strøm", 2.0, [b"one", b""])
    assert [SpoolRecord.unpack(row) for row in split(packed)] == [
        SpoolRecord(b"p" * 16, 5, "a.b", "strøm", 2.0, b"one"),
        SpoolRecord(b"p" * 16, 6, "a.b", "strøm", 2.0, b""),
    ]
