"""A disk that remembers what was written, and what of it a power cut may leave.

`record` runs a program under strace and returns every write, truncation, fsync and change of a name below one
directory, in order, with the marks that the program made in between. `Disk` takes these events one by one and gives, at
any of them, contents that a power cut at that instant may leave behind.

What was not followed by an fsync of its file may be there, or not, or be torn at any sector of 512 octets; any part of
it. A name that was made, changed or removed is so for sure only after an fsync of its directory, whatever was done to
the file itself. Both are less than the usual file systems promise.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Disk", "Event", "record"]

_SECTOR = 512
_CALLS = (
    "openat,close,pwrite64,write,ftruncate,fallocate,fsync,fdatasync,unlink,unlinkat,rename,renameat,renameat2,"
    "link,linkat,mkdir"
)
_STRACE = ("strace", "-f", "--seccomp-bpf", "-qq", "-xx", "-s", "1000000", "-e", "signal=none")
_LINE = re.compile(r"^(?:\[pid +)?(\d+)\]? +(.*)$")
_CALL = re.compile(r"^(\w+)\((.*)$", re.DOTALL)
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True)
class Event:
    """Something that changed the disk, or was told."""

    kind: str
    """`write`, `truncate`, `sync`, `create`, `link`, `unlink`, `rename`, `sync-names` or `mark`."""
    file: int = 0
    """The file's number, the same under all its names."""
    at: int = 0
    """Where was written, or the size after a truncation."""
    octets: bytes = b""
    """What was written or told."""
    names: tuple[str, ...] = ()
    """Names in the directory, the old one first."""


class _Recorder:
    """Turns the calls of one run into events."""

    def __init__(self, directory: str, files: dict[str, int]) -> None:
        self._directory = directory
        self._files = files
        """Numbers of the files by name, as they are now."""
        self._open: dict[int, int | str | None] = {}
        """What descriptors stand for: a file's number, the directory, `mark`, or nothing that matters."""
        self.events: list[Event] = []

    def call(self, name: str, arguments: str, result: int) -> None:
        """Take a call that has succeeded."""
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(arguments)]
        plain = _TEXT.sub('""', arguments).split(", ")
        if name == "openat":
            self._open[result] = self._opened(texts[0].decode(), plain[2])
        elif name == "close":
            self._open.pop(int(plain[0].rstrip(")")), None)
        elif name in ("write", "pwrite64", "ftruncate", "fallocate", "fsync", "fdatasync"):
            self._change(name, int(plain[0].rstrip(")")), plain, texts)
        else:
            self._rename(name, [text.decode() for text in texts])

    def _name(self, path: str) -> str | None:
        folder, name = os.path.split(path)
        return name if folder == self._directory else None

    def _opened(self, path: str, flags: str) -> int | str | None:
        if path == self._directory:
            return path
        if os.path.basename(path) == "marks":
            return "mark"
        name = self._name(path)
        if name is None or name.endswith((".lock", "-shm", "reserve")):
            return None
        if name not in self._files and "O_CREAT" in flags:
            self._files[name] = 1 + max([0, *self._files.values(), *(event.file for event in self.events)])
            self.events.append(Event("create", self._files[name], names=(name,)))
        number = self._files[name]
        if "O_TRUNC" in flags:
            self.events.append(Event("truncate", number))
        return number

    def _change(self, name: str, descriptor: int, plain: Sequence[str], texts: Sequence[bytes]) -> None:
        target = self._open.get(descriptor)
        if target == "mark":
            self.events.append(Event("mark", octets=texts[0]))
        elif isinstance(target, str):
            self.events.append(Event("sync-names"))
        elif target is not None:
            if name == "pwrite64":
                self.events.append(Event("write", target, int(plain[3].rstrip(")")), texts[0]))
            elif name == "ftruncate":
                self.events.append(Event("truncate", target, int(plain[1].rstrip(")"))))
            elif name in ("fsync", "fdatasync"):
                self.events.append(Event("sync", target))
            else:
                raise RuntimeError(f"{name} is not understood; the disk would be another than the real one")

    def _rename(self, name: str, paths: Sequence[str]) -> None:
        names = tuple(known for path in paths if (known := self._name(path)) is not None)
        if len(names) < len(paths) or names[0] not in self._files:
            return
        if name.startswith("unlink"):
            self.events.append(Event("unlink", self._files.pop(names[0]), names=names))
        elif name.startswith("rename"):
            number = self._files[names[1]] = self._files.pop(names[0])
            self.events.append(Event("rename", number, names=names))
        elif name.startswith("link"):
            number = self._files[names[1]] = self._files[names[0]]
            self.events.append(Event("link", number, names=names))


