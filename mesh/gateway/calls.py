"""`/v1/call/SERVICE/METHOD`: a request becomes a call, and its answer the response."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import msgspec
from starlette.types import Receive, Scope

from mesh import AsyncClient, MeshError
from mesh.gateway.answers import COMMON, answer_of
from mesh.gateway.catalog import Catalog, Offer
from mesh.gateway.connection import Connection
from mesh.gateway.exchange import SMALL, Held, Room, read_body
from mesh.gateway.headers import idempotency_key, later_s, text_of, timeout_s, trace
from mesh.gateway.multipart import split_frames
from mesh.gateway.problem import Problem, problem_of
from mesh.gateway.settings import GatewaySettings

if TYPE_CHECKING:
    from mesh.gateway.later import Later

__all__ = ["PREFIX", "Calls"]

PREFIX = "/v1/call/"
_KEY_MAX = 64
_encode = msgspec.json.Encoder().encode


class Calls:
    """Answers requests for calls.

    Args:
        client: Makes them.
        catalog: Knows the methods.
        settings: Bounds, and which methods may be called.
        later: Keeps those that need not be answered at once, if there is a place for them.
    """

    def __init__(
        self, client: AsyncClient, catalog: Catalog, settings: GatewaySettings, later: Later | None = None
    ) -> None:
        self._client = client
        self._catalog = catalog
        self._settings = settings
        self._later = later
        self._room = Room(settings.bodies_max)
        self._allowed: dict[str, bool] = {}
        """What was looked at, of the methods that are offered: nobody can fill the memory with others."""

    async def __call__(self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive) -> None:
        """Answer one request.

        Raises:
            Problem: It is refused, or the call failed.
            Disconnected: The caller has gone.
        """
        name = scope["path"][len(PREFIX) :].replace("/", ".", 1)
        offer = self._catalog.offer(name) or await self._catalog.learn(name)
        if not self._allows(name, offer):
            raise Problem(403, f"{name or 'nothing'} may not be called from here; see --allow", "PERMISSION_DENIED")
        held = Held(self._room)
        try:
            status, given, body = await self._answer(name, offer, scope, headers, receive, held)
            large = len(body) > SMALL
            if large:
                held.hold(len(body))
            connection: Connection = scope["mesh.connection"]
            await connection.answer(status, given, body)
            if large:
                del body  # what is not read yet has been copied
                await connection.written()
        finally:
            held.give_back()

    async def _answer(
        self,
        name: str,
        offer: Offer | None,
        scope: Scope,
        headers: Mapping[bytes, bytes],
        receive: Receive,
        held: Held,
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Make the call, or keep it for later; return status, headers and body of the response. Raises Problem."""
        seconds = timeout_s(headers, self._settings.timeout_s_max)
        key = idempotency_key(headers, _KEY_MAX)
        try:
            if scope["method"] == "POST":
                body = await read_body(headers, receive, self._settings.body_max, held)
                frames = _frames(headers, body)
            else:
                offer = await self._readable(name, offer, scope, seconds)
                frames = await self._query(offer, scope["query_string"])
            waits_s = later_s(headers)
            if self._later is not None and waits_s is not None and scope["method"] == "POST":
                return await self._later.accept(name, frames, key, trace(headers), seconds, waits_s)
            reply = await self._client.request(name, frames, timeout=seconds, key=key, metadata=trace(headers))
            offer = self._catalog.offer(name, reply.peer_id) or offer or await self._catalog.learn(name)
            kind, body = answer_of(reply, name, raw=offer is None or offer.raw)
        except MeshError as error:
            raise problem_of(error) from None
        return 200, [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *COMMON], body

    def _allows(self, name: str, offer: Offer | None) -> bool:
        allowed = self._allowed.get(name)
        if allowed is None:
            allowed = self._settings.allows(name)
            if offer is not None:
                self._allowed[name] = allowed
        return allowed

    async def _readable(self, name: str, offer: Offer | None, scope: Scope, seconds: float | None) -> Offer:
        """Return a method that changes nothing. Raises Problem for any other, and NoServer."""
        if offer is None and scope["method"] in ("GET", "HEAD"):
            await self._client.wait_for(1, name.partition(".")[0], timeout=seconds)
            offer = await self._catalog.learn(name)
        if offer is not None and offer.read_only and scope["method"] in ("GET", "HEAD"):
            return offer
        allowed = "GET, HEAD, POST" if offer is not None and offer.read_only else "POST"
        text = f"{scope['method']} of {name}: use POST; GET is for methods that are declared read_only"
        raise Problem(405, text, "UNIMPLEMENTED", {"allow": allowed})

    async def _query(self, offer: Offer, query: bytes) -> bytes:
        """Return the arguments that a query holds, by name, as a body: JSON where it parses, and text else.

        What can be nothing but text is text as it stands. Raises Problem.
        """
        pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True, strict_parsing=False, max_num_fields=256)
        if not pairs:
            return b""
        if offer.raw:
            text = f"{offer.name} takes octets, which a query does not hold; use POST"
            raise Problem(400, text, "INVALID_ARGUMENT")
        schema = await self._catalog.schema(offer) or {}
        parameters = schema.get("arguments", {}).get("properties", {})
        return _encode({name: _value(text, parameters.get(name)) for name, text in pairs})


def _frames(headers: Mapping[bytes, bytes], body: bytes) -> bytes | list[bytes]:
    """Return the frames of a request. Raises Problem: its parts cannot be told apart."""
    kind = headers.get(b"content-type", b"")
    if kind[:10].lower() != b"multipart/":
        return body
    try:
        return split_frames(text_of(kind), body)
    except ValueError as error:
        raise Problem(400, str(error), "INVALID_ARGUMENT") from None


def _value(text: str, schema: object) -> object:
    if isinstance(schema, dict) and schema.get("type") == "string":
        return text
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError):
        return text
