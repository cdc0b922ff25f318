"""Tests of mesh.spool.bundle: a damaged record costs no other one of its bundle."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.spool.bundle import are_whole, ends_of, pieces, split
from mesh.spool.record import pack_all
from tests.helpers.spools import PRODUCER, record

_BODIES = st.lists(st.binary(max_size=40), min_size=1, max_size=8)


def packed(*bodies: bytes, seq: int = 5) -> list[bytes]:
    return split(pack_all(PRODUCER, seq, "a.b", "stream", 1.5, bodies))


@given(_BODIES)
def test_a_bundle_is_its_records_back_to_back(bodies: list[bytes]) -> None:
    records = packed(*bodies)
    bundle = b"".join(records)
    assert pieces(bundle, 5, len(records)) == records
    assert split(bundle) == records


@given(_BODIES, st.data())
def test_a_flipped_bit_costs_one_record_and_no_octet(bodies: list[bytes], data: st.DataObject) -> None:
    records = packed(*bodies)
    octets = bytearray(b"".join(records))
    bit = data.draw(st.integers(0, 8 * len(octets) - 1))
    octets[bit // 8] ^= 1 << bit % 8
    assert not are_whole(bytes(octets), 5, len(records))
    found = pieces(bytes(octets), 5, len(records))
    assert b"".join(found) == octets
    assert [one == other for one, other in zip(found, records, strict=True)].count(False) == 1


@given(_BODIES, st.data())
def test_octets_that_are_overwritten_cost_the_records_that_they_are_of(
    bodies: list[bytes], data: st.DataObject
) -> None:
    records = packed(*bodies)
    octets = bytearray(b"".join(records))
    first = data.draw(st.integers(0, len(octets) - 1))
    last = data.draw(st.integers(first, len(octets) - 1))
    octets[first : last + 1] = bytes(last + 1 - first)
    found = pieces(bytes(octets), 5, len(records))
    assert b"".join(found) == octets
    begins = [0, *ends_of(b"".join(records))]
    for number, one in enumerate(records):
        if begins[number + 1] <= first or last < begins[number]:
            assert found[number] == one


def test_a_record_within_the_body_of_a_damaged_one_is_none() -> None:
    records = packed(b"one", record(2).pack(), b"three")
    damaged = records[1].replace(b"a.b", b"a,b")
    assert pieces(records[0] + damaged + records[2], 5, 3) == [records[0], damaged, records[2]]


def test_what_is_not_in_its_place_is_told() -> None:
    one, two, three = packed(b"one", b"two", b"three")
    with pytest.raises(ValueError, match="record 7 is not in its place"):
        pieces(one + two + three, 5, 2)
    with pytest.raises(ValueError, match="record 5 is not in its place"):
        pieces(one + two, 6, 2)
    with pytest.raises(ValueError, match="4 octets are where 0 damaged records should be"):
        pieces(one + b"rest" + two, 5, 2)
    with pytest.raises(ValueError, match="0 octets are where 1 damaged records should be"):
        pieces(one + two, 5, 3)
    with pytest.raises(ValueError, match="60 octets are where 2 damaged records should be"):
        pieces(one + two.replace(b"a.b", b"a,b"), 5, 3)
