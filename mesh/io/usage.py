"""What this process has used of the machine: processor time and memory."""

from __future__ import annotations

import resource
import sys
import time

__all__ = ["cpu_s", "resident_octets"]

_PAGE = resource.getpagesize()


def cpu_s() -> float:
    """Return the processor seconds of all its threads since it started."""
    return time.process_time()


def resident_octets() -> int:
    """Return how much memory it has, in octets; where nobody tells (no /proc), the most that it ever had."""
    try:
        with open("/proc/self/statm", "rb") as statm:  # 10 us
            return int(statm.read().split()[1]) * _PAGE
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
