"""The application: every request is checked, calls go the short way, the rest through Starlette's routes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from mesh import AsyncClient
from mesh.gateway.calls import PREFIX, Calls
from mesh.gateway.catalog import Catalog
from mesh.gateway.exchange import Disconnected, respond_problem
from mesh.gateway.guard import Guard
from mesh.gateway.problem import Problem
from mesh.gateway.settings import GatewaySettings
from mesh.gateway.views import Views
from mesh.gateway.watch import Watch

if TYPE_CHECKING:
    from mesh.gateway.later import Later

__all__ = ["Gateway"]

_log = logging.getLogger("mesh.gateway")
_CODES = {404: "NOT_FOUND", 405: "UNIMPLEMENTED"}


class Gateway:
    """An ASGI application that answers HTTP from a mesh, over a `Connection`; enter `running` around its use.

    Args:
        client: Makes the calls.
        settings: Bounds, and whom it answers.
        routes: Further ones, such as that of metrics.
    """

    def __init__(self, client: AsyncClient, settings: GatewaySettings, routes: Sequence[BaseRoute] = ()) -> None:
        host = socket.gethostname()
        self._guard = Guard(settings, host, f"{host}.local")
        self._catalog = Catalog(client)
        self._watch = Watch(client, settings.streams_max)
        self._later = _later(client, self._catalog, settings)
        self._calls = Calls(client, self._catalog, settings, self._later)
        self._views = Views(client, self._catalog, self._watch, settings)
        handlers = {HTTPException: _refused, Problem: _problem, Exception: _failed}
        kept = self._later.routes() if self._later is not None else []
        self._others = Starlette(routes=[*self._views.routes(), *kept, *routes], exception_handlers=handlers)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Follow the servers as long as the block lasts. Raises SpoolError: calls cannot be kept where they should."""
        following = asyncio.create_task(self._catalog.keep())
        try:
            async with self._later.running() if self._later is not None else contextlib.nullcontext():
                yield
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)

    def stop(self) -> None:
        """Be ready no more, and end the streams, which would last for ever."""
        self._views.stopping = True
        self._watch.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            try:
                await self._answer(scope, receive, send)
            except Problem as problem:
                await respond_problem(send, problem)
        except Disconnected:
            pass
        except asyncio.CancelledError:
            if not scope["mesh.connection"].transport.is_closing():
                text = "the gateway stops, and could not wait for the answer any longer"
                await respond_problem(send, Problem(503, text, "UNAVAILABLE"))

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Raises Problem and Disconnected."""
        path = scope["path"]
        headers = dict(scope["headers"])
        self._guard.check(path, headers, (scope.get("server") or ("",))[0])
        try:
            if path.startswith(PREFIX):
                await self._calls(scope, headers, receive)
            else:
                await self._others(scope, receive, send)
        except (Problem, Disconnected):
            raise
        except Exception:
            _log.exception("a fault of the gateway at %s %s", scope["method"], path)
            if path.startswith(PREFIX):  # Starlette has answered already
                raise _fault() from None


def _later(client: AsyncClient, catalog: Catalog, settings: GatewaySettings) -> Later | None:
    if not settings.spool:
        return None
    from mesh.gateway.later import Later  # who keeps no calls needs no SQLite

    return Later(client, catalog, settings)


def _fault() -> Problem:
    return Problem(500, "a fault of the gateway; its log says where, please report it", "INTERNAL")


async def _failed(request: Request, error: Exception) -> Response:
    """Answer what a view could not, for a fault of its own."""
    return await _problem(request, _fault())


async def _problem(request: Request, error: Exception) -> Response:
    """Answer what a view refused."""
    assert isinstance(error, Problem)
    body = error.body()
    return Response(body, error.status, {name.decode(): value.decode() for name, value in error.headers(body)})


async def _refused(request: Request, error: Exception) -> Response:
    """Answer what Starlette refused: a path that there is not, or a verb that it does not take."""
    assert isinstance(error, HTTPException)
    what = f"there is no {request.url.path}; see /openapi.json"
    if error.status_code == 405:
        what = f"{request.url.path} does not take {request.method}"
    code = _CODES.get(error.status_code, "INVALID_ARGUMENT")
    return await _problem(request, Problem(error.status_code, what, code, error.headers))
