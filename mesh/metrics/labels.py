"""Values of a label, never more than a bound: each of them is kept by Prometheus for weeks."""

from __future__ import annotations

from collections.abc import Container

__all__ = ["METHODS_MAX", "OTHER", "SERVERS_MAX", "Labels"]

SERVERS_MAX = 200
"""Servers of which a client tells one by one."""
METHODS_MAX = 200
"""Methods of which a client tells one by one."""
OTHER = "_OTHER"
"""Stands for all the others, as OpenTelemetry has it for methods that are not known."""


class Labels:
    """The values of one label; who comes when there are enough is one of the others, until one of them leaves.

    Args:
        most: So many values, beside `OTHER`.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._own: dict[str, None] = {}

    def of(self, value: str) -> str:
        """Return what to write for a value: itself, if it has a place or there is one."""
        if value not in self._own:
            if len(self._own) >= self._most:
                return OTHER
            self._own[value] = None
        return value

    def has(self, value: str) -> bool:
        """Tell whether it has a place."""
        return value in self._own

    def keep(self, present: Container[str]) -> None:
        """Forget those that are not present any more."""
        self._own = {value: None for value in self._own if value in present}
