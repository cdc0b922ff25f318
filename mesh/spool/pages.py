"""The pages of a spool's file and of its WAL, read as they are, without SQLite, whose way through them may be damaged.

Records are looked for by the letters with which they begin. Most lie in bundles, of which the first octets are in a
leaf of the table and the others in overflow pages, each of which names the next (sqlite.org/fileformat2.html, section
1.6). A record is put together from the page in which it begins and those that follow, however one gets to that page;
so a damaged page costs the records that have octets in it, and no other.

A record that was delivered or purged may still lie in a page that is free: it is found too.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from mesh.spool import schema, wal
from mesh.spool.record import HEAD_OCTETS, MAGIC, SpoolRecord, octets_at

__all__ = ["Found", "Pages"]

_LEAF = 0x0D
_LEAF_TYPES = frozenset({_LEAF, *(_LEAF ^ 1 << bit for bit in range(8))})
"""What the first octet of a page with records may be when one bit of it may have changed; any other page is taken for
an overflow page, which begins with the number of the next one."""
_PAGE = schema.PAGE_OCTETS
_LIST_AT = 8
"""Where a leaf has the list of its cells."""
_HEAD_MIN, _HEAD_MAX = 4, 10
"""Octets of a row before its records."""
_LOCAL_MAX = _PAGE - 35
_LOCAL_MIN = (_PAGE - 12) * 32 // 255 - 23
"""How much of a row lies in its own page if it does not all fit there."""
_OVERFLOW = _PAGE - 4
_OCTETS_MAX = 1 << 30
_START_OCTETS = 12
"""How much of a record says how long it is."""
_COUNTS = {9: 0, 1: 1, 2: 2}
"""Octets of how many records a row has, by what the row's head says of it; 9 is the number one itself."""


class Found(NamedTuple):
    """A run of octets that looks like a record."""

    row: bytes
    why: str | None
    """The reason why it is in quarantine; None if it waits."""
    record: SpoolRecord | None
    """The record, if its checksum is right."""


class _Head(NamedTuple):
    """What a row's head says (section 2.1 of the form)."""

    octets: int
    """Before the first record."""
    row: int
    """Octets of the records."""
    why: int | None
    """Octets of the reason behind them; None if they are in no quarantine."""


class _Run(NamedTuple):
    """Octets of a page with records in it."""

    begin: int
    end: int
    following: int
    """The page in which they go on; 0 if in none."""
    rest: int = 0
    """How many go on there."""
    why: int | None = None
    live: bool = False
    """Whether a table leads to them, as far as that can be told."""


