"""A live server that is attacked while an honest client calls it all the time, and random messages for it."""

from __future__ import annotations

import contextlib
import os
import random
import select
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

import msgspec

from mesh import Client
from mesh.config import Limits
from mesh.core.wire import MESH_PREFIX, Call, Cancel, Hello, Ping, Pong, Record, Reply, encode
from scripts.fuzz_wire import mutate, valid
from scripts.pace import Pace, percentile, steady
from scripts.usage import resident_octets
from tests.helpers.process import Process, spawn
from tests.helpers.zmtp import Zmtp, dial, greeting, message, ready

__all__ = ["LIMITS", "Felt", "Line", "Prey", "bad_greeting", "fuzz", "hostile_messages", "resident_mb"]

LIMITS = Limits()
_METHODS = (
    "work.echo",
    "work.nap",
    "work.once",
    "mesh.info",
    "mesh.stats",
    "mesh.ping",
    "work.none",
    "",
    "work.é\x00\n",
    ".",
)
_RATE = 50.0


@dataclass
class Felt:
    """What an attack did to a server and to the honest client."""

    calls: int = 0
    failed: int = 0
    errors: list[str] = field(default_factory=list)
    slowest_ms: float = 0.0
    before_mb: float = 0.0
    """Resident memory of the server."""
    peak_mb: float = 0.0
    after_mb: float = 0.0
    seconds: float = 0.0

    @property
    def grown_mb(self) -> float:
        """How much more memory it holds afterwards."""
        return round(self.after_mb - self.before_mb, 1)


def resident_mb(pid: int) -> float:
    """Return the resident memory of a process, in millions of octets."""
    return round(resident_octets(pid) / 1e6, 1)


