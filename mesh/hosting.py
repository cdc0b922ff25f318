"""What both servers are made of: checked settings, a bound socket, a core with the methods, and an advertisement."""

from __future__ import annotations

import logging
import re
import secrets
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import closing

from discovery import (
    Address,
    DiscoveryError,
    Interface,
    MdnsAdvertiser,
    Peer,
    choose_interfaces,
    rank_addresses,
)
from mesh.config import ServerConfig
from mesh.core.figures import ServerFigures
from mesh.core.methods import COROUTINE, INLINE, MethodInfo
from mesh.core.peers import MESH
from mesh.core.server import ServerCore, ServerIdentity
from mesh.environment import chosen_interfaces, chosen_realm
from mesh.errors import ConfigError
from mesh.instruments import instrumented_runner
from mesh.introspection import Introspection
from mesh.io.context import process_mark
from mesh.io.link import AddressInUse, ServerLink
from mesh.io.retry import retrying
from mesh.io.serving import Runner
from mesh.runner import MethodRunner
from mesh.service import Method, Service

__all__ = ["ServerParts"]

_log = logging.getLogger("mesh")
_BIND = re.compile(r"tcp://(?P<host>\[[^\]]+\]|[^:\[\]/]+):(?P<port>\*|\d{1,5})")
_WILDCARD = "*"


