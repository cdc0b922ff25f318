"""Invariant: decode returns a message or raises RemoteProtocolError, and encode brings what it returned back to it.

    python -m scripts.fuzz_wire [--runs N] [--seed S]     mutates valid messages, needs nothing
    python -m scripts.fuzz_wire --atheris [--runs N]      guided by coverage, needs the extra `fuzz`

A violation is printed with its input in hexadecimal, frame by frame, and with the command that repeats it; then the
exit status is 1. So it is if the resident memory has grown by more than 16 MB.

The guided mode is libFuzzer's: it learns which inputs reach new branches of the codec and keeps them in the first
FOLDER (make it before), where it begins with valid messages if that is empty. It prints its own progress: `cov` is how
many branches were reached, `corp` how many inputs are kept. `pip install 'freelance-mesh[fuzz]'` brings it where there
is a wheel of it, as on Linux with glibc.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from mesh.config import Limits
from mesh.core import dialect, wire
from mesh.core.dialect import read_dialect
from mesh.core.wire import MESH_PREFIX, Call, Cancel, Detail, Hello, Ping, Pong, Record, Reply, decode, encode
from mesh.errors import RemoteProtocolError
from mesh.io.usage import resident_octets

LIMITS = Limits(head_max=4096, body_max=65536, frames_max=8, records_max=16, inline_max=32)
_CHUNK = 1000
_GROWTH_MB_MAX = 16.0
_BETWEEN = b"\x00\xff\x00"
"""Divides the frames of a message in an input of the guided mode."""
_INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\x90",
    b"\xc0",
    b"\xc1",
    b"\xc4",
    b"\xc7",
    b"\xca",
    b"\xcf",
    b"\xd9",
)
_LENGTHS = (
    b"\xdc\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc6\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
)


class Violation(Exception):
    """The invariant does not hold for these frames."""

    def __init__(self, frames: Sequence[bytes], why: str) -> None:
        super().__init__(why)
        self.frames = frames
        self.why = why

    def __str__(self) -> str:
        return "\n".join((f"VIOLATION: {self.why}", *(frame.hex() or "(empty frame)" for frame in self.frames)))


def check(frames: Sequence[bytes]) -> bool:
    """Return whether the frames make a message. Raises Violation."""
    try:
        read_dialect(frames)
        message = decode(frames, LIMITS)
    except RemoteProtocolError:
        return False
    except BaseException as error:
        raise Violation(frames, f"decode raised {type(error).__name__}: {error}") from error
    if message.records:
        _check_again(frames, message.records)
    return True


def _check_again(frames: Sequence[bytes], records: list[Record]) -> None:
    again: list[Record] = []
    try:
        while len(again) < len(records):
            sent, count = encode(records[len(again) :], LIMITS)
            again += decode(sent, LIMITS).records
            if count < 1:
                raise Violation(frames, "encode took no record")
    except Violation:
        raise
    except Exception as error:
        raise Violation(frames, f"what was decoded cannot travel again: {type(error).__name__}: {error}") from error
    # Compared as text: a NaN is not equal to itself.
    if repr(again) != repr(records):
        raise Violation(frames, "what was decoded, encoded and decoded again is another message")


def valid(rng: random.Random) -> list[bytes]:
    """Return the frames of a random valid message."""
    records = [_record(rng) for _ in range(rng.choice((1, 1, 2, 5, 16)))]
    return encode(records, LIMITS)[0]


def _record(rng: random.Random) -> Record:
    number = rng.getrandbits(rng.choice((1, 7, 8, 32, 64)))
    text = "".join(rng.choice("ab.é€") for _ in range(rng.randrange(9)))
    size = rng.choice((0, 1, 31, 32, 33, 300))
    body: bytes | list[bytes | int] = rng.randbytes(size)
    if rng.random() < 0.3:
        body = [rng.randbytes(rng.choice((0, 31, 40))) for _ in range(rng.randrange(LIMITS.frames_max + 1))]
    match rng.randrange(6):
        case 0:
            return Call(
                number, text, body, number >> 1, number, text.encode(), number & 7, {text: text} if size else None
            )
        case 1:
            detail = Detail(text, text, text, number >> 1 if size else None, text)
            return Reply(number, number & 15, body, number, detail if size < 32 else None)
        case 2:
            return Cancel(number)
        case 3:
            return Ping(number, bool(size))
        case 4:
            return Pong(number, number, number, number & 3, number, number)
        case _:
            return Hello(text, text, text, [text] * (number & 3), [text], text, number)


def mutate(frames: list[bytes], rng: random.Random) -> list[bytes]:
    """Return the frames with some damage: to bits, to lengths, to their number or their order."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        which = rng.randrange(len(frames)) if frames else 0
        match rng.randrange(8):
            case 0 | 1 | 2 | 3 if frames:
                frames[which] = _damage(frames[which], rng)
            case 4 if frames:
                frames[which] = frames[which][: rng.randrange(len(frames[which]) + 1)]
            case 5 if frames:
                del frames[which]
            case 6 if frames:
                frames[which] += frames[rng.randrange(len(frames))]
            case _:
                frames.insert(which, rng.choice((b"", b"PING", MESH_PREFIX, rng.randbytes(rng.randrange(40)))))
    return frames


