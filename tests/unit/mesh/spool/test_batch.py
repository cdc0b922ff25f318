"""What travels between a spool and an inbox."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh import RemoteProtocolError
from mesh.spool.batch import Receipt, pack_batch, pack_receipt, unpack_batch, unpack_receipt
from tests.helpers.spools import PRODUCER, record


def test_a_batch_comes_as_it_was_sent() -> None:
    records = [record(1), record(2, b"\x00\xff", "a"), record(9, b"x" * 100_000)]
    body = pack_batch([one.pack() for one in records], {PRODUCER: 7})
    assert unpack_batch(body, "warehouse.ingest") == (records, {PRODUCER: 7})


def test_records_come_alone_or_several_back_to_back() -> None:
    other = b"another one, 16o"
    records = [
        record(1),
        record(2, b"\x00\xff", "a"),
        record(3, stream="ab"),
        record(9, b"x" * 100_000, "ab", other),
        record(4, stream="a"),
    ]
    one, two, *others = [one.pack() for one in records]
    body = pack_batch([one, two + b"".join(others[:2]), others[2]], {})
    assert unpack_batch(body, "warehouse.ingest") == (records, {})


@pytest.mark.parametrize("cut", [1, 20, 48, 55])
def test_records_back_to_back_end_where_the_last_one_ends(cut: int) -> None:
    several = b"".join(record(seq).pack() for seq in (1, 2, 3))
    for damaged in (several[:-cut], several + record(4).pack()[:cut], several + bytes(cut)):
        with pytest.raises(ValueError, match=r"record [23] of the batch cannot be taken: it (has|does not look like)"):
            unpack_batch(pack_batch([damaged], {}), "warehouse.ingest")


def test_a_flipped_bit_is_seen_wherever_it_is() -> None:
    sent = pack_batch([record(1).pack() + record(2).pack()], {})
    for bit in range(8 * len(sent)):
        octets = bytearray(sent)
        octets[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match=r"batch"):
            unpack_batch(bytes(octets), "warehouse.ingest")


def test_a_record_for_another_method_is_not_taken() -> None:
    body = pack_batch([record(1).pack(), record(2, method="other.ingest").pack()], {})
    with pytest.raises(
        ValueError, match=r"record 1 of the batch .* it is for other\.ingest, not for warehouse\.ingest"
    ):
        unpack_batch(body, "warehouse.ingest")


def test_a_number_that_sqlite_has_no_room_for_is_not_taken() -> None:
    with pytest.raises(ValueError, match="has the number 9223372036854775808"):
        unpack_batch(pack_batch([record(2**63).pack()], {}), "warehouse.ingest")


@pytest.mark.parametrize("bundles", [[], [b""]])
def test_a_batch_of_nothing_is_not_taken(bundles: list[bytes]) -> None:
    with pytest.raises(ValueError, match="this one is empty"):
        unpack_batch(pack_batch(bundles, {}), "warehouse.ingest")


@given(st.binary(max_size=60))
def test_garbage_is_no_batch_and_no_receipt(garbage: bytes) -> None:
    with pytest.raises(ValueError, match=r"warehouse\.ingest takes batches of records from a spool, and this is none"):
        unpack_batch(garbage, "warehouse.ingest")
    with pytest.raises(RemoteProtocolError, match=r"warehouse\.ingest is no inbox method"):
        unpack_receipt(garbage, "warehouse.ingest")


def test_a_receipt_comes_as_it_was_sent_with_reasons_of_bounded_length() -> None:
    receipt = unpack_receipt(pack_receipt([(0, 3), (5, 5)], 2, {4: "why " * 1000}), "warehouse.ingest")
    assert receipt == Receipt([(0, 3), (5, 5)], 2, {4: ("why " * 1000)[:1000]})