class ServerParts:
    """Everything of a server but the way it waits. Raises ConfigError for settings that cannot be used.

    Args:
        services: What it offers; at least one.
        bind: `tcp://HOST:PORT`; port 0 is any free one; host `*` is every address of the chosen interfaces.
        name: For people; made from the first service's name if none is given.
        advertise: Whether to advertise by mDNS; or the endpoint under which others reach this server, where
            that is not what it binds (behind NAT, in a container).
        realm: Name of the mesh.
        interfaces: Names or addresses of interfaces for mDNS and for `*`.
        config: Settings.
    """

    def __init__(
        self,
        services: Sequence[Service],
        bind: str,
        name: str | None,
        advertise: bool | str,
        realm: str | None,
        interfaces: Sequence[str] | None,
        config: ServerConfig | None,
    ) -> None:
        if not services:
            raise ConfigError("a server needs at least one Service: Server(calc)")
        for service in services:
            if not isinstance(service, Service):
                raise ConfigError(f"a server takes Service objects, not {type(service).__name__}")
            if not service.methods:
                raise ConfigError(f"service {service.name!r} has no method; give it one with @{service.name}.method")
        names = [service.name for service in services]
        for service_name in names:
            if names.count(service_name) > 1:
                raise ConfigError(f"service {service_name!r} is given twice")
        parsed = _BIND.fullmatch(bind) if isinstance(bind, str) else None
        if parsed is None or (parsed["port"] != "*" and int(parsed["port"]) > 65535):
            raise ConfigError(f"cannot bind {bind!r}: it does not parse; write tcp://HOST:PORT or tcp://*:0")
        self._host = parsed["host"]
        self._port = 0 if parsed["port"] == "*" else int(parsed["port"])
        self.services: tuple[Service, ...] = tuple(services)
        self.config: ServerConfig = config or ServerConfig()
        self.realm: str = chosen_realm(realm)
        self.peer_id: str = secrets.token_hex(8)
        self.name: str = name if name is not None else f"{names[0]}-{self.peer_id[:4]}"
        self._interfaces = chosen_interfaces(interfaces)
        self._advertise = advertise
        self.mark: int = process_mark()
        """Of the process that made it: nothing of a server survives a fork."""
        self.endpoints: tuple[str, ...] = ()
        """Where it listens, once bound."""
        self.figures: Callable[[], ServerFigures]
        """Returns what the core has counted and measured, once there is one; in the thread or loop that serves."""
        self.methods: dict[str, Method] = {
            full_name: method for service in services for full_name, method in service.methods.items()
        }
        default = self.config.default_method
        if default and default not in self.methods:
            raise ConfigError(f"default_method {default!r} is not a method of this server")
        self._advertised = self._peer(Address("127.0.0.1", 1))  # names are checked before anything is opened

    def bind(self) -> ServerLink:
        """Return a bound socket. Raises ConfigError: the port is in use, the address is not of this host."""
        if self._port:
            # ZeroMQ gives a port back a moment after its socket was closed: the predecessor may have just stopped.
            return retrying(lambda: self._bind(self._port), on=AddressInUse)
        return retrying(lambda: self._bind(_free_port(self._hosts()[0])), on=AddressInUse)

    def core(self) -> ServerCore:
        """Return the core that decides for this server."""
        lanes = {COROUTINE: self.config.coroutines_max, **self.threads()}
        identity = ServerIdentity(
            peer_id=self.peer_id,
            name=self.name,
            realm=self.realm,
            version=self.services[0].version,
            boot=secrets.randbelow(2**32 - 1) + 1,
        )
        methods = {
            name: MethodInfo(self._lane(method), method.idempotent, method.raw) for name, method in self.methods.items()
        }
        names = tuple(service.name for service in self.services)
        core = ServerCore(identity, methods, lanes, self.config, services=names, started_at=time.monotonic())
        introspection = Introspection(identity, self.services, core, self.config)
        introspection.offer()
        self.figures = introspection.figures
        return core

    def runner(self) -> Runner:
        """Return what runs the handlers."""
        return instrumented_runner(MethodRunner(self.methods, self.config.expose_tracebacks))

    def threads(self) -> dict[str, int]:
        """Return the size of each pool of threads, by lane."""
        return {
            f"threads-{service.name}": service.threads
            for service in self.services
            if any(method.lane == "threaded" for method in service.methods.values())
        }

    def advertise(self) -> MdnsAdvertiser | None:
        """Make this server known, if it is to be. Raises DiscoveryError: mDNS cannot be used here."""
        if not self._advertise:
            return None
        interfaces = self._interfaces
        if interfaces is None and all(_is_loopback(endpoint) for endpoint in self.endpoints):
            interfaces = ["127.0.0.1"]  # nobody outside could reach it
        advertiser = MdnsAdvertiser(interfaces)
        advertiser.start(self._advertised)
        return advertiser

    def _lane(self, method: Method) -> str:
        if method.lane == "threaded":
            return f"threads-{method.service}"
        return COROUTINE if method.lane == "coroutine" else INLINE

    def _hosts(self) -> list[str]:
        """Hosts to bind: the given one, or for `*` the addresses of the interfaces that were named."""
        if self._host != _WILDCARD or self._interfaces is None:
            return [self._host]
        return [f"[{address}]" if ":" in address else address for address in _scoped(self._chosen())]

    def _chosen(self) -> list[Interface]:
        try:
            return choose_interfaces(self._interfaces)
        except DiscoveryError as error:
            raise ConfigError(str(error)) from None

    def _bind(self, port: int) -> ServerLink:
        hosts = self._hosts()
        public = self._public(hosts, port)
        link = ServerLink(self.config.limits)
        try:
            for host in hosts:
                link.bind(f"tcp://{host}:{port}", f"tcp://{public[0]}")
        except BaseException:
            link.close()
            raise
        self.endpoints = tuple(f"tcp://{host}:{port}" for host in hosts)
        # A wildcard stays one: its advertiser follows the addresses of the host, which may change.
        follows = hosts == [_WILDCARD] and not isinstance(self._advertise, str)
        self._advertised = self._peer(*([Address(_WILDCARD, port)] if follows else public))
        if not all(_is_loopback(endpoint) for endpoint in self.endpoints):
            _log.warning(
                "%s listens on %s: whoever reaches it can call it, for the mesh has no keys",
                self.name,
                ", ".join(self.endpoints),
            )
        return link

    def _public(self, hosts: list[str], port: int) -> list[Address]:
        """Addresses that others dial, best first."""
        try:
            if isinstance(self._advertise, str):
                return [Address.parse(self._advertise.removeprefix("tcp://"))]
            if hosts != [_WILDCARD]:
                return [Address.parse(f"{host}:{port}") for host in hosts]
            interfaces = self._chosen()
            found = [Address(address, port) for address in _scoped(interfaces)]
            # On another host, our loopback would lead to whoever has the port there.
            beyond = [address for address in found if not _is_loopback(f"tcp://{address}")]
            return rank_addresses(beyond or found, interfaces)
        except DiscoveryError as error:
            raise ConfigError(str(error)) from None

    def _peer(self, *addresses: Address) -> Peer:
        properties = {"proto": MESH, "ver": self.services[0].version}
        if self.realm != "default":
            properties["realm"] = self.realm
        try:
            return Peer(
                peer_id=self.peer_id,
                name=self.name,
                services=tuple(service.name for service in self.services),
                addresses=addresses,
                properties=properties,
            )
        except DiscoveryError as error:
            raise ConfigError(str(error)) from None


def _scoped(interfaces: Sequence[Interface]) -> list[str]:
    """Return the addresses of interfaces; the link-local ones of IPv6 mean nothing without their scope (RFC 4007)."""
    return [
        f"{address}%{interface.name}" if address.startswith("fe80:") else address
        for interface in interfaces
        for address in interface.addresses
    ]


def _is_loopback(endpoint: str) -> bool:
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    return host == "localhost" or host == "::1" or host.startswith("127.")


def _free_port(host: str) -> int:
    """Return a port that is free now. It must be known before the bind: it is part of the socket's identity."""
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    address = "" if host == _WILDCARD else host.strip("[]")
    try:
        with closing(socket.socket(family)) as probe:
            probe.bind((address, 0))
            return int(probe.getsockname()[1])
    except OSError as error:
        raise ConfigError(
            f"cannot bind tcp://{host}:0: {error.strerror or error}; give an address of this host, or tcp://*:0"
        ) from None
