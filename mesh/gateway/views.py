"""What is told about the mesh: services, servers, events, health, the API's description, and the page."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from mesh import AsyncClient
from mesh.gateway.catalog import Catalog, Offer
from mesh.gateway.openapi import document
from mesh.gateway.settings import GatewaySettings
from mesh.gateway.watch import Watch

__all__ = ["Views"]

_PAGE = Path(__file__).parent / "page"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_POLICY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}
_FRESH = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
_encode = msgspec.json.Encoder().encode


class Views:
    """Answers requests for what is known.

    Args:
        client: Sees the servers.
        catalog: Knows the methods.
        watch: Follows what happens.
        settings: Bounds, and which methods may be called.
    """

    def __init__(self, client: AsyncClient, catalog: Catalog, watch: Watch, settings: GatewaySettings) -> None:
        self._client = client
        self._catalog = catalog
        self._watch = watch
        self._settings = settings
        self._version = version("freelance-mesh")
        self.stopping: bool = False
        """Whether the gateway ends, and nobody new should be sent to it."""

    def routes(self) -> list[Route]:
        """Return where each is found."""
        told: dict[str, Callable[[Request], Awaitable[Response]]] = {
            "/v1/services": self.services,
            "/v1/servers": self.servers,
            "/v1/events": self.events,
            "/openapi.json": self.openapi,
            "/healthz": self.healthz,
            "/readyz": self.readyz,
        }
        files = [Route(path, _file(name, kind)) for path, (name, kind) in _FILES.items()]
        return [Route(path, view) for path, view in told.items()] + files

    async def services(self, request: Request) -> Response:
        """Tell the services that are offered now, with the methods that may be called."""
        await self._catalog.refresh()
        told = [dataclasses.asdict(service) for service in self._catalog.services()]
        for service in told:
            service["methods"] = [offer for offer in service["methods"] if self._settings.allows(offer["name"])]
        return _json({"services": told})

    async def servers(self, request: Request) -> Response:
        """Tell every server that is known, as `mesh ls --json` does."""
        servers = sorted(self._client.servers(), key=lambda view: (view.name, view.peer_id))
        return _json({"servers": [view for view in servers if view.state != "ignored"]})

    async def events(self, request: Request) -> Response:
        """Stream what happens; `?screens=1` everything there is to show as well, once a second."""
        self._watch.check_room()
        stream = self._watch.stream(screens=request.query_params.get("screens") == "1")
        # What stands between would gather it up (X-Accel-Buffering is nginx's word for not to).
        return StreamingResponse(stream, media_type="text/event-stream", headers={**_FRESH, "x-accel-buffering": "no"})

    async def openapi(self, request: Request) -> Response:
        """Describe what can be called now."""
        await self._catalog.refresh()
        offers = [offer for service in self._catalog.services() for offer in service.methods]
        described = [(offer, await self._schema(offer)) for offer in offers if self._settings.allows(offer.name)]
        return _json(
            document(
                described,
                version=self._version,
                timeout_s_max=self._settings.timeout_s_max,
                secured=bool(self._settings.tokens),
                keeps=bool(self._settings.spool),
            )
        )

    async def healthz(self, request: Request) -> Response:
        """Tell that the gateway turns."""
        return PlainTextResponse("ok\n", headers=_FRESH)

    async def readyz(self, request: Request) -> Response:
        """Tell whether a call has a server that could take it."""
        alive = sum(view.state == "alive" for view in self._client.servers())
        if self.stopping:
            return PlainTextResponse("stopping\n", 503, headers=_FRESH)
        if not alive:
            return PlainTextResponse("no server is alive\n", 503, headers={**_FRESH, "retry-after": "1"})
        return PlainTextResponse(f"servers alive: {alive}\n", headers=_FRESH)

    async def _schema(self, offer: Offer) -> dict[str, Any] | None:
        return None if offer.raw else await self._catalog.schema(offer)


def _json(value: object) -> Response:
    return Response(_encode(value), media_type="application/json", headers=_FRESH)


def _file(name: str, kind: str) -> Callable[[Request], Awaitable[Response]]:
    """Return the view of one file of the page, which is read once."""
    content = (_PAGE / name).read_bytes()
    tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
    headers = {**_POLICY, "etag": tag, "content-type": kind}

    async def view(request: Request) -> Response:
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(content, headers=headers)

    return view
