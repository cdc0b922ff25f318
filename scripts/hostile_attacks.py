"""Attacks on a live server, each of which takes a few seconds."""

from __future__ import annotations

import contextlib
import random
import time
from collections.abc import Callable

from mesh.core.wire import Call, Cancel, Ping, Pong, Record, Reply, decode, encode
from mesh.errors import RemoteProtocolError
from scripts.hostile_server import LIMITS, Felt, Line, Prey, bad_greeting, hostile_messages
from tests.helpers.zmtp import COMMAND, LONG, MORE, dial, frame, greeting, message, ready

__all__ = ["ATTACKS", "attack"]


def greetings(prey: Prey, rng: random.Random) -> None:
    """Wrong signatures, versions, mechanisms and socket types; other protocols; random octets."""
    for octets in (
        b"GET / HTTP/1.1\r\nHost: mesh\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + rng.randbytes(500),
        *(greeting(mechanism) + ready() for mechanism in (b"PLAIN", b"CURVE", b"NOPE", b"")),
        *(greeting(version=version) + ready() for version in (b"\x00\x00", b"\x01\x00", b"\x02\x00", b"\xff\xff")),
        *(greeting() + ready(kind) for kind in (b"PUB", b"ROUTER", b"", bytes(200))),
        greeting() + frame(bytes(255), COMMAND) * 100,
        greeting() + frame(b"\x05READY" + b"\xff" * 60, COMMAND),
        greeting() + frame(b"", COMMAND | LONG, 2**40),
        b"\x01\x00",
        b"\xff",
    ):
        for _ in range(5):
            with contextlib.suppress(OSError), dial(prey.port) as peer:
                peer.sock.sendall(octets)
    for _ in range(200):
        bad_greeting(prey.port, rng)


def giants(prey: Prey, rng: random.Random) -> None:
    """Frames that claim 2 GB, all there is, and less than nothing; some octets come, and then none."""
    with contextlib.ExitStack() as stack:
        for claim in (2**31, 2**32, 2**62, 2**63 - 1, -1, -(2**63), 200 << 20) * 5:
            peer = stack.enter_context(dial(prey.port, b"DEALER"))
            with contextlib.suppress(OSError):
                peer.sock.sendall(frame(bytes(200_000), 0, claim))
                peer.sock.sendall(bytes(200_000))
            prey.resident_mb()
        prey.answers()


def bomb(prey: Prey, rng: random.Random) -> None:
    """Frames of one octet that are never the last."""
    octets = frame(b"a", MORE) * 20_000
    for _ in range(3):
        with contextlib.suppress(OSError), dial(prey.port, b"DEALER") as peer:
            peer.sock.settimeout(0.5)
            until = time.monotonic() + 1.0
            while time.monotonic() < until:
                peer.sock.sendall(octets)
                prey.resident_mb()


def slow_handshakes(prey: Prey, rng: random.Random) -> None:
    """Two hundred peers that send one octet of their greeting after the other."""
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(dial(prey.port)) for _ in range(200)]
        left = len(peers)
        for number, octet in enumerate(greeting()):
            for peer in peers:
                try:
                    peer.sock.sendall(bytes([octet]))
                except OSError:
                    left -= 1
            if left <= 0 or number == 40:
                break
            time.sleep(0.08)
        assert prey.descriptors() < 150, "peers that do not end their greeting are kept"


def half_open(prey: Prey, rng: random.Random) -> None:
    """A thousand peers that connect, half of them with a handshake, and say nothing more."""
    with contextlib.ExitStack() as stack:
        for number in range(1000):
            stack.enter_context(dial(prey.port, b"DEALER" if number % 2 else b""))
        prey.resident_mb()
        prey.answers()


def mid_message(prey: Prey, rng: random.Random) -> None:
    """A thousand peers that leave in the middle of a message."""
    octets = message(encode([Call(1, "work.echo", bytes(20_000))], LIMITS)[0])
    for _ in range(1000):
        with dial(prey.port, b"DEALER") as peer:
            peer.sock.sendall(octets[: rng.randrange(1, len(octets))])


def pings(prey: Prey, rng: random.Random) -> None:
    """As many PINGs as go through, a thousand in each message."""
    line = Line(prey.port)
    octets = message(encode([Ping(number) for number in range(1024)], LIMITS)[0])
    until = time.monotonic() + 3.0
    while time.monotonic() < until:
        line.send(octets)
    line.cut()


def never_reads(prey: Prey, rng: random.Random) -> None:
    """Calls without end whose answers nobody reads."""
    octets = message(encode([Call(number, "mesh.info") for number in range(200)], LIMITS)[0])
    with dial(prey.port, b"DEALER") as peer:
        peer.sock.settimeout(0.2)
        until = time.monotonic() + 4.0
        while time.monotonic() < until:
            with contextlib.suppress(TimeoutError):
                peer.sock.sendall(octets)
            prey.resident_mb()


def others(prey: Prey, rng: random.Random) -> None:
    """CANCELs of all the calls that others could have made, and answers to them."""
    with dial(prey.port, b"DEALER") as peer:
        for start in range(0, 20_000, 500):
            numbers = range(start, start + 500)
            records: list[Record] = [Cancel(number) for number in numbers]
            peer.send(encode([*records, *(Reply(number, 0, b"mine") for number in numbers)], LIMITS)[0])


def values(prey: Prey, rng: random.Random) -> None:
    """Every hostile message, each on a connection of its own, which lives on."""
    for frames in hostile_messages():
        with dial(prey.port, b"DEALER") as peer:
            peer.send(frames)
            peer.send(encode([Ping(123456)], LIMITS)[0])
            pongs = 0
            while not pongs:
                with contextlib.suppress(RemoteProtocolError):
                    records = decode(peer.receive(), LIMITS).records
                    pongs = sum(isinstance(one, Pong) and one.nonce == 123456 for one in records)


ATTACKS: dict[str, Callable[[Prey, random.Random], None]] = {
    attack.__name__.replace("_", "-"): attack
    for attack in (greetings, giants, bomb, slow_handshakes, half_open, mid_message, pings, never_reads, others, values)
}


def attack(name: str, kind: str, seed: int) -> Felt:
    """Make one attack on a new server and return what it did."""
    with Prey(kind) as prey:
        ATTACKS[name](prey, random.Random(seed))
        prey.answers()
        prey.calm(2.0, 4.0)
    return prey.felt