class Pages:
    """The images of all pages: those of the file, then those of the WAL in the order in which they were written."""

    def __init__(self, file: memoryview, log: memoryview) -> None:
        self._file = file
        self._log = log
        self._frames = list(wal.frames(log, _PAGE))
        self._images: dict[int, list[int]] = {}
        """The frames of each page."""
        for number, frame in enumerate(self._frames):
            self._images.setdefault(frame.page, []).append(number)
        self._count = -(-len(file) // _PAGE)
        """Pages of the file; the WAL may have more."""

    def records(self, first: int | None = None) -> Iterator[Found]:
        """Yield what looks like a record, if a number is given only in frames from this one on.

        What is damaged is among it only where a table leads to it.
        """
        frames = self._frames
        if first is None:
            for page in range(1, self._count + 1):
                yield from self._in_page(page, self._image(page, -1), len(frames), page not in self._images)
        for number, frame in enumerate(frames[first:], first or 0):
            image = self._image(frame.page, number)
            yield from self._in_page(frame.page, image, number, self._images[frame.page][-1] == number)

    def _in_page(self, page: int, image: bytes, frame: int, current: bool) -> Iterator[Found]:
        live = current and page not in self._free
        if image[0] in _LEAF_TYPES:
            live = live and image[0] == _LEAF
            for run in _runs(image):
                yield from self._in_run(image, run, frame, run.end - run.begin if live and run.live else 0)
        else:
            run = _Run(4, _PAGE, int.from_bytes(image[:4], "big"))
            yield from self._in_run(image, run, frame, self._live.get(page, 0) if live else 0)

    def _in_run(self, image: bytes, run: _Run, frame: int, live: int) -> Iterator[Found]:
        """Yield the records of a run; what is damaged only from its first so many octets."""
        here = image[run.begin : run.end]
        at = _next(here, 0)
        while at >= 0:
            latest = len(self._frames)
            row, why = self._row(here[at:], run, latest)
            record = _whole(row)
            for until in (self._transaction_end(frame), -1) if record is None and run.following else ():
                older, its_why = self._row(here[at:], run, until)
                record = _whole(older)
                if record is not None:
                    row, why = older, its_why
                    break
            if record is not None or (at < live and len(row) >= HEAD_OCTETS):
                yield Found(row, None if run.why is None else why.decode(errors="replace"), record)
            at = _next(here, at + (1 if record is None else len(row)))

    def _row(self, here: bytes, run: _Run, until: int) -> tuple[bytes, bytes]:
        """Return the record that begins with these octets, and the reason behind it; nothing if there is none."""
        start = here[:_START_OCTETS]
        if len(start) < _START_OCTETS:
            start += self._overflow(run.following, _START_OCTETS - len(start), until)
        octets = octets_at(start)
        if not start.startswith(MAGIC) or not HEAD_OCTETS <= octets <= _OCTETS_MAX:
            return b"", b""
        needed = octets + (run.why or 0)
        row = here[:needed]
        if len(row) < needed:
            row += self._overflow(run.following, needed - len(row), until)
        return row[:octets], row[octets:]

    def _overflow(self, page: int, octets: int, until: int) -> bytes:
        """Return octets that begin in an overflow page, as it was after the frame `until` at the latest."""
        parts: list[bytes] = []
        while octets > 0 and page > 0:
            image = self._image(page, until)
            page = int.from_bytes(image[:4], "big")
            parts.append(image[4 : 4 + octets])
            octets -= _OVERFLOW
        return b"".join(parts)

    def _image(self, page: int, until: int) -> bytes:
        for number in reversed(self._images.get(page, ())):
            if number <= until:
                at = self._frames[number].at
                return bytes(self._log[at : at + _PAGE])
        return bytes(self._file[(page - 1) * _PAGE : page * _PAGE]).ljust(_PAGE, b"\0")

    def _has(self, page: int) -> bool:
        return 0 < page <= self._count or page in self._images

    def _transaction_end(self, frame: int) -> int:
        while frame < len(self._frames) and not self._frames[frame].commits:
            frame += 1
        return frame

    @cached_property
    def _live(self) -> dict[int, int]:
        """The overflow pages to which a table leads, and how much of each is in use."""
        latest = len(self._frames)
        live: dict[int, int] = {}
        for leaf in chain(range(1, self._count + 1), (page for page in self._images if page > self._count)):
            image = self._image(leaf, latest)
            if leaf in self._free or image[0] != _LEAF:
                continue
            for run in _runs(image):
                page, rest = (run.following, run.rest) if run.live else (0, 0)
                while self._has(page) and rest > 0 and page not in live and page not in self._free:
                    live[page] = min(rest, _OVERFLOW)
                    page, rest = int.from_bytes(self._image(page, latest)[:4], "big"), rest - _OVERFLOW
        return live

    @cached_property
    def _free(self) -> set[int]:
        """Return the pages that are in no use (section 1.5)."""
        latest = len(self._frames)
        free: set[int] = set()
        page = int.from_bytes(self._image(1, latest)[32:36], "big")
        while self._has(page) and page not in free:
            free.add(page)
            page, leaves, *numbers = struct.unpack(f">{_PAGE // 4}I", self._image(page, latest))
            free.update(numbers[: min(leaves, len(numbers))])
        return free


def _next(octets: bytes, at: int) -> int:
    """Return where a record may begin, from here on; -1 if nowhere. Its first letters may be all that is here."""
    found = octets.find(MAGIC, at)
    for letters in (3, 2, 1) if found < 0 else ():
        if len(octets) - letters >= at and octets.endswith(MAGIC[:letters]):
            return len(octets) - letters
    return found


def _whole(row: bytes) -> SpoolRecord | None:
    try:
        return SpoolRecord.unpack(row)
    except ValueError:
        return None


def _runs(image: bytes) -> list[_Run]:
    """Return where the records of a leaf lie: those of its list of cells, and others that look like one."""
    runs: list[_Run] = []
    (cells,) = struct.unpack_from(">H", image, 3)
    for number in range(min(cells, (_PAGE - _LIST_AT) // 2)):
        (at,) = struct.unpack_from(">H", image, _LIST_AT + 2 * number)
        payload, at = _read_varint(image, at)
        _, at = _read_varint(image, at)
        row = image.find(MAGIC, at, at + _HEAD_MAX + len(MAGIC))
        head = _head(image, row) if row > 0 else None
        runs.append(_run(image, at, _Head(0, payload, None), True) if head is None else _run(image, row, head, True))
    at = image.find(MAGIC)
    while at >= 0:
        if not any(run.begin <= at < run.end for run in runs):
            octets = octets_at(image, at)
            head = _head(image, at) or _Head(3 + len(_varint(2 * octets + 12)), octets, None)
            runs.append(_run(image, at, head, False))
        at = image.find(MAGIC, at + 1)
    return runs


def _run(image: bytes, row: int, head: _Head, live: bool) -> _Run:
    """Return the run of a row that begins here behind its head."""
    local = payload = head.octets + head.row + (head.why or 0)
    if payload > _LOCAL_MAX:
        local = _LOCAL_MIN + (payload - _LOCAL_MIN) % _OVERFLOW
        local = local if local <= _LOCAL_MAX else _LOCAL_MIN
    end = row - head.octets + local
    following = int.from_bytes(image[end : end + 4], "big") if payload > local else 0
    return _Run(row, min(end, _PAGE), following, payload - local, head.why, live)


def _head(image: bytes, row: int) -> _Head | None:
    """Return what the octets before a record say of its row; None if they make no sense."""
    for octets in range(_HEAD_MIN, min(_HEAD_MAX, row) + 1):
        begin = row - octets
        kinds: list[int] = []
        at = begin + 1
        while at < begin + image[begin] and at < row:
            kind, at = _read_varint(image, at)
            kinds.append(kind)
        if at != begin + image[begin] or len(kinds) != 3 or kinds[0] != 0:
            continue
        _, second, third = kinds
        if third >= 12 and third % 2 == 0 and at + _COUNTS.get(second, row) == row:
            return _Head(octets, (third - 12) // 2, None)
        if second >= 12 and second % 2 == 0 and third >= 13 and third % 2 and at == row:
            return _Head(octets, (second - 12) // 2, (third - 13) // 2)
    return None


def _varint(number: int) -> bytes:
    """Return a number of at most 56 bits as SQLite writes it."""
    parts = [number & 0x7F]
    while number := number >> 7:
        parts.append(number & 0x7F | 0x80)
    return bytes(reversed(parts))


def _read_varint(octets: bytes, at: int) -> tuple[int, int]:
    """Return the number that begins here, and where it ends."""
    number = 0
    for octet in octets[at : at + 8]:
        at += 1
        number = number << 7 | octet & 0x7F
        if octet < 0x80:
            break
    return number, at
