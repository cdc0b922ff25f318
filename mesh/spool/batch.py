"""What travels between a spool and an inbox: a batch of records in the call, a receipt in the answer. See mesh/WIRE.md.

Records travel as they lie in the file (`mesh.spool.record`), each under the checksum that was made when it was put.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

from mesh.errors import RemoteProtocolError
from mesh.spool.record import SpoolRecord, unpack_all

__all__ = ["Receipt", "pack_batch", "pack_receipt", "unpack_batch", "unpack_receipt"]

SEQ_MAX = 2**63 - 1
"""What SQLite takes for a whole number."""
REASON_MAX = 1000
"""Characters of the reason why a record is refused."""

_Position = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
_Seq = Annotated[int, msgspec.Meta(ge=0, le=SEQ_MAX)]


class _Batch(msgspec.Struct, array_like=True, frozen=True, tag="spool/1"):
    """The body of a call."""

    bundles: list[bytes]
    """One record or several, back to back, in each."""
    floors: list[tuple[bytes, _Seq]] = []
    """For producers: no record with a smaller number is on its way or will ever be sent again."""


class Receipt(msgspec.Struct, array_like=True, frozen=True, tag="receipt/1"):
    """The body of an answer. Positions count from 0 in the batch; a record that is in neither list is to come again."""

    durable: list[tuple[_Position, _Position]]
    """First and last position of each run of records that are stored here, now or since long."""
    duplicates: int
    """How many of those were stored here before."""
    refused: dict[_Position, str]
    """Why a record is invalid, by position."""


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)
_encoder = msgspec.msgpack.Encoder()
_batches = msgspec.msgpack.Decoder(_Batch)
_receipts = msgspec.msgpack.Decoder(Receipt)


def pack_batch(packed: Sequence[bytes], floors: Mapping[bytes, int]) -> bytes:
    """Return the body of a call with these packed records, each alone or several back to back."""
    return _encoder.encode(_Batch(list(packed), list(floors.items())))


def unpack_batch(body: bytes, method: str) -> tuple[list[SpoolRecord], dict[bytes, int]]:
    """Return the records and the floors of a call of `method`.

    Raises ValueError: it is no batch, or a record is damaged or for another method; it is not taken in part, because a
    damaged record no longer tells whose order depends on it.
    """
    try:
        batch = _batches.decode(body)
    except _UNREADABLE as error:
        raise ValueError(f"{method} takes batches of records from a spool, and this is none: {error}") from None
    records: list[SpoolRecord] = []
    try:
        for packed in batch.bundles:
            for record in unpack_all(packed):
                if record.method != method:
                    raise ValueError(f"it is for {record.method}, not for {method}")
                if record.seq > SEQ_MAX:
                    raise ValueError(f"it has the number {record.seq}, more than {SEQ_MAX}")
                records.append(record)
    except ValueError as error:
        raise ValueError(f"record {len(records)} of the batch cannot be taken: {error}") from None
    if not records:
        raise ValueError(f"{method} takes batches of records from a spool, and this one is empty")
    return records, dict(batch.floors)


def pack_receipt(durable: Iterable[tuple[int, int]], duplicates: int, refused: Mapping[int, str]) -> bytes:
    """Return the body of an answer."""
    reasons = {position: reason[:REASON_MAX] for position, reason in refused.items()}
    return _encoder.encode(Receipt(list(durable), duplicates, reasons))


def unpack_receipt(body: bytes, method: str) -> Receipt:
    """Return what an inbox says. Raises RemoteProtocolError: whoever offers the method is none."""
    try:
        return _receipts.decode(body)
    except _UNREADABLE:
        text = f"{method} is no inbox method: its answer is no receipt; offer it by an Inbox or name another method"
        raise RemoteProtocolError(text) from None
