"""Requests over HTTP, one connection each, and raw ones for what no client sends."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.helpers.wait import PATIENCE_S

__all__ = ["Answer", "ask", "connected", "say"]


@dataclass(frozen=True)
class Answer:
    """A response."""

    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)


def ask(port: int, path: str, body: bytes | str | None = None, *, verb: str = "", **headers: str) -> Answer:
    """Return the answer of 127.0.0.1: to a POST if there is a body, to a GET else, unless a verb is given."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        connection.request(verb or ("GET" if body is None else "POST"), path, body, named)
        response = connection.getresponse()
        return Answer(response.status, {name.lower(): value for name, value in response.getheaders()}, response.read())


@contextlib.contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """Give a connection to 127.0.0.1."""
    with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as connection:
        yield connection


def say(connection: socket.socket, *octets: bytes) -> bytes:
    """Send octets as they are, and return all that comes until the other side closes."""
    with contextlib.suppress(ConnectionError):
        for piece in octets:
            connection.sendall(piece)
    said = b""
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(65536):
            said += piece
    return said
