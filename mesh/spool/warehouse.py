"""The ready-made far end: an inbox that keeps every record, in a table of SQLite or in a file of JSON lines."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from importlib.metadata import version
from itertools import chain, groupby, islice
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Self

from mesh.errors import RemoteError, SpoolError
from mesh.service import Service
from mesh.spool import lines
from mesh.spool.inbox import Inbox
from mesh.spool.ledger import Counts
from mesh.spool.record import SpoolRecord

__all__ = ["Warehouse"]

_TABLE = """
CREATE TABLE IF NOT EXISTS records (
    id INTEGER PRIMARY KEY, at REAL, received REAL, producer BLOB, seq INTEGER, stream TEXT, body
)"""
_ROWS = 100
"""Rows of one statement: one by one they cost more than twice the processor time (measured)."""
_INSERT = [
    "INSERT INTO records (received, producer, at, seq, stream, body) VALUES "
    + ", ".join(["(?1, ?2, ?, ?, ?, ?)"] * rows)
    for rows in range(_ROWS + 1)
]
"""For as many rows as the place in this list says; what a row shares with all others is bound once."""
_BESIDE = ".inbox"
"""What the name of a file of JSON lines gets for that of the SQLite file beside it, which says what was received."""


class Warehouse:
    """The service, with `ingest` for records and `count` for people; see `in_table` and `in_lines`."""

    def __init__(self, inbox: Inbox, close: Callable[[], None] = lambda: None) -> None:
        self.inbox = inbox
        """What takes the records."""
        self._close = close

        @inbox.service.method(read_only=True)
        def count() -> Counts:
            """Return what was stored since the file was made."""
            return inbox.counts()

    @classmethod
    def in_table(cls, path: Path, service: str = "warehouse") -> Self:
        """Return a warehouse that keeps each record as a row of the table `records` of an SQLite file.

        The body is text where it is UTF-8, else a blob; `CAST(body AS BLOB)` are its octets in both cases.

        Args:
            path: Made if it is not there.
            service: Its name.

        Raises:
            SpoolError: The file cannot be used.
            ConfigError: The name cannot be used.
        """
        inbox = _inbox(service, path, _TABLE)
        try:
            inbox.look(lambda db: db.execute(f"EXPLAIN {_INSERT[1]}", (None,) * 6))
        except SpoolError as error:
            inbox.close()
            raise SpoolError(
                f"{path} has a table 'records' with other columns ({error}); give another file", path=str(path)
            ) from None

        @inbox.method(batch=True)
        def ingest(records: list[SpoolRecord], db: sqlite3.Connection) -> None:
            """Store records as rows of the table `records`."""
            now = time.time()
            for producer, its in groupby(records, key=attrgetter("producer")):
                rows = ((one.at, one.seq, one.stream, _body(one.body)) for one in its)
                while some := list(islice(rows, _ROWS)):
                    db.execute(_INSERT[len(some)], (now, producer, *chain.from_iterable(some)))

        return cls(inbox)

    @classmethod
    def in_lines(cls, path: Path, service: str = "warehouse") -> Self:
        """Return a warehouse that appends each record to a file of JSON lines.

        The file may be moved away while it runs; the next lines go to a new one. What was received stands beside it, in
        FILE.inbox.

        Args:
            path: Made if it is not there.
            service: Its name.

        Raises:
            SpoolError: A file cannot be used.
            ConfigError: The name cannot be used.
        """
        file = lines.LineFile(path)
        try:
            inbox = _inbox(service, path.with_name(path.name + _BESIDE), lines.SCHEMA)
            try:
                inbox.change(file.mend)
            except RemoteError as error:
                inbox.close()
                raise SpoolError(error.message, path=str(path)) from None
        except BaseException:
            file.close()
            raise

        @inbox.method(batch=True)
        def ingest(records: list[SpoolRecord], db: sqlite3.Connection) -> None:
            """Append records to the file of JSON lines."""
            file.append(records, db)

        return cls(inbox, file.close)

    @property
    def service(self) -> Service:
        """What a server offers."""
        return self.inbox.service

    @property
    def mark(self) -> str:
        """Eight letters and digits that stay the same as long as the file is there."""
        return self.inbox.mark

    def counts(self) -> Counts:
        """Return what was stored since the file was made. Raises SpoolError."""
        return self.inbox.counts()

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of the file. No server offers the service any more."""
        self.inbox.close()
        self._close()


def _inbox(service: str, path: Path, schema: str) -> Inbox:
    return Inbox(
        service, path, schema=schema, version=version("freelance-mesh"), description="keeps the records of spools"
    )


def _body(body: bytes) -> str | bytearray:
    """Return text where that is what it is: SQLite's functions of JSON take no blob, and text ends at a zero octet."""
    try:
        # UTF-8 has no octet 255, which is in most of what is compressed or encrypted: it is found at a twentieth of the
        # price of an exception.
        if 0 not in body and 255 not in body:
            return body.decode()
    except UnicodeDecodeError:
        pass
    # The module looks for an adapter of each bytes object, but of no bytearray, and that takes longer than the copy.
    return bytearray(body)
