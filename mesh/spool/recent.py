"""What this process has put and not yet delivered, so that it need not be read back from the disk."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Recent"]

OCTETS_MAX = 16 << 20


class Recent:
    """Rows that are on disk, by key; one thread adds, and one takes."""

    def __init__(self) -> None:
        self._rows: dict[int, bytes] = {}
        self._octets = 0

    def add(self, rows: Iterable[tuple[int, bytes]]) -> None:
        """Keep rows; none at all where there are too many, for then they are delivered much later."""
        added = dict(rows)
        octets = sum(map(len, added.values()))
        if self._octets + octets > OCTETS_MAX:
            self.clear()
        elif added:
            self._rows |= added
            self._octets += octets

    def take(self, key: int, limit: int, octets_max: int) -> list[tuple[int, bytes]]:
        """Return the rows from this key on and forget them, up to the first key that is not here.

        One that is not here may have been put by another process.
        """
        rows = self._rows
        taken: list[tuple[int, bytes]] = []
        octets = 0
        while len(taken) < limit and (row := rows.get(key)) is not None:
            octets += len(row)
            if taken and octets > octets_max:
                octets -= len(row)
                break
            del rows[key]
            taken.append((key, row))
            key += 1
        self._octets = max(0, self._octets - octets)
        return taken

    def clear(self) -> None:
        """Forget all: rows were changed, or removed."""
        self._rows = {}
        self._octets = 0
