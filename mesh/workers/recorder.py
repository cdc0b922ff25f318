"""The flight recorder of a worker: which calls run, in memory that outlives the process.

The supervisor makes an anonymous file and gives its descriptor to the worker, which maps it. What the worker has stored
is there after any death of it, for the kernel writes nothing back and takes nothing away. Each place holds the
fingerprint of a call and the beginning of its method's name; an empty one holds zeros.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import tempfile

from mesh.core.work import Work
from mesh.workers.events import Running

__all__ = ["Recorder", "new_record", "read_record"]

_PLACES = 4096
_MARK = 16
"""Octets of a fingerprint: two calls in doubt have the same by chance once in 10^38."""
_END = 32 << 10
"""Octets at either end of a frame that go into the fingerprint: the whole of 64 MiB would hold the loop for 0.1 s."""
_PLACE = 64
"""Octets of a place: what the fingerprint leaves is for the method's name."""
_OCTETS = _PLACES * _PLACE
_EMPTY = bytes(_MARK)


def new_record() -> int:
    """Return the descriptor of an empty record, to be closed by the caller. Raises OSError."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("mesh-recorder")
    else:
        with tempfile.TemporaryFile() as file:
            descriptor = os.dup(file.fileno())
    os.ftruncate(descriptor, _OCTETS)
    return descriptor


def read_record(descriptor: int) -> tuple[Running, ...]:
    """Return what a record says that runs."""
    data = os.pread(descriptor, _OCTETS, 0)
    places = (data[start : start + _PLACE] for start in range(0, len(data), _PLACE))
    return tuple(
        Running(place[:_MARK].hex(), place[_MARK:].rstrip(b"\0").decode("utf-8", "replace"))
        for place in places
        if not place.startswith(_EMPTY)
    )


class Recorder:
    """The worker's side; in one thread. A call that finds no place is not recorded."""

    def __init__(self, descriptor: int) -> None:
        self._map = mmap.mmap(descriptor, _OCTETS)
        self._free = list(range(_OCTETS - _PLACE, -1, -_PLACE))

    def mark(self, work: Work) -> str:
        """Return the fingerprint of a call: of its method, and length, beginning and end of each frame."""
        digest = hashlib.blake2b(work.method.encode(), digest_size=_MARK)
        for frame in work.frames:
            digest.update(len(frame).to_bytes(8))
            digest.update(frame if len(frame) <= 2 * _END else frame[:_END] + frame[-_END:])
        return digest.hexdigest()

    def begin(self, mark: str, method: str) -> int:
        """Write down that a call runs; return its place, -1 if there is none."""
        if not self._free:
            return -1
        place = self._free.pop()
        self._map[place : place + _PLACE] = (bytes.fromhex(mark) + method.encode())[:_PLACE].ljust(_PLACE, b"\0")
        return place

    def end(self, place: int) -> None:
        """Write down that it has ended."""
        if place >= 0:
            self._map[place : place + _MARK] = _EMPTY
            self._free.append(place)

    def close(self) -> None:
        """Release the memory."""
        self._map.close()
