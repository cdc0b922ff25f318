"""The memory that the C library has for this process: what becomes of it when large bodies have gone through.

The GNU C library gives freed memory back to the system as soon as 128 KiB of it lie at the end of a heap, and takes
blocks of 128 KiB and more from the system each time. With 64 bodies in flight each is so written to pages that the
kernel has to find and clear first, on both sides and in ZeroMQ's thread as well: half of the processor time of a call
with 64 KiB, a quarter of one with 1 MiB (measured).
"""

from __future__ import annotations

__all__ = ["keep_freed"]

_LARGEST_OCTETS = (8 << 20) - (64 << 10)
"""The library keeps up to twice as much at the end of each heap, and malloc_trim(3) gives that back for the first heap
only, not for those of other threads. The most that it learns from, 32 MiB, is a tenth faster with bodies of 1 MiB, and
left a server with 33 MB more after a flood of all kinds of frames, against 9 MB (measured)."""
_kept = False


def keep_freed() -> None:
    """Have freed memory kept for the next bodies, 16 MiB of each heap at most; costs nothing from the second time on.

    The library does so by itself once it has freed a block that it took from the system (mallopt(3), "dynamic mmap
    threshold"): up to twice its size. So one large block is taken, not written to, and freed. Who has set
    MALLOC_TRIM_THRESHOLD_ or MALLOC_MMAP_THRESHOLD_ keeps what he has set, and other C libraries do as they do. What
    is kept and not used the guard gives back some seconds later, but for the ends of the heaps of other threads.
    """
    global _kept
    if not _kept:
        _kept = True
        bytes(_LARGEST_OCTETS)