def _damage(frame: bytes, rng: random.Random) -> bytes:
    damaged = bytearray(frame)
    # Mostly behind the magic: what does not begin with it is refused at the first look.
    at = min(len(damaged), rng.randrange(len(damaged) + 1) + (3 if rng.random() < 0.9 else 0))
    match rng.randrange(4):
        case 0 if at < len(damaged):
            damaged[at] ^= 1 << rng.randrange(8)
        case 1:
            damaged[at : at + 1] = rng.choice(_INTERESTING)
        case 2:
            damaged[at : at + rng.randrange(6)] = rng.choice(_LENGTHS)
        case _:
            source = rng.randrange(len(damaged) + 1)
            damaged[at:at] = damaged[source : source + rng.randrange(20)]
    return bytes(damaged)


def inputs(seed: int) -> Iterator[list[bytes]]:
    """Yield messages without end; one in eight is left whole."""
    rng = random.Random(seed)
    while True:
        frames = valid(rng)
        yield frames if rng.random() < 0.125 else mutate(frames, rng)


def resident_mb() -> float:
    """Return the resident memory of this process, in millions of octets."""
    return resident_octets() / 1e6


def fuzz(runs: int, seed: int, console: Console) -> float:
    """Check `runs` messages, print how many could be read, and return the growth in MB. Raises Violation."""
    source = inputs(seed)
    for _ in range(_CHUNK):  # what the first ones cost is no growth
        check(next(source))
    before_mb = resident_mb()
    read = octets = 0
    began = time.monotonic()
    with Progress(console=console, disable=not console.is_terminal) as progress:
        task = progress.add_task("messages", total=runs)
        for number in range(runs):
            frames = next(source)
            octets += sum(map(len, frames))
            read += check(frames)
            if number % _CHUNK == 0:
                progress.update(task, completed=number)
        progress.update(task, completed=runs)
    took = max(time.monotonic() - began, 1e-9)
    grown_mb = resident_mb() - before_mb
    console.print(
        f"{runs} messages ({octets / 1e6:.1f} MB), {read} read, {runs - read} refused, "
        f"no violation, {runs / took:.0f}/s, memory +{grown_mb:.1f} MB, seed {seed}",
        highlight=False,
        soft_wrap=True,
    )
    return grown_mb


def fuzz_guided(runs: int, seed: int, folders: Sequence[str]) -> None:
    """Let atheris look for inputs; it ends the process by itself. Raises ImportError without atheris."""
    atheris = importlib.import_module("atheris")
    _seed_corpus(folders, seed)
    for module in (dialect, wire):
        for function in vars(module).values():
            if inspect.isfunction(function) and function.__module__ == module.__name__:
                atheris.instrument_func(function)

    def one(data: bytes) -> None:
        frames = data.split(_BETWEEN)
        try:
            check([MESH_PREFIX + frames[0], *frames[1:]])
        except Violation as violation:
            print(violation, flush=True)
            os._exit(1)  # atheris answers every exception with a traceback and a status of its own

    atheris.Setup([sys.argv[0], f"-runs={runs}", f"-seed={seed}", *folders], one)
    atheris.Fuzz()


def _seed_corpus(folders: Sequence[str], seed: int) -> None:
    """Put some valid messages into the first folder if it is empty: from nothing, msgpack is found only slowly."""
    if not folders or any(Path(folders[0]).iterdir()):
        return
    rng = random.Random(seed)
    for number in range(200):
        head, *bodies = valid(rng)
        (Path(folders[0]) / f"valid-{number}").write_bytes(_BETWEEN.join([head.removeprefix(MESH_PREFIX), *bodies]))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the fuzzer; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="fuzz_wire", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folders", nargs="*", metavar="FOLDER", help="where the guided mode keeps what it has found")
    parser.add_argument("--runs", type=int, default=100_000, help="messages to try (100000)")
    parser.add_argument("--seed", type=int, default=1, help="beginning of the random sequence (1)")
    parser.add_argument("--atheris", action="store_true", help="be guided by coverage")
    options = parser.parse_args(argv)
    try:
        if options.atheris:
            fuzz_guided(options.runs, options.seed, options.folders)
        elif fuzz(options.runs, options.seed, Console()) > _GROWTH_MB_MAX:
            print(f"VIOLATION: the memory grew by more than {_GROWTH_MB_MAX:g} MB")
            return 1
    except ImportError:
        remedy = "run pip install 'freelance-mesh[fuzz]', or leave out --atheris"
        print(f"fuzz_wire: atheris is not installed; {remedy}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"fuzz_wire: cannot use the folder {error.filename!r}: {error.strerror}; make it first", file=sys.stderr)
        return 2
    except Violation as violation:
        print(violation)
        print(f"again: python -m scripts.fuzz_wire --runs {options.runs} --seed {options.seed}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
