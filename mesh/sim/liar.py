"""A server that lies: what it would have sent is twisted on its way out.

A client drops what is not an answer to a call that it holds on that very connection, and believes no absurd number.
What it cannot see without keys is a wrong answer to the right call: so a liar never knows that it tells one.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable

import msgspec

from discovery.model import Peer
from mesh.config import Limits
from mesh.core.wire import MESH_PREFIX, Detail, Hello, Pong, Record, Reply, decode, encode
from mesh.errors import Status

__all__ = ["LIES", "LIE_BODY", "Liar"]

LIE_BODY = b"a lie"
_HUGE = (-(2**63), -5, 0, 2**31, 2**53, 2**63 - 1)
_JUNK = (
    b"",
    b"\0",
    b"PONG",
    b"\xff\xfe\xfd",
    MESH_PREFIX,
    b"\xf1M\x02\x90",
    MESH_PREFIX + b"\xc1",
    MESH_PREFIX + b"\x91\x93\x07\xc0\xc0",
    MESH_PREFIX + b"\x91" * 200 + b"\xc0",
    MESH_PREFIX + b"\xdd\xff\xff\xff\xff",
)
_NO_IDS = ("", "static:10.0.0.1:5555", "x" * 1000, "a\nb", "\ud7ff\x00")


class Liar:
    """One way of lying, told by one server.

    Args:
        kind: One of `LIES`.
        rng: Which lies.
        memory: What this server has answered lately, in all its lives, and to whom.
        old_boot: Boot id of an earlier life of it.
        other: Somebody else, to be taken for.
        limits: Of messages.
    """

    def __init__(
        self,
        kind: str,
        rng: random.Random,
        memory: deque[tuple[str, Reply]],
        old_boot: int,
        other: Peer,
        limits: Limits,
    ) -> None:
        self.kind = kind
        self._rng = rng
        self._memory = memory
        self._old_boot = old_boot
        self._other = other
        self._limits = limits

    def tell(self, frames: list[bytes], whom: str) -> list[list[bytes]]:
        """Return the messages that go out instead of one.

        Args:
            frames: What is to be twisted.
            whom: Process that it goes to: nobody can see that an answer is that to another's call of the same id.
        """
        if self.kind == "garbage":
            return self._spoil(frames)
        twisted = LIES[self.kind](self, decode(frames, self._limits).records)
        if self.kind == "stale":
            twisted = [*(reply for name, reply in self._memory if name == whom), *twisted]
        messages = []
        while twisted:
            message, count = encode(twisted, self._limits)
            messages.append(message)
            del twisted[:count]
        return messages

    def _spoil(self, frames: list[bytes]) -> list[list[bytes]]:
        kind = self._rng.randrange(4)
        if kind == 0:
            return [[self._rng.choice(_JUNK)], frames]
        if kind == 1:
            return [[frames[0][: self._rng.randrange(len(frames[0]))], *frames[1:]], frames]
        if kind == 2:
            not_a_number = [[7, 1, float("nan"), float("inf"), 0, 0, 1], [2, float("nan"), 0, b"", 0, None]]
            return [frames, [MESH_PREFIX + msgspec.msgpack.encode([self._rng.choice(not_a_number)])]]
        return [[*frames, b"one more"], frames, [self._rng.randbytes(40)]]

    def _stray(self, records: list[Record]) -> list[Record]:
        """Answer calls that it was never asked."""
        asked = max((record.call_id for record in records if type(record) is Reply), default=self._rng.randrange(200))
        ids = (asked - 1, asked + 1, asked + self._rng.randrange(-5, 20), self._rng.choice(_HUGE))
        return [*(Reply(call_id, 0, LIE_BODY, 0) for call_id in ids), *records]

    def _swap(self, records: list[Record]) -> list[Record]:
        """Answer with wrong ids."""
        return [
            Reply(record.call_id + self._rng.choice((-1, 1, 1000)), 0, LIE_BODY, 0) if type(record) is Reply else record
            for record in records
        ]

    def _twice(self, records: list[Record]) -> list[Record]:
        """Answer everything twice."""
        return [*records, *records]

    def _mute(self, records: list[Record]) -> list[Record]:
        """Answer PINGs only."""
        return [record for record in records if type(record) is not Reply]

    def _stale(self, records: list[Record]) -> list[Record]:
        """Answer as it did before, with an old boot id and an old clock."""
        twisted: list[Record] = []
        for record in records:
            if type(record) is Pong:
                record = msgspec.structs.replace(record, boot=self._old_boot, clock=max(0, record.clock - 3_600_000))
            twisted.append(record)
        return twisted

    def _impostor(self, records: list[Record]) -> list[Record]:
        """Say that it is somebody else."""
        return [
            msgspec.structs.replace(record, peer_id=self._other.peer_id, name=self._other.name)
            if type(record) is Hello
            else record
            for record in records
        ]

    def _nameless(self, records: list[Record]) -> list[Record]:
        """Say that it is nobody, or somebody new each time."""
        name = self._rng.choice((*_NO_IDS, f"{self._rng.getrandbits(64):016x}"))
        return [
            msgspec.structs.replace(record, peer_id=name, name=name) if type(record) is Hello else record
            for record in records
        ]

    def _absurd(self, records: list[Record]) -> list[Record]:
        """Tell numbers that no server can have."""
        choice = self._rng.choice
        twisted: list[Record] = []
        for record in records:
            if type(record) is Pong:
                boot, state = choice((record.boot, 0)), choice((record.state, -1, 7))
                record = Pong(record.nonce, boot, choice(_HUGE), state, choice(_HUGE), choice(_HUGE))
            elif type(record) is Reply:
                record = msgspec.structs.replace(record, load=choice(_HUGE))
            twisted.append(record)
        return twisted

    def _siren(self, records: list[Record]) -> list[Record]:
        """Say that it has nothing to do and room for all, and answer no call."""
        return [
            msgspec.structs.replace(record, load=_HUGE[0], window=_HUGE[-1]) if type(record) is Pong else record
            for record in self._mute(records)
        ]

    def _shove(self, records: list[Record]) -> list[Record]:
        """Refuse what it has done, for want of room, for ever."""
        pause = self._rng.choice((-1, 0, 50, 10**15, 2**62))
        return self._refuse(records, Status.RESOURCE_EXHAUSTED, pause)

    def _expire(self, records: list[Record]) -> list[Record]:
        """Refuse what it has done as too late."""
        return self._refuse(records, Status.DEADLINE_EXCEEDED, 0)

    def _as_is(self, records: list[Record]) -> list[Record]:
        return records

    @staticmethod
    def _refuse(records: list[Record], status: Status, pause_ms: int) -> list[Record]:
        detail = Detail(message="a lie", retry_after_ms=pause_ms)
        return [
            Reply(record.call_id, status, b"", 0, detail) if type(record) is Reply else record for record in records
        ]


LIES: dict[str, Callable[[Liar, list[Record]], list[Record]]] = {
    "stray": Liar._stray,
    "swap": Liar._swap,
    "twice": Liar._twice,
    "mute": Liar._mute,
    "stale": Liar._stale,
    "impostor": Liar._impostor,
    "nameless": Liar._nameless,
    "absurd": Liar._absurd,
    "siren": Liar._siren,
    "shove": Liar._shove,
    "expire": Liar._expire,
    "garbage": Liar._as_is,
}
"""What a lie makes of the records of a message. Garbage is made of the octets instead."""
