"""Records as a spool sends them, to an inbox without a network."""

from __future__ import annotations

from collections.abc import Sequence

from mesh import Inbox, Request, SpoolRecord
from mesh.spool.batch import Receipt, pack_batch, unpack_receipt

__all__ = ["PRODUCER", "record", "send"]

PRODUCER = b"a producer, 16 o"


def record(
    seq: int, body: bytes = b"", stream: str = "", producer: bytes = PRODUCER, method: str = "warehouse.ingest"
) -> SpoolRecord:
    """Return a record as it would have been put at second 1000 + seq."""
    return SpoolRecord(producer, seq, method, stream, 1000.0 + seq, body or f"body {seq}".encode())


def send(inbox: Inbox, records: Sequence[SpoolRecord], floors: dict[bytes, int] | None = None) -> Receipt:
    """Have an inbox take a batch; return its receipt. Raises what its method raises."""
    method = records[0].method
    body = pack_batch([one.pack() for one in records], floors or {})
    (answer,) = inbox.service.methods[method].invoke(Request(method, [body]))
    return unpack_receipt(answer, method)
