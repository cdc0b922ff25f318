"""The far end under power cuts: what an inbox must know afterwards; see `scripts.spool_power`, which runs this."""

from __future__ import annotations

import json
import os
import random
import sqlite3
from pathlib import Path

from mesh import Inbox, Request, SpoolRecord
from mesh.spool.batch import pack_batch, unpack_receipt
from scripts.spool_disk import Event

__all__ = ["PHASES", "Expected", "run"]

PHASES = ("first", "killed", "after")
_PRODUCER = b"a producer, 16 o"
_METHOD = "warehouse.ingest"


def _record(seq: int) -> SpoolRecord:
    return SpoolRecord(_PRODUCER, seq, _METHOD, "", 1.0, b"%d " % seq + random.Random(seq).randbytes(seq % 700))


def _opened(directory: Path) -> Inbox:
    inbox = Inbox(
        "warehouse", directory / "readings.db", schema="CREATE TABLE IF NOT EXISTS readings (seq INTEGER, body BLOB)"
    )

    @inbox.method
    def ingest(record: SpoolRecord, db: sqlite3.Connection) -> None:
        db.execute("INSERT INTO readings VALUES (?, ?)", (record.seq, record.body))

    return inbox


def _send(inbox: Inbox, seqs: list[int]) -> tuple[list[int], int]:
    """Send these records; return those that are acknowledged, and how many of them were known."""
    body = pack_batch([_record(seq).pack() for seq in seqs], {})
    (answer,) = inbox.service.methods[_METHOD].invoke(Request(_METHOD, [body]))
    receipt = unpack_receipt(answer, _METHOD)
    return [seq for first, last in receipt.durable for seq in seqs[first : last + 1]], receipt.duplicates


def run(phase: str, directory: Path, seed: int, marks: int) -> None:
    """Take batches as they come: in order, out of order, once more."""
    rng = random.Random(seed)
    directory.mkdir(exist_ok=True)
    with _opened(directory) as inbox:
        for batch in range(60):
            first = 10_000 * seed + 40 * batch
            seqs = list(range(first, first + rng.randint(1, 40)))
            if rng.random() < 0.3:
                seqs = rng.sample(range(first - 60, first + 40), 30)
            os.write(marks, (json.dumps(["ack", [], _send(inbox, seqs)[0]]) + "\n").encode())
        if phase == "killed":
            os._exit(0)


class Expected:
    """What the inbox must know."""

    def __init__(self) -> None:
        self._acknowledged: set[int] = set()

    def take(self, event: Event) -> None:
        """Hear a mark."""
        self._acknowledged.update(json.loads(event.octets)[2])

    def judge(self, directory: Path) -> str:
        """Open what is left; return what is wrong in words, or nothing."""
        known = sorted(self._acknowledged)
        with _opened(directory) as inbox:
            rows = inbox.look(lambda db: db.execute("SELECT seq, body FROM readings").fetchall())
            stored = dict(rows)
            if len(stored) != len(rows):
                return "a record was stored twice"
            for seq in known:
                if stored.get(seq) != _record(seq).body:
                    return f"the acknowledged record {seq} is {'not there' if seq not in stored else 'another'}"
            if known and _send(inbox, known) != (known, len(known)):
                return "an acknowledged record is not recognised when it comes again"
        return ""
