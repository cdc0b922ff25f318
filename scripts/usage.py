"""What another process has used of the machine, as Linux counts it."""

from __future__ import annotations

import resource
import time
from pathlib import Path

__all__ = ["cpu_s", "resident_octets"]


def cpu_s(pid: int) -> float:
    """Return the processor time of all threads of a process, in seconds."""
    # The clock of another process as clock_getcpuclockid(3) makes it: its id inverted, and CPUCLOCK_SCHED.
    return time.clock_gettime((~pid << 3) | 2)


def resident_octets(pid: int) -> int:
    """Return the octets of a process that are in memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
