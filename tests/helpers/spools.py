"""Records as a spool sends them, to an inbox without a network."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mesh import Inbox, Request, SpoolRecord
from mesh.spool.batch import Receipt, pack_batch, unpack_receipt
from mesh.spool.letters import Letter
from mesh.spool.record import pack_all

__all__ = ["PRODUCER", "joined", "letter", "record", "send"]

PRODUCER = b"a producer, 16 o"


def record(
    seq: int, body: bytes = b"", stream: str = "", producer: bytes = PRODUCER, method: str = "warehouse.ingest"
) -> SpoolRecord:
    """Return a record as it would have been put at second 1000 + seq."""
    return SpoolRecord(producer, seq, method, stream, 1000.0 + seq, body or f"body {seq}".encode())


def letter(row: int, stream: str = "", records: int = 1) -> Letter:
    """Return a record that waits, or several that were put together."""
    packed = pack_all(PRODUCER, row, "warehouse.ingest", stream, 1000.0, [b"x"] * records)
    return Letter(row, stream, packed, records)


def joined(letters: Iterable[Letter], records: int) -> list[Letter]:
    """Return single letters as if neighbours of one stream were put together, at most so many at a time."""
    found: list[Letter] = []
    for one in letters:
        if found and (found[-1].last + 1, found[-1].stream) == (one.row, one.stream) and one.row % records:
            before = found.pop()
            found.append(Letter(before.row, one.stream, before.packed + one.packed, before.records + 1))
        else:
            found.append(one)
    return found


def send(inbox: Inbox, records: Sequence[SpoolRecord], floors: dict[bytes, int] | None = None) -> Receipt:
    """Have an inbox take a batch; return its receipt. Raises what its method raises."""
    method = records[0].method
    body = pack_batch([one.pack() for one in records], floors or {})
    (answer,) = inbox.service.methods[method].invoke(Request(method, [body]))
    return unpack_receipt(answer, method)