class Prey:
    """A server in a process of its own, and an honest client that calls it until the `with` block ends.

    Args:
        kind: `sync` or `async`.
        descriptors: The most that it may have; None: as many as usual.
    """

    def __init__(self, kind: str = "sync", descriptors: int | None = None) -> None:
        command = [sys.executable, "-m", "scripts.hostile_prey", kind, "hostile"]
        if descriptors is not None:
            command = ["sh", "-c", f'ulimit -n {descriptors}; exec "$@"', "sh", *command]
        self._spawned = spawn(command)
        self._stack = contextlib.ExitStack()
        self.felt = Felt()
        """Complete when the `with` block has ended."""

    def __enter__(self) -> Self:
        """Begin."""
        self.process: Process = self._stack.enter_context(self._spawned)
        endpoint = self.process.wait_line(r"^tcp://.*", 20.0)[0]
        self.endpoint: str = endpoint
        self.port: int = int(endpoint.rpartition(":")[2])
        self._client = self._stack.enter_context(Client(servers=[endpoint], realm="hostile", discover=False))
        for _ in range(200):  # what the first calls cost is no growth
            self._client.request("work.echo", b"warm 0", timeout=10.0)
        self.felt.before_mb = self.resident_mb()
        self._began = time.monotonic()
        self._pace = Pace(self._client, _RATE, 2, steady())
        self._pace.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        """End the calls and take the last figures."""
        felt = self.felt
        try:
            self._pace.__exit__(*error)
            done = self._pace.done
            felt.seconds = round(time.monotonic() - self._began, 1)
            felt.calls = len(done)
            felt.errors = [one.error for one in done if one.error][:5]
            felt.failed = sum(bool(one.error) for one in done)
            felt.slowest_ms = round(percentile([one.took_s for one in done], 1.0) * 1000, 1)
            felt.after_mb = self.resident_mb()
        finally:
            self._stack.close()

    def resident_mb(self) -> float:
        """Return the resident memory of the server."""
        resident = resident_mb(self.process.pid)
        self.felt.peak_mb = max(self.felt.peak_mb, resident)
        return resident

    def descriptors(self) -> int:
        """Return how many descriptors the server has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def answers(self, deadline_s: float = 10.0) -> None:
        """Return when it has answered a stranger. AssertionError: it does not, or has ended."""
        assert self.process.returncode is None, f"the server ended with {self.process.returncode}"
        give_up_at = time.monotonic() + deadline_s
        while True:
            with contextlib.suppress(OSError, EOFError), dial(self.port, b"DEALER") as stranger:
                stranger.send([b"PING"])
                assert stranger.receive() == [b"PONG"]
                return
            assert time.monotonic() < give_up_at, "the server answers no stranger"

    def calm(self, most_mb: float = 1.0, deadline_s: float = 15.0) -> None:
        """Return when its memory is down to `most_mb` more than before, or that takes too long."""
        give_up_at = time.monotonic() + deadline_s
        while self.resident_mb() > self.felt.before_mb + most_mb and time.monotonic() < give_up_at:
            time.sleep(0.05)


# -- random octets


def _messages(rng: random.Random) -> Iterator[list[bytes]]:
    """Yield messages without end: valid, damaged, hostile, of all dialects, and random."""
    hostile = list(hostile_messages())
    while True:
        match rng.randrange(12):
            case 0 | 1 | 2:
                yield mutate(valid(rng), rng) or [b""]
            case 3:
                yield valid(rng)
            case 4 | 5 | 6:
                yield mutate(encode(_calls(rng), LIMITS)[0], rng) or [b""]
            case 7:
                yield encode(_calls(rng), LIMITS)[0]
            case 8:
                yield rng.choice(hostile)
            case 9:
                yield [b"", *encode(_calls(rng), LIMITS)[0]]
            case 10:
                yield [rng.choice([b"", b"PING", b"control"]) for _ in range(rng.randrange(1, 5))]
            case _:
                yield [rng.randbytes(rng.choice([0, 1, 3, 40, 900])) for _ in range(rng.randrange(1, 6))]


def _calls(rng: random.Random) -> list[Record]:
    records: list[Record] = []
    for _ in range(rng.choice((1, 1, 3, 20))):
        number = rng.getrandbits(rng.choice((3, 31, 63)))
        match rng.randrange(5):
            case 0:
                records.append(Cancel(number))
            case 1:
                records.append(Ping(number, rng.random() < 0.5))
            case _:
                body = rng.choice([b"", rng.randbytes(30), msgspec.msgpack.encode([rng.random()]), rng.randbytes(9000)])
                key = rng.choice([b"", b"", b"", bytes([rng.randrange(64)])])
                deadline = rng.choice([0, 0, number, 1, -1, 2**63 - 1])
                records.append(Call(number, rng.choice(_METHODS), body, deadline, 0, key, rng.randrange(-2, 9)))
    return records


def hostile_messages() -> Iterator[list[bytes]]:
    """Yield messages that are well-formed, or nearly, and mean harm."""

    def head(value: object) -> list[bytes]:
        return [MESH_PREFIX + msgspec.msgpack.encode(value)]

    for deadline in (-1, -(2**63), 2**63 - 1, 2**64 - 1, 1, float("nan"), float("inf"), -float("inf"), None, "soon"):
        yield head([[1, 1, "work.echo", b"", deadline, 0]])
    for count in (0xFFFF, 0xFFFFFFFF):  # arrays and maps of which nothing follows
        yield [MESH_PREFIX + b"\xdd" + count.to_bytes(4, "big")]
        yield [
            MESH_PREFIX + b"\x91\x98\x01\x01\xa9work.echo\xc4\x00\x00\x00\xc4\x00\x01\xdf" + count.to_bytes(4, "big")
        ]
    for depth in (100, 10_000, 500_000):
        yield [MESH_PREFIX + b"\x91" * depth]
        yield [MESH_PREFIX + b"\x91\x95\x01\x01\xa9work.echo" + b"\x91" * depth + b"\x00"]
        yield head([[1, 1, "work.nap", b"\x91" * depth]])
    yield head([[1, 7, "work.echo", b"twice"]] * 1000)
    yield head([[5, number] for number in range(1000)])
    yield head([[2, number, 0, b"an answer to a server"] for number in range(1000)])
    yield encode([Reply(1, 8), Pong(1, 1, 1), Hello("", "\x1b[2J", "", [], [])], LIMITS)[0]
    yield encode([Ping(number) for number in range(1024)], LIMITS)[0]
    yield encode([Ping(number, True) for number in range(1024)], LIMITS)[0]
    for method in ("\x00", "\x1b[2J", "work." + "é" * 125, "m" * 4096, "mesh.", "mesh.stats ", "work.echo\n", "", "‮"):
        yield encode([Call(1, method)], LIMITS)[0]
    yield head([[1, 1, b"\xff\xfe", b""]])
    yield encode([Call(1, "work.echo", metadata={f"k{number}": "v" for number in range(5000)})], LIMITS)[0]
    yield encode([Call(1, "work.echo", metadata={"k": "v" * 900_000})], LIMITS)[0]
    yield encode([Call(1, "work.echo", key=bytes(900_000))], LIMITS)[0]
    yield head([[1, 1, "work.echo", list(range(300))]])
    yield [*head([[1, 1, "work.echo", list(range(256))]]), *([b"x"] * 256)]
    yield [*head([[1, 1, "work.echo", 0]]), *([b""] * 2000)]
    yield [b"control", *([b""] * 2000)]
    yield [b"\xf1M\x01", b""]
    yield [MESH_PREFIX + bytes(1 << 20)]


class Line:
    """A connection that is made anew whenever the server has cut it; what it answers is read and dropped."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._zmtp: Zmtp | None = None

    def send(self, octets: bytes) -> None:
        """Send, as far as the server lets us. AssertionError: it takes nothing for ten seconds."""
        if self._zmtp is None:
            self._zmtp = dial(self._port, b"DEALER")
            self._zmtp.sock.setblocking(False)
        sock = self._zmtp.sock
        give_up_at = time.monotonic() + 10.0
        try:
            while octets:
                readable, writable, _ = select.select([sock], [sock], [], 1.0)
                if readable and not sock.recv(1 << 20):
                    break
                if writable:
                    octets = octets[sock.send(octets[:65536]) :]
                assert time.monotonic() < give_up_at, "the server takes nothing any more"
            else:
                return
        except (ConnectionError, BlockingIOError):
            pass
        self.cut()

    def cut(self) -> None:
        """Close the connection, wherever it is."""
        if self._zmtp is not None:
            self._zmtp.sock.close()
            self._zmtp = None


