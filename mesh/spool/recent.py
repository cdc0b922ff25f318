"""What this process has put and not yet delivered, so that it need not be read back from the disk."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Recent"]

OCTETS_MAX = 16 << 20


class Recent:
    """Bundles that are on disk, by the key of their first record; one thread adds, and one takes."""

    def __init__(self) -> None:
        self._rows: dict[int, tuple[int, bytes]] = {}
        self._octets = 0

    def add(self, rows: Iterable[tuple[int, int, bytes]]) -> None:
        """Keep bundles, each with its key and how many records it has.

        None at all where there are too many, for then they are delivered much later.
        """
        added = {key: (records, row) for key, records, row in rows}
        octets = sum(len(row) for _, row in added.values())
        if self._octets + octets > OCTETS_MAX:
            self.clear()
        elif added:
            self._rows |= added
            self._octets += octets

    def take(self, key: int, limit: int, octets_max: int) -> list[tuple[int, int, bytes]]:
        """Return the bundles from this key on and forget them, up to the first key that is not here.

        One that is not here may have been put by another process.
        """
        rows = self._rows
        taken: list[tuple[int, int, bytes]] = []
        octets = 0
        while (found := rows.get(key)) is not None:
            records, row = found
            limit -= records
            if taken and (limit < 0 or octets + len(row) > octets_max):
                break
            octets += len(row)
            del rows[key]
            taken.append((key, records, row))
            key += records
        self._octets = max(0, self._octets - octets)
        return taken

    def clear(self) -> None:
        """Forget all: rows were changed, or removed."""
        self._rows = {}
        self._octets = 0
