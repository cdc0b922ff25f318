"""One request and its response, over ASGI: the body within its bounds, the answer in two messages."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Message, Receive, Send

from mesh.gateway.problem import Problem

__all__ = ["Disconnected", "Room", "read_body", "respond", "respond_problem"]

_SMALL = 65536
"""What uvicorn buffers of each connection in any case."""


class Disconnected(Exception):
    """The caller has gone; nobody waits for a response."""


class Room:
    """Counts the octets of larger bodies that are held at the same time.

    Args:
        octets_max: So many and no more.
    """

    def __init__(self, octets_max: int) -> None:
        self._left = octets_max

    def take(self, octets: int) -> None:
        """Have room for so many more. Raises Problem: there is none."""
        if octets > self._left:
            text = "the gateway holds as many octets of other requests as it may; try again"
            raise Problem(503, text, "RESOURCE_EXHAUSTED")
        self._left -= octets

    def give(self, octets: int) -> None:
        """Give room back."""
        self._left += octets


async def read_body(headers: Mapping[bytes, bytes], receive: Receive, octets_max: int, room: Room) -> bytes:
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
    chunks, octets, held = [body], len(body), 0
    try:
        while message.get("more_body"):
            message = await receive()
            chunks.append(_chunk(message))
            octets += len(chunks[-1])
            if octets > octets_max:
                raise _too_long(octets_max)
            if octets > _SMALL:
                room.take(octets - held)
                held = octets
        return b"".join(chunks)
    finally:
        room.give(held)


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
