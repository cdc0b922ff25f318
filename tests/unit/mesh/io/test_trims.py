"""Freed memory is given back while that helps, then more rarely, then not until there is more again."""

from __future__ import annotations

from mesh.io.trims import Trims

MB = 1 << 20


class Process:
    """Memory that is used, and freed memory that lies about, over time."""

    def __init__(self, used_mb: int) -> None:
        self.used, self.free = used_mb * MB, 0
        self.now = 100.0
        self.trims = Trims(self.used)
        self.trimmed_at: list[float] = []

    def passes(self, seconds: float) -> None:
        """Look twenty times a second, as the guard does."""
        for _ in range(round(seconds * 20)):
            self.now += 0.05
            resident = self.used + self.free
            if self.trims.is_due(resident, self.now):
                self.trimmed_at.append(round(self.now - 100.0, 1))
                self.free = 0
                self.trims.done(resident, self.used, self.now)


def test_a_little_growth_is_left_alone() -> None:
    process = Process(40)
    process.free = 7 * MB
    process.passes(60.0)
    assert process.trimmed_at == []


def test_what_a_flood_leaves_is_given_back() -> None:
    process = Process(40)
    process.free = 300 * MB
    process.passes(2.2)
    assert (len(process.trimmed_at), process.free) == (1, 0)


def test_what_is_freed_after_a_trim_that_helped_is_given_back_too() -> None:
    process = Process(40)
    process.used, process.free = 140 * MB, 200 * MB
    process.passes(2.2)
    process.used, process.free = 40 * MB, 100 * MB  # its last clients are gone
    process.passes(2.2)
    assert (len(process.trimmed_at), process.free) == (2, 0)


def test_memory_that_is_needed_is_tried_at_more_rarely_and_then_no_more() -> None:
    process = Process(40)
    process.used = 100 * MB
    process.passes(300.0)
    assert len(process.trimmed_at) == 5
    pauses = [later - earlier for earlier, later in zip(process.trimmed_at, process.trimmed_at[1:], strict=False)]
    assert [round(pause) for pause in pauses] == [4, 8, 16, 32]
    process.free = 20 * MB
    process.passes(2.2)
    assert process.free == 0


def test_a_trim_can_be_asked_for() -> None:
    process = Process(40)
    process.trims.soon(process.now + 0.2)
    process.passes(0.3)
    assert len(process.trimmed_at) == 1
