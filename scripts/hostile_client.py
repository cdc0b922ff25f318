"""A live client whose servers are one honest one and one that means harm."""

from __future__ import annotations

import contextlib
import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Self

from mesh.core.wire import Call, Detail, Hello, Ping, Pong, Record, Reply, decode, encode
from mesh.errors import RemoteProtocolError
from scripts.fuzz_wire import mutate, valid
from scripts.hostile_server import LIMITS, Felt, resident_mb
from tests.helpers.process import Process, spawn
from tests.helpers.zmtp import MORE, Listener, Zmtp, frame, message

__all__ = ["CONDUCTS", "Caller", "Villain", "meet"]

Conduct = Callable[["Villain", Zmtp, list[Record]], None]


@dataclass
class Caller:
    """A client in a process of its own that calls all the time; made by `calling`."""

    process: Process
    alive: list[str]
    """Name, id and address of the servers that were alive at the beginning."""
    felt: Felt = field(default_factory=Felt)
    calls: list[tuple[float, float, str, str]] = field(default_factory=list)
    """When each call was made, how long it took (seconds), who answered, and what was wrong."""
    servers: dict[str, str] = field(default_factory=dict)
    """The states of the servers at the end, by id."""

    def look(self) -> None:
        """Take a look at its memory."""
        self.felt.peak_mb = max(self.felt.peak_mb, resident_mb(self.process.pid))

    def end(self) -> None:
        """End the calls and take in what became of them."""
        felt = self.felt
        felt.after_mb = resident_mb(self.process.pid)
        assert self.process.terminate(20.0) == 0, self.process.stderr
        calls, counted = self.process.stdout[-2:]
        self.calls = [tuple(call) for call in json.loads(calls)]
        self.servers = json.loads(counted)["servers"]
        felt.calls = len(self.calls)
        felt.errors = [error for *_, error in self.calls if error][:5]
        felt.failed = sum(bool(error) for *_, error in self.calls)
        felt.slowest_ms = round(max(took_s for _, took_s, *_ in self.calls) * 1000, 1)


@contextlib.contextmanager
def calling(realm: str, *endpoints: str) -> Iterator[Caller]:
    """Yield a client that calls; without endpoints it discovers its servers."""
    with spawn([sys.executable, "-m", "scripts.hostile_prey", "client", realm, *endpoints]) as process:
        process.wait_line("^calls$", 30.0)
        caller = Caller(process, process.stdout[1:-1])
        caller.felt.before_mb = resident_mb(process.pid)
        yield caller


class Villain:
    """A server that handshakes, answers the first PING, and from then on does as its conduct says."""

    def __init__(self, conduct: Conduct, seed: int) -> None:
        self._conduct = conduct
        self._listener = Listener()
        self._connections: list[Zmtp] = []
        self.rng = random.Random(seed)
        self.boot = self.rng.getrandbits(31)
        self.calls = 0
        """Calls that it was given."""
        self.dials = 0
        """Connections that it was made."""
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return self._listener.port

    def __enter__(self) -> Self:
        """Begin."""
        self._threads[0].start()
        return self

    def __exit__(self, *error: object) -> None:
        """Let go of everybody."""
        self._listener.close()
        for connection in self._connections:
            connection.close()
        for thread in self._threads:
            thread.join(10.0)

    def answer(self, peer: Zmtp, *records: Record) -> None:
        """Send records."""
        peer.send(encode(list(records), LIMITS)[0])

    def pong(self, ping: Ping) -> Pong:
        """Return an honest answer to a PING."""
        return Pong(ping.nonce, self.boot, int(time.monotonic() * 1000), 0, 0, 64)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            for peer in self._listener.accepted(600.0):
                self.dials += 1
                self._connections.append(peer)
                thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, peer: Zmtp) -> None:
        with contextlib.suppress(OSError, EOFError), peer:
            peer.shake(b"ROUTER")
            while True:
                try:
                    records = decode(peer.receive(), LIMITS).records
                except (RemoteProtocolError, TimeoutError):
                    continue
                self.calls += sum(type(record) is Call for record in records)
                self._conduct(self, peer, records)


def _honest_pongs(villain: Villain, peer: Zmtp, records: list[Record]) -> None:
    for record in records:
        if isinstance(record, Ping):
            hello = [Hello("villain", "villain", "hostile", ["work"], [])] if record.hello else []
            villain.answer(peer, *hello, villain.pong(record))


def mute(villain: Villain, peer: Zmtp, records: list[Record]) -> None:
    """Answers nothing, not even a PING."""


