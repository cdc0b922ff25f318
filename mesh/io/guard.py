"""Cuts peers that would use up the memory or the descriptors of this process; one thread for all its links.

libzmq keeps the frames of a message until the last one has come, and bounds neither their number nor their octets
together: a peer that sends frames of one octet without end costs 64 octets of memory for each 3 that it sends
(measured: 1.2 GB in 3 s, with ZMQ_MAXMSGSIZE set). And at the limit of descriptors its listener spins and lets nobody
in. It tells nobody of either, so the guard looks from outside: at the resident memory of the process and, when that has
grown, at what lies unread in the kernel's buffers of the connections. No honest peer sends dozens of tiny unfinished
frames in a row, for small parts travel in the head; one that does is shut down, and libzmq drops what it has gathered.

What it cannot see is a peer that never finishes a message of large frames, or leaves frames unfinished on many
connections: the process holds as many octets as it is sent. Only keys, or a limit of memory that the supervisor sets,
help against that.

Without /proc nothing is watched.
"""

from __future__ import annotations

import contextlib
import os
import resource
import socket
import sys
import threading
import time
from collections.abc import Iterable, Iterator

from mesh.io.descriptors import count_descriptors, raise_descriptors
from mesh.io.trims import Trims

__all__ = ["Ports", "is_bomb", "unwatch", "watch"]

_TICK_S = 0.05
"""How often the guard looks; the fastest attack that was measured takes 20 MB in between."""
_GROWTH_OCTETS = 32 << 20
"""So much more resident memory than before is a reason to look at the connections."""
_ALERT_S, _SEARCH_S = 1.0, 0.005
"""For how long, and how long each time: of a peer that sends slowly something lies unread only now and then."""
_PEEK_OCTETS = 32 * 1024
_RUN_MIN = 64
"""So many short unfinished frames in a row are a bomb."""
_SETTLE_S = 0.2
"""Time for libzmq to drop what a peer that was cut has sent."""
_FILLED = 0.75
"""Share of the descriptors beyond which connections are shed."""
_SHED = 0.25
"""Share of the connections that go then, those that were silent longest: honest clients PING every second."""
_SHORT, _LENGTHS = 1, 256
"""Flags of a short frame that is not the last, and how many lengths it may have (RFC 23/ZMTP)."""
_SILENT_AT = 52
"""Where the kernel's tcp_info has tcpi_last_data_recv, the milliseconds since data came."""


class Ports:
    """The ports that tell the connections of one link; its owner changes them at will."""

    def __init__(self) -> None:
        self.bound: dict[int, None] = {}
        self.dialled: dict[int, None] = {}


def is_bomb(octets: bytes) -> bool:
    """Return whether these octets, from anywhere in a stream of ZMTP, are short unfinished frames in a row."""
    for start in range(min(2 + _LENGTHS, len(octets))):
        at, run = start, 0
        while at + 1 < len(octets) and octets[at] == _SHORT:
            run += 1
            if run == _RUN_MIN:
                return True
            at += 2 + octets[at + 1]
    return False


class _Guard:
    """A thread that looks and cuts until it is stopped."""

    def __init__(self) -> None:
        self.watched: dict[Ports, None] = {}
        self._stopped = threading.Event()
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._floor = self._resident()
        self._trims = Trims(self._floor)
        self._alert_until = 0.0
        self._descriptors_max = raise_descriptors()
        self._thread = threading.Thread(target=self._run, name="mesh-guard", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        self._thread.join()
        os.close(self._statm)

    def _run(self) -> None:
        while not self._stopped.wait(_TICK_S):
            self.look()

    def look(self) -> None:
        """Look once, and cut whom it hits."""
        if count_descriptors() > _FILLED * self._descriptors_max:
            self._shed()
        self._look_at_memory(time.monotonic())

    def _look_at_memory(self, now: float) -> None:
        resident = self._resident()
        self._floor = min(self._floor, resident)
        if resident - self._floor > _GROWTH_OCTETS:
            self._floor = resident
            self._alert_until = now + _ALERT_S
        if now < self._alert_until and self._cut_bombs():
            self._alert_until = 0.0
            self._trims.soon(now + _SETTLE_S)
        if self._trims.is_due(resident, now):
            _trim()
            self._floor = self._resident()
            self._trims.done(resident, self._floor, now)

    def _resident(self) -> int:
        return int(os.pread(self._statm, 128, 0).split()[1]) * resource.getpagesize()

    def _cut_bombs(self) -> bool:
        suspects = [number for number, _ in self._connections()]
        cut = False
        until = time.monotonic() + _SEARCH_S
        while not cut and time.monotonic() < until:
            for _, sock in self._connections(suspects):
                with contextlib.suppress(OSError):
                    if is_bomb(sock.recv(_PEEK_OCTETS, socket.MSG_PEEK | socket.MSG_DONTWAIT)):
                        sock.shutdown(socket.SHUT_RDWR)
                        cut = True
        return cut

    def _shed(self) -> None:
        silent: dict[int, int] = {}
        for number, sock in self._connections(bound_only=True):
            with contextlib.suppress(OSError):
                info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _SILENT_AT + 4)
                silent[number] = int.from_bytes(info[_SILENT_AT:], sys.byteorder)
        if len(silent) < _SHED * self._descriptors_max:
            return  # it is not they who fill it
        longest = sorted(silent, key=silent.__getitem__, reverse=True)
        for _, sock in self._connections(longest[: int(_SHED * len(longest)) + 1], bound_only=True):
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _connections(
        self, numbers: Iterable[int] | None = None, *, bound_only: bool = False
    ) -> Iterator[tuple[int, socket.socket]]:
        """Yield the connections among these descriptors, of all if none are given."""
        bound = {port for ports in list(self.watched) for port in list(ports.bound)}
        dialled = {port for ports in list(self.watched) for port in list(ports.dialled)} if not bound_only else set()
        for number in self._open() if numbers is None else numbers:
            try:
                # The descriptor of libzmq itself and no copy, for which there may be no descriptor left.
                sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 0, number)
            except OSError:
                continue
            try:
                peer = sock.getpeername()
                if sock.getsockname()[1] in bound or peer[1] in dialled:
                    yield number, sock
            except (OSError, IndexError, TypeError):
                pass  # no socket, not connected, or of another family
            finally:
                sock.detach()

    def _open(self) -> Iterable[int]:
        try:
            return [int(name) for name in os.listdir("/proc/self/fd")]
        except OSError:  # there is no descriptor left to list them with
            return range(self._descriptors_max)


def _trim() -> None:
    """Give memory that was freed back to the system, where the C library can."""
    import ctypes  # here, for only floods need it, and every program starts sooner

    with contextlib.suppress(AttributeError, OSError):
        ctypes.CDLL(None).malloc_trim(0)


_lock = threading.Lock()
_guard: _Guard | None = None


def watch(ports: Ports) -> None:
    """Begin to guard the connections with these ports."""
    global _guard
    if not os.path.exists("/proc/self/statm"):
        return
    with _lock:
        if _guard is None:
            _guard = _Guard()
        _guard.watched[ports] = None


def unwatch(ports: Ports) -> None:
    """Guard them no longer; the last one ends the thread."""
    global _guard
    with _lock:
        if _guard is None:
            return
        _guard.watched.pop(ports, None)
        if not _guard.watched:
            guard, _guard = _guard, None
            guard.stop()


def _after_fork() -> None:
    global _lock, _guard
    _lock, _guard = threading.Lock(), None


os.register_at_fork(after_in_child=_after_fork)
