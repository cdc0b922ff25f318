"""Raw mDNS packets from somebody who means harm, sent on loopback alone (RFC 1035 section 4, RFC 6762)."""

from __future__ import annotations

import random
import socket
import struct
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from discovery.txt import label_of

__all__ = [
    "KINDS",
    "SERVICE",
    "Advert",
    "Mark",
    "Multicast",
    "Rogue",
    "goodbye",
    "packet",
    "pointer",
    "record",
    "storm",
    "wire_name",
]

SERVICE = "_zmq-mesh._tcp.local"
_GROUP = ("224.0.0.251", 5353)
_NOBODY = ("224.0.0.251", 5354)
_A, _PTR, _TXT, _SRV = 1, 12, 16, 33
_IN, _FLUSH = 1, 0x8000
_RESPONSE = 0x8400
_PTR_TTL, _HOST_TTL = 4500, 120


def wire_name(*labels: str | bytes) -> bytes:
    """Return a name in the form of the wire; each label may have dots."""
    octets = [label.encode() if isinstance(label, str) else label for label in labels]
    return b"".join(bytes([len(label)]) + label for label in octets) + b"\0"


_TYPE = wire_name(*SERVICE.split("."))


def record(owner: bytes, kind: int, data: bytes, ttl: int = _HOST_TTL, flush: bool = False) -> bytes:
    """Return a resource record."""
    return owner + struct.pack("!HHIH", kind, _IN | (_FLUSH if flush else 0), ttl, len(data)) + data


def packet(records: Sequence[bytes], answers: int | None = None) -> bytes:
    """Return an unasked answer; it claims to hold `answers` records, or as many as there are."""
    count = len(records) if answers is None else answers
    return struct.pack("!HHHHHH", 0, _RESPONSE, 0, count, 0, 0) + b"".join(records)


@dataclass(frozen=True)
class Advert:
    """What an advertisement says."""

    label: str
    peer_id: str
    port: int
    host: str = "127.0.0.1"
    realm: str = "default"
    services: str = "work"
    extra: bytes = b""
    """More strings of the TXT record, as they are."""

    @property
    def instance(self) -> bytes:
        """Its name on the wire."""
        return wire_name(self.label)[:-1] + _TYPE

    def records(self, flush: bool = True) -> list[bytes]:
        """Return its records."""
        strings = ["txtvers=1", "proto=mesh/1", f"id={self.peer_id}", f"svc={self.services}", f"realm={self.realm}"]
        text = b"".join(bytes([len(each)]) + each.encode() for each in strings) + self.extra
        node = wire_name(f"node-{self.label[:40]}", "local")
        return [
            pointer(self.instance),
            record(self.instance, _SRV, struct.pack("!HHH", 0, 0, self.port) + node, flush=flush),
            record(self.instance, _TXT, text, _PTR_TTL, flush),
            record(node, _A, socket.inet_aton(self.host), flush=flush),
        ]


def pointer(instance: bytes, ttl: int = _PTR_TTL) -> bytes:
    """Return the record by which an instance is found; with 0 seconds to live it is a goodbye."""
    return record(_TYPE, _PTR, instance, ttl)


def goodbye(advert: Advert) -> bytes:
    """Return a packet that says that this server has gone."""
    return packet([pointer(advert.instance, 0)])


@dataclass(frozen=True)
class Mark:
    """A healthy server, as far as an attacker needs to know it."""

    name: str
    peer_id: str
    host: str
    port: int

    def advert(self, realm: str) -> Advert:
        """Return what it advertises."""
        return Advert(label_of(self.name, self.peer_id), self.peer_id, self.port, self.host, realm)