def record(command: Sequence[str], directory: Path, files: dict[str, int]) -> list[Event]:
    """Run a program; return what it does to the files of a directory, and what it writes to files named `marks`.

    Args:
        command: The program and its arguments.
        directory: Absolute, without symbolic links.
        files: Numbers of the files that are there, by name; is brought up to date.
    """
    recorder = _Recorder(str(directory), files)
    with tempfile.NamedTemporaryFile("r", suffix=".strace") as trace:
        subprocess.run(
            [*_STRACE, "-e", f"trace={_CALLS}", "-o", trace.name, *command],
            check=True,
        )
        for name, arguments, result in _calls(trace):
            if result >= 0:
                recorder.call(name, arguments, result)
    return recorder.events


def _calls(lines: Iterator[str]) -> Iterator[tuple[str, str, int]]:
    """Yield the calls in the order in which they had their effect: writes when they began, fsyncs when they ended."""
    waiting: dict[str, tuple[str, str]] = {}
    for line in lines:
        matched = _LINE.match(line.rstrip("\n"))
        if matched is None:
            continue
        thread, text = matched.groups()
        if text.endswith("<unfinished ...>"):
            call = _CALL.match(text[: -len("<unfinished ...>")].rstrip())
            assert call is not None, text
            if call[1] in ("pwrite64", "write", "ftruncate"):
                yield call[1], call[2], 0
                waiting[thread] = ("", "")
            else:
                waiting[thread] = (call[1], call[2])
            continue
        if text.startswith("<..."):
            name, arguments = waiting.pop(thread)
            rest = text.partition("resumed>")[2]
        else:
            call = _CALL.match(text)
            if call is None:
                continue
            name, arguments, rest = call[1], "", call[2]
        body, _, result = f"{arguments}{rest}".rpartition(" = ")
        if name:
            yield name, body.rstrip(), int(result.split()[0], 0) if result[:1] in "-0123456789" else -1


@dataclass
class _File:
    """A file: what is on the disk for sure, and what was written since."""

    sure: bytearray = field(default_factory=bytearray)
    pending: list[Event] = field(default_factory=list)

    def sync(self) -> None:
        for event in self.pending:
            _apply(self.sure, event)
        self.pending.clear()

    def left(self, rng: random.Random) -> bytes:
        """Return what a power cut may leave."""
        octets = bytearray(self.sure)
        kept = rng.choice((0.0, 1.0, rng.random(), rng.random()))
        for event in self.pending:
            if rng.random() >= kept:
                continue
            if event.kind == "truncate" or rng.random() < 0.5:
                _apply(octets, event)
                continue
            for start in range(0, len(event.octets), _SECTOR):
                if rng.random() < 0.7:
                    piece = event.octets[start : start + _SECTOR]
                    _apply(octets, Event("write", at=event.at + start, octets=piece))
        return bytes(octets)


def _apply(octets: bytearray, event: Event) -> None:
    if event.kind == "truncate":
        del octets[event.at :]
        octets.extend(bytes(event.at - len(octets)))
    else:
        octets.extend(bytes(max(0, event.at - len(octets))))
        octets[event.at : event.at + len(event.octets)] = event.octets


class Disk:
    """One directory on a disk whose power may go at any instant."""

    def __init__(self) -> None:
        self._files: dict[int, _File] = {}
        self._names: dict[str, int] = {}
        """The names that are there for sure."""
        self._renames: list[Event] = []
        """Changes of names since."""

    def take(self, event: Event) -> None:
        """Let this happen."""
        if event.kind == "create":
            self._files[event.file] = _File()
        if event.names:
            self._renames.append(event)
        elif event.kind == "sync-names":
            for change in self._renames:
                _rename(self._names, change)
            self._renames.clear()
        elif event.kind == "sync":
            self._files[event.file].sync()
        elif event.kind in ("write", "truncate"):
            self._files[event.file].pending.append(event)

    def left(self, rng: random.Random) -> Mapping[str, bytes]:
        """Return files by name that a power cut at this instant may leave."""
        names = dict(self._names)
        # A journal keeps the order of names most of the time; without one any of them may be missing.
        ordered = rng.random() < 0.5
        until = rng.randint(0, len(self._renames))
        for number, change in enumerate(self._renames):
            if number < until if ordered else rng.random() < 0.5:
                _rename(names, change)
        contents = {number: self._files[number].left(rng) for number in {*names.values()}}
        return {name: contents[number] for name, number in names.items()}


def _rename(names: dict[str, int], event: Event) -> None:
    if event.kind in ("unlink", "rename") and names.get(event.names[0]) == event.file:
        del names[event.names[0]]
    if event.kind != "unlink":
        names[event.names[-1]] = event.file
