"""What the process has used, as the kernel counts it."""

from __future__ import annotations

import builtins
import mmap
import time
from typing import Any

import pytest

from mesh.io.usage import cpu_s, resident_octets

_OCTETS = 32 << 20


def test_work_costs_processor_time() -> None:
    before = cpu_s()
    until = time.thread_time() + 0.02
    while time.thread_time() < until:
        pass
    assert cpu_s() - before >= 0.02


def test_memory_that_is_used_is_counted() -> None:
    def grown() -> int:
        before = resident_octets()
        with mmap.mmap(-1, _OCTETS) as held:  # of the system, for the allocator may have as much left from before
            held.write(b"x" * _OCTETS)
            return resident_octets() - before

    # What tests before this one have freed may go back to the system at the same moment.
    assert max(grown() for _ in range(3)) >= 0.5 * _OCTETS


def test_without_proc_the_peak_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    now = resident_octets()

    def refuse(*args: Any) -> None:
        raise FileNotFoundError

    monkeypatch.setattr(builtins, "open", refuse)
    assert resident_octets() >= 0.5 * now
