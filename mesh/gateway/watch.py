"""The stream of what happens in the mesh: server-sent events (WHATWG HTML section 9.2), made once for all readers.

    event: peer     at the beginning one for each server that is there, then one for each that comes, changes or leaves
    event: screen   everything there is to show, once a second, for readers that want it

Servers are asked for their figures only while somebody reads.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterable

import msgspec

from mesh import AsyncClient
from mesh.gateway.problem import Problem
from mesh.top.board import Board, Event, Screen
from mesh.top.columns import FIELDS, Order, in_order
from mesh.top.probe import Probe
from mesh.top.rows import ANSWERING, Row

__all__ = ["Watch", "row_as_json"]

_LOOK_S = 1.0
_FIRST_S = 0.2
_QUIET_S = 15.0
"""A line goes out at least this often, so that nobody in between takes the connection for dead."""
_BEHIND_MAX = 64
"""Messages that wait for a reader; of one that is slower, the oldest are left out."""
_EVENTS_SHOWN = 20
_encode = msgspec.json.Encoder().encode


def row_as_json(row: Row) -> dict[str, object]:
    """Return a server as `mesh-top --json` has it."""
    return {field.key: field.value(row) for field in FIELDS}


class _Reader:
    """Somebody who reads the stream."""

    def __init__(self, *, screens: bool) -> None:
        self.screens = screens
        """Whether it wants all there is to show."""
        self.greeted = False
        """Whether it was told who is there."""
        self.waiting: deque[bytes] = deque(maxlen=_BEHIND_MAX)
        self.came = asyncio.Event()

    def tell(self, messages: Iterable[bytes]) -> None:
        self.waiting.extend(messages)
        self.came.set()


class Watch:
    """Looks at the mesh once a second as long as somebody wants to know.

    Args:
        client: Sees the servers, and asks them.
        readers_max: So many at the same time.
    """

    def __init__(self, client: AsyncClient, readers_max: int) -> None:
        self._client = client
        self._readers_max = readers_max
        self._readers: set[_Reader] = set()
        self._looking: asyncio.Task[None] | None = None
        self._stopped = False

    def check_room(self) -> None:
        """Raise Problem if there are as many readers as may be."""
        if self._stopped or len(self._readers) >= self._readers_max:
            text = f"{len(self._readers)} readers follow the events already; come again, or ask for /v1/servers"
            raise Problem(503, text, "RESOURCE_EXHAUSTED")

    async def stream(self, *, screens: bool) -> AsyncGenerator[bytes, None]:
        """Yield messages as they go over the wire, until the gateway stops."""
        reader = _Reader(screens=screens)
        self._readers.add(reader)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look())
        try:
            yield b": what happens in the mesh\n\n"
            while not self._stopped:
                try:
                    async with asyncio.timeout(_QUIET_S):
                        await reader.came.wait()
                except TimeoutError:
                    yield b": still here\n\n"
                reader.came.clear()
                while reader.waiting:
                    yield reader.waiting.popleft()
        finally:
            self._readers.discard(reader)
            if not self._readers and self._looking is not None:
                self._looking.cancel()  # what was seen until now will be of yesterday when somebody asks again
                self._looking = None

    def stop(self) -> None:
        """End every stream."""
        self._stopped = True
        for reader in self._readers:
            reader.came.set()

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        board = Board()
        probe = Probe(self._client)
        due = loop.time() + _FIRST_S
        last: Event | None = None
        try:
            while True:
                screen = board.update(await probe.look(due))
                self._tell(screen, _after(last, screen.events))
                last = screen.events[-1] if screen.events else None
                due = max(due + _LOOK_S, loop.time())
        finally:
            await probe.close()

    def _tell(self, screen: Screen, events: Iterable[Event]) -> None:
        shown = _message("screen", _screen_as_json(screen))
        news = [_message("peer", _event_as_json(event)) for event in events]
        for reader in self._readers:
            reader.tell(news if reader.greeted else _greeting(screen))
            reader.greeted = True
            if reader.screens:
                reader.tell([shown])


def _after(last: Event | None, events: tuple[Event, ...]) -> list[Event]:
    """Return the events that came after one of them."""
    new: list[Event] = []
    for event in reversed(events):
        if event is last:
            break
        new.insert(0, event)
    return new


def _greeting(screen: Screen) -> list[bytes]:
    return [
        _message("peer", {"kind": "present", "peer_id": row.peer_id, "name": row.name, "detail": row.address})
        for row in in_order(screen.rows, Order())
        if row.state in ANSWERING
    ]


def _event_as_json(event: Event) -> dict[str, object]:
    return {"kind": event.kind, "peer_id": event.peer_id, "name": event.name, "detail": event.detail}


def _screen_as_json(screen: Screen) -> dict[str, object]:
    return {
        "totals": screen.totals,
        "servers": [row_as_json(row) for row in in_order(screen.rows, Order())],
        "events": [{"clock": event.clock, **_event_as_json(event)} for event in screen.events[-_EVENTS_SHOWN:]],
    }


def _message(kind: str, value: object) -> bytes:
    """Return one message; JSON has no line ends, of which the stream is made."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _encode(value))
