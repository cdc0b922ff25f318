"""The duplicate window: one key runs once here, however often it is asked for.

Running: the second asker is joined to the first. Answered: the same answer is replayed. Another method or body under
the same key is an error (as Stripe's idempotency keys have it). Bounded in entries, octets and age; a running
call is never forgotten.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from mesh.core.wire import Body, Detail, body_octets

__all__ = ["Answered", "DuplicateWindow", "Entry"]

W = TypeVar("W")


class Answered:
    """The answer that is replayed."""

    __slots__ = ("at", "body", "detail", "octets", "status")

    def __init__(self, body: Body, status: int, detail: Detail | None, at: float) -> None:
        self.body: Body = body
        self.status: int = status
        self.detail: Detail | None = detail
        self.at: float = at
        self.octets: int = body_octets(body) + 200


class Entry(Generic[W]):
    """One key: what was asked, who waits for it, and the answer once there is one."""

    __slots__ = ("answer", "asked", "joined")

    def __init__(self, asked: int) -> None:
        self.asked: int = asked
        """Hash of method and body."""
        self.joined: list[W] = []
        """Later askers, while it runs."""
        self.answer: Answered | None = None


class DuplicateWindow(Generic[W]):
    """Keys of the last while; `W` is whatever stands for an asker."""

    def __init__(self, entries_max: int, octets_max: int, age_max_s: float) -> None:
        self._entries_max = entries_max
        self._octets_max = octets_max
        self._age_max_s = age_max_s
        self._running: dict[bytes, Entry[W]] = {}
        self._answered: dict[bytes, Entry[W]] = {}
        """Oldest answer first."""
        self._octets = 0

    def __len__(self) -> int:
        return len(self._running) + len(self._answered)

    def find(self, key: bytes, now: float) -> Entry[W] | None:
        """Return the entry of a key that runs, or was answered not too long ago."""
        entry = self._running.get(key)
        if entry is not None:
            return entry
        self._trim(now)
        return self._answered.get(key)

    def begin(self, key: bytes, asked: int) -> Entry[W]:
        """Remember that a key runs from now on."""
        entry: Entry[W] = Entry(asked)
        self._running[key] = entry
        return entry

    def is_joined(self, key: bytes) -> bool:
        """Return whether anybody waits for a running key besides its first asker."""
        entry = self._running.get(key)
        return entry is not None and bool(entry.joined)

    def finish(self, key: bytes, answer: Answered, now: float) -> list[W]:
        """Remember the answer; return the askers that joined meanwhile."""
        entry = self._running.pop(key)
        joined, entry.joined = entry.joined, []
        entry.answer = answer
        self._answered[key] = entry
        self._octets += answer.octets
        self._trim(now)
        return joined

    def forget(self, key: bytes) -> list[W]:
        """Forget a key that never ran; return the askers that joined meanwhile."""
        return self._running.pop(key).joined

    def _trim(self, now: float) -> None:
        while self._answered:
            key = next(iter(self._answered))
            answer = self._answered[key].answer
            assert answer is not None
            if (
                len(self._answered) <= self._entries_max
                and self._octets <= self._octets_max
                and now - answer.at <= self._age_max_s
            ):
                return
            del self._answered[key]
            self._octets -= answer.octets
