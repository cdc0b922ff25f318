"""One request and its response, over ASGI: the body within its bounds, the answer in two messages."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Message, Receive, Send

from mesh.gateway.problem import Problem

__all__ = ["SMALL", "Disconnected", "Held", "Room", "read_body", "respond", "respond_problem"]

SMALL = 65536
"""What uvicorn buffers of each connection in any case; shorter bodies are not counted."""


class Disconnected(Exception):
    """The caller has gone; nobody waits for a response."""


class Room:
    """For the larger bodies of all requests and answers together.

    Args:
        octets_max: So many octets and no more.
    """

    def __init__(self, octets_max: int) -> None:
        self.left: int = octets_max
        """Octets that more bodies may have."""


class Held:
    """What one request has of the room; to be given back at its end.

    Args:
        room: That of all.
    """

    __slots__ = ("_octets", "_room")

    def __init__(self, room: Room) -> None:
        self._room = room
        self._octets = 0

    def hold(self, octets: int) -> None:
        """Have room for so many octets, instead of what it had. Raises Problem: there is none."""
        more = octets - self._octets
        if more > self._room.left:
            text = "the gateway holds as many octets of other requests and answers as it may; try again"
            raise Problem(503, text, "RESOURCE_EXHAUSTED")
        self._room.left -= more
        self._octets = octets

    def give_back(self) -> None:
        """Have no room any more."""
        self._room.left += self._octets
        self._octets = 0


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, octets_max: int, held: Held) -> bytes:
    """Return the body of a request. What was not read of a body that is too long, uvicorn throws away.

    Raises:
        Problem: It is longer than `octets_max`, or all bodies together are.
        Disconnected: The caller has gone.
    """
    declared = headers.get(b"content-length", b"")
    if declared.isdigit() and int(declared) > octets_max:
        raise _too_long(octets_max)
    message = await receive()
    body = _chunk(message)
    if len(body) > octets_max:
        raise _too_long(octets_max)
    if not message.get("more_body"):
        return body
    chunks, octets = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        chunks.append(_chunk(message))
        octets += len(chunks[-1])
        if octets > octets_max:
            raise _too_long(octets_max)
        if octets > SMALL:
            held.hold(octets)
    return b"".join(chunks)


def _chunk(message: Message) -> bytes:
    if message["type"] != "http.request":
        raise Disconnected
    body: bytes = message.get("body", b"")
    return body


def _too_long(octets_max: int) -> Problem:
    return Problem(413, f"the body is longer than {octets_max} octets; send less, or in parts", "RESOURCE_EXHAUSTED")


async def respond(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    """Send a response."""
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def respond_problem(send: Send, problem: Problem) -> None:
    """Send the response of a request that was refused or failed."""
    body = problem.body()
    await respond(send, problem.status, problem.headers(body), body)