class Rogue:
    """Makes packets of every kind of malice against some healthy servers.

    Args:
        rng: What comes next.
        realm: Realm of the servers.
        marks: The servers.
        port: Where nobody of worth listens.
    """

    def __init__(self, rng: random.Random, realm: str, marks: Sequence[Mark], port: int) -> None:
        self._rng = rng
        self._realm = realm
        self._marks = marks
        self._port = port

    def _advert(
        self, peer_id: str = "", port: int = 0, host: str = "127.0.0.1", realm: str = "", extra: bytes = b""
    ) -> Advert:
        name = f"rogue-{self._rng.getrandbits(64):016x}"
        return Advert(name, peer_id or name, port or self._port, host, realm or self._realm, extra=extra)

    def _mark(self) -> Mark:
        return self._rng.choice(self._marks)

    def new_name(self) -> bytes:
        """A server that nobody knows, mostly where nobody listens."""
        host = ".".join(["127", *(str(self._rng.randrange(1, 250)) for _ in range(3))])
        return packet(self._advert(host=host if self._rng.random() < 0.9 else "127.0.0.1").records())

    def healthy_address(self) -> bytes:
        """A healthy server's address with another id."""
        mark = self._mark()
        return packet(self._advert(port=mark.port, host=mark.host).records())

    def healthy_id(self) -> bytes:
        """A healthy server's id with another address."""
        return packet(self._advert(self._mark().peer_id).records())

    def moved(self) -> bytes:
        """A healthy server's own records, which now lead elsewhere and flush what was true."""
        mark = self._mark()
        true = mark.advert(self._realm)
        return packet(
            Advert(
                true.label, true.peer_id, self._port, f"127.0.0.{self._rng.randrange(2, 250)}", self._realm
            ).records()
        )

    def goodbye(self) -> bytes:
        """A goodbye of a healthy server."""
        return goodbye(self._mark().advert(self._realm))

    def flapping(self) -> bytes:
        """One of eight servers, at another port each time, or gone."""
        name = f"flapper-{self._rng.randrange(8)}"
        advert = Advert(name, name, self._rng.randrange(1024, 65536), realm=self._realm)
        return goodbye(advert) if self._rng.random() < 0.3 else packet(advert.records())

    def wrong_realm(self) -> bytes:
        """A server of another mesh."""
        return packet(self._advert(realm="elsewhere").records())

    def huge_text(self) -> bytes:
        """A TXT record of eight thousand octets."""
        strings = [b"k%d=" % number + self._rng.randbytes(240) for number in range(32)]
        extra = b"".join(bytes([len(each)]) + each for each in strings)
        return packet(self._advert(extra=extra).records())

    def broken_name(self) -> bytes:
        """Names of odd octets, too long, without an end."""
        odd = self._rng.choice([b"\xff\xfe", b"", b"a.b.c", bytes(63), b"\n\x1b[2J", "é".encode() * 31, b"%s%n"])
        instance = wire_name(odd)[:-1] + _TYPE
        records = [pointer(instance), record(instance, _SRV, struct.pack("!HHH", 0, 0, 1) + wire_name(odd, "local"))]
        cut = packet(records)
        return cut[: self._rng.randrange(12, len(cut))] if self._rng.random() < 0.5 else cut

    def loop(self) -> bytes:
        """Compression pointers to themselves, to each other, and beyond the end."""
        target = self._rng.choice([12, 14, 0, 0x3FFF, 13])
        leads = struct.pack("!H", 0xC000 | target)
        body = leads + struct.pack("!HHIH", _PTR, _IN, _PTR_TTL, 2) + struct.pack("!H", 0xC000 | 12)
        return packet([body] * self._rng.randrange(1, 40))

    def noise(self) -> bytes:
        """Random octets that claim to be an answer of very many records."""
        return packet([self._rng.randbytes(self._rng.randrange(400))], self._rng.choice([1, 65535]))


KINDS: dict[str, Callable[[Rogue], bytes]] = {
    "new name": Rogue.new_name,
    "healthy address": Rogue.healthy_address,
    "healthy id": Rogue.healthy_id,
    "moved": Rogue.moved,
    "goodbye": Rogue.goodbye,
    "flapping": Rogue.flapping,
    "wrong realm": Rogue.wrong_realm,
    "huge TXT": Rogue.huge_text,
    "broken name": Rogue.broken_name,
    "compression loop": Rogue.loop,
    "noise": Rogue.noise,
}


def storm(rogue: Rogue, rng: random.Random) -> Iterator[bytes]:
    """Yield packets of every kind without end; half of them are servers that nobody knows."""
    kinds = list(KINDS.values())
    while True:
        yield KINDS["new name"](rogue) if rng.random() < 0.5 else rng.choice(kinds)(rogue)


class Multicast:
    """Sends packets to the mDNS group on loopback; leaving the `with` block closes it."""

    def __init__(self) -> None:
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
        self._sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)
        self._sock.bind(("127.0.0.1", 0))

    def send(self, octets: bytes, heard: bool = True) -> None:
        """Send one packet; or, at the same cost, to a port at which nobody hears it."""
        self._sock.sendto(octets, _GROUP if heard else _NOBODY)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it."""
        self._sock.close()
