"""Calls for later: with `Prefer: respond-async` (RFC 7240) a call is kept on disk, and its URL tells the rest."""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mesh import AsyncClient, MeshError, NoServer, OutcomeUnknown, RemoteError, SpoolError, SpoolFull, Status
from mesh.gateway.answers import COMMON, answer_of
from mesh.gateway.catalog import Catalog
from mesh.gateway.problem import Problem, problem_of
from mesh.gateway.settings import GatewaySettings
from mesh.spool.deferred import Contract, DeferredCalls
from mesh.spool.outcomes import DeferredOutcome

__all__ = ["Later"]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,62}\.[A-Za-z0-9_.-]+")
_APPLIED = (b"preference-applied", b"respond-async")
_HEADERS = {name.decode(): value.decode() for name, value in COMMON}
_encode = msgspec.json.Encoder().encode


class Later:
    """Keeps calls, and tells what became of them; `running` has to be entered around its use.

    Args:
        client: Makes the calls.
        catalog: Knows the methods.
        settings: Where they are kept, and how long one may take.
    """

    def __init__(self, client: AsyncClient, catalog: Catalog, settings: GatewaySettings) -> None:
        self._client = client
        self._catalog = catalog
        self._calls = DeferredCalls(
            Path(settings.spool),
            client,
            self._look_up,
            try_s=settings.timeout_s_max,
            drain_s=settings.drain_s,
        )

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make the calls that wait, as long as the block lasts. Raises SpoolError: the directory cannot be used."""
        async with self._calls:
            yield

    def routes(self) -> list[Route]:
        """Return where a call is found again."""
        return [Route("/v1/calls/{id}", self.state), Route("/v1/calls/{id}/answer", self.answer)]

    async def accept(
        self,
        method: str,
        frames: bytes | Sequence[bytes],
        key: str | None,
        metadata: Mapping[str, str] | None,
        within_s: float | None,
        waits_s: float,
    ) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        """Keep a call, and wait a moment for its end; return status, headers and body of the response.

        Raises:
            Problem: It is not kept, or it has failed meanwhile.
        """
        if not _NAME.fullmatch(method):
            raise Problem(400, f"{method[:100]!r} is no method; write /v1/call/SERVICE/METHOD", "INVALID_ARGUMENT")
        parts = [frames] if isinstance(frames, bytes) else frames
        try:
            name = await self._calls.put(method, parts, key=(key or "").encode(), metadata=metadata, within_s=within_s)
            outcome = await self._calls.outcome(name, within_s=waits_s)
        except SpoolError as error:
            raise _not_kept(error) from None
        assert outcome is not None, "it was kept a moment ago"
        if outcome.ended_at and waits_s:
            kind, body = _answered(outcome)
            return 200, [(b"content-type", kind), _length(body), *COMMON], body
        body = _told(outcome)
        location = (b"location", f"/v1/calls/{name}".encode())
        return 202, [(b"content-type", b"application/json"), _length(body), location, _APPLIED, *COMMON], body

    async def state(self, request: Request) -> Response:
        """Tell how a call stands."""
        return Response(_told(await self._find(request)), media_type="application/json", headers=_HEADERS)

    async def answer(self, request: Request) -> Response:
        """Answer as the call was answered, or with 202 as long as it was not."""
        outcome = await self._find(request)
        if not outcome.ended_at:
            headers = {**_HEADERS, "retry-after": "1"}
            return Response(_told(outcome), 202, media_type="application/json", headers=headers)
        kind, body = _answered(outcome)
        return Response(body, headers={**_HEADERS, "content-type": kind.decode()})

    async def _find(self, request: Request) -> DeferredOutcome:
        try:
            outcome = await self._calls.outcome(request.path_params["id"])
        except SpoolError as error:
            raise _not_kept(error) from None
        if outcome is None:
            raise Problem(404, "there is no such call, or its outcome is forgotten", "NOT_FOUND")
        return outcome

    async def _look_up(self, method: str) -> Contract:
        """Return what is known of a method. Raises NoServer: nobody is there who offers it."""
        offer = self._catalog.offer(method) or await self._catalog.learn(method)
        if offer is not None:
            return Contract(repeats=offer.idempotent, raw=offer.raw)
        service = method.partition(".")[0]
        views = [view for view in self._client.servers() if view.state == "alive" and service in view.services]
        if not views:
            raise NoServer(f"{method}: no server that offers {service} is alive.", method=method)
        # A server of another protocol does not tell what it offers; the others have no such method, and will say so.
        return Contract(repeats=True, raw=True)


def _answered(outcome: DeferredOutcome) -> tuple[bytes, bytes]:
    """Return type and body of the answer of a call that has ended. Raises Problem: it failed."""
    try:
        if outcome.state == "answered":
            return answer_of(outcome, outcome.method, raw=outcome.raw)
        raise _error_of(outcome)
    except MeshError as error:
        raise problem_of(error) from None


def _error_of(outcome: DeferredOutcome) -> MeshError:
    if outcome.type == OutcomeUnknown.__name__:
        return OutcomeUnknown(outcome.problem, method=outcome.method)
    return RemoteError(outcome.problem, code=Status[outcome.code], type=outcome.type, method=outcome.method)


def _told(outcome: DeferredOutcome) -> bytes:
    told: dict[str, Any] = {
        "id": outcome.id,
        "method": outcome.method,
        "state": outcome.state,
        "put_at": outcome.put_at,
        "tries": outcome.tries,
        "url": f"/v1/calls/{outcome.id}",
    }
    if outcome.problem:
        told["problem"] = outcome.problem
    if outcome.code:
        told["code"] = outcome.code
    if outcome.ended_at:
        told["ended_at"] = outcome.ended_at
        told["answer"] = f"/v1/calls/{outcome.id}/answer"
    return _encode(told)


def _length(body: bytes) -> tuple[bytes, bytes]:
    return b"content-length", b"%d" % len(body)


def _not_kept(error: SpoolError) -> Problem:
    code = Status.RESOURCE_EXHAUSTED if isinstance(error, SpoolFull) else Status.UNAVAILABLE
    return Problem(503, str(error), code.name)
