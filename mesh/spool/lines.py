"""A file of JSON lines that an inbox appends to, with neither a lost line nor one too many.

How long the file is belongs to the transaction of the inbox. What lies behind that, after a crash or an error, was
never acknowledged, is cut off, and comes again.
"""

from __future__ import annotations

import base64
import json
import os
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mesh.errors import RemoteError, SpoolError, Status
from mesh.spool.record import SpoolRecord
from mesh.spool.schema import sync_directory

__all__ = ["SCHEMA", "LineFile"]

SCHEMA = "CREATE TABLE IF NOT EXISTS mesh_lines (length INTEGER, device INTEGER, inode INTEGER)"
"""Of the inbox: how many octets of which file are acknowledged."""


class LineFile:
    """The file; one transaction at a time uses it.

    It may be moved away at any time: the next lines go to a new one of its name.

    Args:
        path: Made if it is not there.

    Raises:
        SpoolError: It cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._descriptor = -1
        try:
            self._open()
        except OSError as error:
            raise SpoolError(
                f"{path} cannot be written ({error.strerror}); give a file in a directory that is there", path=str(path)
            ) from None

    def close(self) -> None:
        """Let go of it."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def append(self, records: Sequence[SpoolRecord], db: sqlite3.Connection) -> None:
        """Write records within the transaction of the inbox, and have them on disk."""
        length = self.mend(db)
        text = "".join(json.dumps(_line(record), ensure_ascii=False) + "\n" for record in records)
        left = memoryview(text.encode(errors="replace"))
        length += len(left)
        while left:
            left = left[os.write(self._descriptor, left) :]
        os.fdatasync(self._descriptor)
        db.execute("UPDATE mesh_lines SET length = ?", (length,))

    def mend(self, db: sqlite3.Connection) -> int:
        """Cut off what was not acknowledged, and return the length; within a transaction.

        Raises RemoteError: somebody has taken away what was.
        """
        if self._was_moved():
            self._open()
        now = os.fstat(self._descriptor)
        row = db.execute("SELECT length, device, inode FROM mesh_lines").fetchone()
        if row is None or row[1:] != (now.st_dev, now.st_ino):
            # A file that others made is left as it is.
            db.execute("DELETE FROM mesh_lines")
            db.execute("INSERT INTO mesh_lines VALUES (?, ?, ?)", (now.st_size, now.st_dev, now.st_ino))
            return now.st_size
        (length, *_) = row
        if now.st_size < length:
            raise RemoteError(
                f"{self.path} has {now.st_size} octets, and {length} were acknowledged; put back what is missing, or "
                f"move the file away to begin a new one",
                code=Status.UNAVAILABLE,
            )
        if now.st_size > length:
            os.ftruncate(self._descriptor, length)
        return int(length)

    def _was_moved(self) -> bool:
        ours = os.fstat(self._descriptor)
        try:
            there = os.stat(self.path)
        except FileNotFoundError:
            return True
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)

    def _open(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, 0o666)
        self.close()
        self._descriptor = descriptor
        sync_directory(self.path.parent)


def _line(record: SpoolRecord) -> dict[str, Any]:
    line: dict[str, Any] = {"at": record.at, "producer": record.producer.hex(), "seq": record.seq}
    if record.stream:
        line["stream"] = record.stream
    try:
        line["body"] = record.body.decode()
    except UnicodeDecodeError:
        line["body_base64"] = base64.b64encode(record.body).decode()
    return line