def silent(villain: Villain, peer: Zmtp, records: list[Record]) -> None:
    """Answers PINGs and no call."""
    _honest_pongs(villain, peer, records)


def garbage(villain: Villain, peer: Zmtp, records: list[Record]) -> None:
    """Answers whatever comes with damaged messages of every kind."""
    _honest_pongs(villain, peer, records)
    rng = villain.rng
    for _ in range(20):
        # Not with the id of a call: whoever may answer may answer anything.
        reply = Reply(rng.getrandbits(60) | 1 << 50, rng.randrange(20), rng.randbytes(rng.randrange(40)))
        frames = encode([reply], LIMITS)[0] if rng.random() < 0.5 else [b"\0" + frame for frame in valid(rng)]
        peer.send(mutate(frames, rng) or [b""])


def wrong_ids(villain: Villain, peer: Zmtp, records: list[Record]) -> None:
    """Answers calls that were never made, or were made to others."""
    _honest_pongs(villain, peer, records)
    for record in records:
        if isinstance(record, Call):
            ids = (record.call_id + 1, record.call_id - 1, 0, -1, 2**64 - 1, -(2**63))
            villain.answer(peer, *(Reply(call_id, status, b"mine") for call_id in ids for status in (0, 2, 8, 99)))


def absurd(villain: Villain, peer: Zmtp, records: list[Record]) -> None:
    """Says impossible things of itself."""
    _honest_pongs(villain, peer, records)
    big = 2**63 - 1
    names = [f"s{number}" for number in range(60_000)]
    villain.answer(
        peer,
        Pong(0, 0, -(2**63), 99, -big, -big),
        Pong(0, big, big, -1, big, big),
        Pong(-1, -1, 0, 0, 0, 0),
        Hello("", "", "", [], []),
        Hello("static:127.0.0.1:1", "\x1b[2J", "hostile", ["work"], ["work.echo"]),
    )
    villain.answer(peer, Hello("villain", "villain" * 1000, "hostile", names, names))


def refuses(villain: Villain, peer: Zmtp, records: list[Record]) -> None:
    """Refuses every call at once."""
    _honest_pongs(villain, peer, records)
    for record in records:
        if isinstance(record, Call):
            pause_ms = villain.rng.choice([0, -1, -(2**63)])
            status = villain.rng.choice([1, 4, 8, 14, 99])
            villain.answer(peer, Reply(record.call_id, status, b"", 0, Detail(retry_after_ms=pause_ms)))


def bomb(villain: Villain, peer: Zmtp, records: list[Record]) -> None:
    """Sends frames of one octet that are never the last."""
    _honest_pongs(villain, peer, records)
    octets = frame(b"a", MORE) * 20_000
    while True:
        peer.sock.sendall(octets)


def giant(villain: Villain, peer: Zmtp, records: list[Record]) -> None:
    """Claims a frame of 2 GB, and begins it."""
    _honest_pongs(villain, peer, records)
    peer.sock.sendall(frame(bytes(200_000), 0, 2**31))


def pongs(villain: Villain, peer: Zmtp, records: list[Record]) -> None:
    """Answers with as many PONGs as go through."""
    _honest_pongs(villain, peer, records)
    octets = message(encode([Pong(0, villain.boot, 1)] * 1024, LIMITS)[0])
    until = time.monotonic() + 0.2
    while time.monotonic() < until:
        peer.sock.sendall(octets)


def never_reads(villain: Villain, peer: Zmtp, records: list[Record]) -> None:
    """Proves itself and reads nothing more."""
    _honest_pongs(villain, peer, records)
    until = time.monotonic() + 3.0
    while time.monotonic() < until:
        villain.answer(peer, Pong(0, villain.boot, int(time.monotonic() * 1000), 0, 0, 512))
        time.sleep(0.05)


CONDUCTS: dict[str, Conduct] = {
    conduct.__name__.replace("_", "-"): conduct
    for conduct in (mute, silent, garbage, wrong_ids, absurd, refuses, bomb, giant, pongs, never_reads)
}


def meet(name: str, endpoint: str, seed: int, seconds: float) -> tuple[Felt, Villain]:
    """Have a client meet an honest server at `endpoint` and a villain for so long; return what it felt."""
    with (
        Villain(CONDUCTS[name], seed) as villain,
        calling("hostile", endpoint, f"tcp://127.0.0.1:{villain.port}") as caller,
    ):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            caller.look()
            time.sleep(0.02)
        caller.end()
        caller.felt.seconds = seconds
        return caller.felt, villain
