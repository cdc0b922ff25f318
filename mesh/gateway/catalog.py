"""What the live servers offer, learnt from themselves: every server is asked once, for what it offers never changes."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from mesh import AsyncClient, MeshError, ServerView

__all__ = ["Catalog", "Offer", "ServiceOffer"]

_REFRESH_S = 1.0
_ANSWER_S_MAX = 2.0
_ASKED = ("alive", "suspect", "ejected", "draining")
_FLAG = "true"
_NAME = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+")


@dataclass(frozen=True, slots=True)
class Offer:
    """One method as a server describes it."""

    name: str
    """Full name, `service.method`."""
    service: str
    signature: str
    description: str
    raw: bool
    idempotent: bool
    read_only: bool


@dataclass(frozen=True, slots=True)
class ServiceOffer:
    """One service, as its live servers describe it."""

    name: str
    versions: tuple[str, ...]
    description: str
    servers: tuple[str, ...]
    """Names of those that offer it."""
    methods: tuple[Offer, ...]
    """In the order of their declaration; none are known of a server that speaks another protocol than mesh/1."""


class _ServiceTold(msgspec.Struct):
    name: str
    version: str = ""
    description: str = ""


class _EndpointTold(msgspec.Struct):
    subject: str
    queue_group: str
    metadata: dict[str, str]


class _Told(msgspec.Struct):
    """What is used of the answer to `mesh.info`."""

    services: list[_ServiceTold] = []
    endpoints: list[_EndpointTold] = []


@dataclass(frozen=True, slots=True)
class _Server:
    """What one server has told."""

    services: tuple[_ServiceTold, ...]
    offers: Mapping[str, Offer]


class Catalog:
    """Knows the methods of every live server; `keep` has to run.

    Args:
        client: Sees the servers, and asks them.
    """

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._servers: dict[str, _Server] = {}
        self._offers: dict[str, Offer] = {}
        self._schemas: dict[Offer, dict[str, Any]] = {}
        self._refreshing: asyncio.Task[None] | None = None

    def offer(self, name: str, peer_id: str = "") -> Offer | None:
        """Return the method of this name as this server has it, or the newest that is known; None: nobody told."""
        server = self._servers.get(peer_id)
        return self._offers.get(name) if server is None else server.offers.get(name)

    async def learn(self, name: str) -> Offer | None:
        """Do what `offer` does; if nobody has told of it, first ask those who offer the service and were not asked."""
        service = name.partition(".")[0]
        for _ in range(2):  # a round that was under way may have begun before the server was there
            if name in self._offers or not any(service in view.services for view in self._new()):
                break
            await self.refresh()
        return self._offers.get(name)

    def services(self) -> list[ServiceOffer]:
        """Return the services of the servers that are there, by name."""
        servers = [view for view in self._client.servers() if view.state in _ASKED]
        names = sorted({name for view in servers for name in view.services})
        return [self._service(name, [view for view in servers if name in view.services]) for name in names]

    async def schema(self, offer: Offer) -> dict[str, Any] | None:
        """Return JSON Schema of a method; None if no server tells it."""
        found = self._schemas.get(offer)
        if found is None:
            peers = [peer_id for peer_id, server in self._servers.items() if server.offers.get(offer.name) == offer]
            for peer_id in peers:
                try:
                    told = await self._client.call("mesh.describe", offer.name, peer=peer_id, timeout=_ANSWER_S_MAX)
                    found = msgspec.convert(told["schema"], dict[str, Any])
                except (MeshError, msgspec.ValidationError, LookupError, TypeError):
                    continue
                self._schemas[offer] = found
                break
        return found

    async def keep(self) -> None:
        """Follow the servers as they come and go, until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(_REFRESH_S)

    async def refresh(self) -> None:
        """Ask the servers that were not asked yet; several who want it wait for the same."""
        if self._refreshing is None:
            self._refreshing = asyncio.create_task(self._refresh())
        await asyncio.shield(self._refreshing)

    async def _refresh(self) -> None:
        try:
            there = {view.peer_id for view in self._client.servers() if view.state in _ASKED}
            self._servers = {peer_id: told for peer_id, told in self._servers.items() if peer_id in there}
            new = self._new()
            for view, told in zip(new, await asyncio.gather(*map(self._ask, new)), strict=True):
                if told is not None:
                    self._servers[view.peer_id] = told
            # Of servers that differ, the one that came last is the newest.
            self._offers = {name: offer for server in self._servers.values() for name, offer in server.offers.items()}
            known = set(self._offers.values())
            self._schemas = {offer: schema for offer, schema in self._schemas.items() if offer in known}
        finally:
            self._refreshing = None

    def _new(self) -> list[ServerView]:
        """Return the servers that were not asked yet, and can be."""
        return [
            view
            for view in self._client.servers()
            if view.state in _ASKED and view.proto == "mesh/1" and view.peer_id not in self._servers
        ]

    async def _ask(self, view: ServerView) -> _Server | None:
        """Return what a server tells; nothing of it if it cannot be read; None if it does not answer."""
        try:
            answer = await self._client.call("mesh.info", peer=view.peer_id, timeout=_ANSWER_S_MAX)
        except MeshError:
            return None
        try:
            told = msgspec.convert(answer, _Told)
        except msgspec.ValidationError:
            return _Server((), {})
        offers = [_offer(endpoint) for endpoint in told.endpoints if _NAME.fullmatch(endpoint.subject)]
        return _Server(tuple(told.services), {offer.name: offer for offer in offers})

    def _service(self, name: str, views: list[ServerView]) -> ServiceOffer:
        told = [
            service
            for view in views
            if (server := self._servers.get(view.peer_id)) is not None
            for service in server.services
            if service.name == name
        ]
        return ServiceOffer(
            name=name,
            versions=tuple(sorted({service.version for service in told})),
            description=next((service.description for service in told if service.description), ""),
            servers=tuple(sorted(view.name for view in views)),
            methods=tuple(offer for offer in self._offers.values() if offer.service == name),
        )


def _offer(endpoint: _EndpointTold) -> Offer:
    said = endpoint.metadata
    return Offer(
        name=endpoint.subject,
        service=endpoint.queue_group,
        signature=said.get("signature", endpoint.subject),
        description=said.get("description", ""),
        raw=said.get("raw") == _FLAG,
        idempotent=said.get("idempotent") == _FLAG,
        read_only=said.get("read_only") == _FLAG,
    )
