"""What servers say of themselves, read with care: it may be anything."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mesh.cli.text import printable

__all__ = ["Told"]


class Told:
    """One map of an answer; what is missing in it, or is of another type, reads as absent.

    Args:
        answer: What came.
    """

    def __init__(self, answer: object) -> None:
        self.raw: Mapping[object, object] = answer if isinstance(answer, Mapping) else {}
        """As it came, empty if it was no map."""

    def text(self, key: str) -> str:
        """Return a text on one line that can be printed; empty if it is absent."""
        value = self.raw.get(key)
        return printable(value) if isinstance(value, str) else ""

    def lines(self, key: str) -> list[str]:
        """Return a text as lines that can be printed."""
        value = self.raw.get(key)
        return [printable(line.expandtabs()) for line in value.splitlines()] if isinstance(value, str) else []

    def number(self, key: str) -> float | None:
        """Return a number from 0 on; None if it is absent."""
        value = self.raw.get(key)
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        return value if is_number and 0 <= value < math.inf else None  # type: ignore[operator,return-value]

    def count(self, key: str) -> int:
        """Return a whole number from 0 on; 0 if it is absent."""
        return int(self.number(key) or 0)

    def part(self, key: str) -> Told:
        """Return a map inside of this one."""
        return Told(self.raw.get(key))

    def parts(self, key: str) -> list[Told]:
        """Return the maps of a list."""
        value = self.raw.get(key)
        return [Told(item) for item in value] if isinstance(value, list) else []