def fuzz(prey: Prey, runs: int, seed: int, tell: Callable[[int], None] = lambda done: None) -> None:
    """Send `runs` messages of every kind, some with damage to the framing, on connections that are cut at any place."""
    rng = random.Random(seed)
    source = _messages(rng)
    line = Line(prey.port)
    done = 0
    while done < runs:
        count = min(rng.choice((1, 5, 50, 200)), runs - done)
        octets = bytearray(b"".join(message(next(source)) for _ in range(count)))
        if rng.random() < 0.1:
            for _ in range(rng.randrange(1, 4)):
                octets[rng.randrange(len(octets))] = rng.randrange(256)
        if rng.random() < 0.1:
            del octets[rng.randrange(len(octets)) :]
        line.send(bytes(octets))
        if rng.random() < 0.3:
            line.cut()
        if rng.random() < 0.05:
            bad_greeting(prey.port, rng)
        done += count
        tell(done)
        prey.resident_mb()
    line.cut()
    prey.answers()


def bad_greeting(port: int, rng: random.Random) -> None:
    """Begin a connection with a damaged greeting, or with a mechanism that nobody speaks."""
    octets = bytearray(greeting(rng.choice([b"NULL", b"PLAIN", b"CURVE", b"GSSAPI", b"", b"\xff" * 20])) + ready())
    for _ in range(rng.randrange(4)):
        octets[rng.randrange(len(octets))] = rng.randrange(256)
    with contextlib.suppress(OSError), dial(port) as peer:
        peer.sock.sendall(octets[: rng.randrange(len(octets) + 1)] if rng.random() < 0.5 else octets)
