"""Where listeners put what they take in, and how many wait for one commit together."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from mesh.errors import LocalProtocolError

__all__ = ["Intake", "Rounds", "Taken", "check_method", "pieces"]


class Intake(Protocol):
    """Makes records durable."""

    async def put_many(self, method: str, bodies: Sequence[bytes], *, stream: str = "") -> Sequence[int]:
        """Return when all of them are durable; wait as long as there is no room, or the disk refuses.

        Raises LocalProtocolError: they cannot be sent to any inbox.
        """
        ...


_METHOD = re.compile(r"[A-Za-z0-9_-]{1,62}\.[A-Za-z0-9_.-]+")
_METHOD_MAX = 255


def check_method(method: str) -> str:
    """Return the name if a service may offer a method of that name. Raises LocalProtocolError."""
    if not _METHOD.fullmatch(method) or len(method) > _METHOD_MAX:
        raise LocalProtocolError(f"{method!r:.80} is no method; write SERVICE.METHOD, such as warehouse.ingest")
    return method


RECORDS_MAX, OCTETS_MAX = 500, 512 << 10
"""What is put at once: a spool takes all of it or nothing, so that it must not be much of its quota."""


def pieces(bodies: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
    """Yield them in order, as many at a time as may be put at once; a body that is larger comes alone."""
    first = octets = 0
    for at, body in enumerate(bodies):
        if at > first and (at - first == RECORDS_MAX or octets + len(body) > OCTETS_MAX):
            yield bodies[first:at]
            first, octets = at, 0
        octets += len(body)
    if bodies:
        yield bodies[first:]


@dataclass(frozen=True, slots=True)
class Taken:
    """Something that came, and is to become a record."""

    stream: str
    body: bytes
    stored: Callable[[], None] | None = None
    """Called when it is durable."""


class Rounds:
    """Puts what has come in rounds, one at a time: while one is written, the next gathers.

    So a slow disk makes for larger rounds and not for a longer wait, and the order of a stream is kept.

    Args:
        intake: Where to.
        method: Full name of the inbox method.
        records_max: What may gather before `full` is True.
        octets_max: Likewise.
        on_room: Called after each round.
    """

    def __init__(
        self, intake: Intake, method: str, records_max: int, octets_max: int, on_room: Callable[[], None]
    ) -> None:
        self._intake = intake
        self._method = method
        self._records_max = records_max
        self._octets_max = octets_max
        self._on_room = on_room
        self._held: list[Taken] = []
        self._octets = 0
        self._wake = asyncio.Event()
        self._ending = False

    @property
    def full(self) -> bool:
        """Whether no more should come before a round is over."""
        return len(self._held) >= self._records_max or self._octets >= self._octets_max

    def add(self, taken: Taken) -> None:
        """Have it put with the next round."""
        self._held.append(taken)
        self._octets += len(taken.body)
        self._wake.set()

    def end(self) -> None:
        """Have `run` return when everything that has come is durable."""
        self._ending = True
        self._wake.set()

    async def run(self) -> None:
        """Put round after round, until `end`."""
        while self._held or not self._ending:
            await self._wake.wait()
            self._wake.clear()
            held, self._held, self._octets = self._held, [], 0
            streams: dict[str, list[Taken]] = {}
            for taken in held:
                streams.setdefault(taken.stream, []).append(taken)
            await asyncio.gather(*(self._put(stream, of_stream) for stream, of_stream in streams.items()))
            self._on_room()

    async def _put(self, stream: str, of_stream: list[Taken]) -> None:
        waiting = iter(of_stream)
        for piece in pieces([taken.body for taken in of_stream]):
            await self._intake.put_many(self._method, piece, stream=stream)
            for taken in islice(waiting, len(piece)):
                if taken.stored is not None:
                    taken.stored()
