"""uvicorn around the application: it listens before anything else, and stops when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import socket
import ssl
from collections.abc import AsyncIterator, Iterator, Sequence

import uvicorn
from starlette.routing import BaseRoute

from mesh import AsyncClient, ConfigError
from mesh.gateway.app import Gateway
from mesh.gateway.connection import CROWDED, Connection, Crowd
from mesh.gateway.settings import GatewaySettings

__all__ = ["bind", "serve"]

_BACKLOG = 4096
"""Connections that the kernel keeps until they are taken; as many as it may (net.core.somaxconn)."""
_TAKEN = 32
"""Connections that are taken at once. asyncio would take the whole backlog before it reads what the first one says, and
a crowd would have it shown out as silent."""
_DESCRIPTORS_SPARED = 256
"""For the sockets of the mesh and the files of the program."""


class _Server(uvicorn.Server):
    """Leaves signals to its caller: uvicorn raises them once more at the end, and the exit code would be theirs.

    Args:
        config: For uvicorn.
        crowd: Bounds the connections.
    """

    def __init__(self, config: uvicorn.Config, crowd: Crowd) -> None:
        super().__init__(config)
        self._crowd = crowd
        self._handshake_s = crowd.settings.head_timeout_s

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen; uvicorn would take the whole backlog at once, and wait a minute for each handshake of TLS."""
        config, loop = self.config, asyncio.get_running_loop()
        await self.lifespan.startup()
        self.servers = []
        for listening in sockets or ():
            server = await loop.create_server(
                self._connection,
                sock=listening,
                ssl=config.ssl,
                backlog=_TAKEN,
                ssl_handshake_timeout=self._handshake_s if config.ssl else None,
            )
            self.servers.append(server)
            listening.listen(_BACKLOG)
        self.started = True

    def _connection(self) -> Connection:
        return Connection(self._crowd, config=self.config, server_state=self.server_state, app_state={})

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Catch none."""
        yield


def bind(settings: GatewaySettings) -> socket.socket:
    """Return a listening socket. Raises ConfigError: the port is in use, the address is not of this host."""
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, address = found[0]
        # With the protocol named, which create_server() leaves open: asyncio sends at once (TCP_NODELAY) only then.
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise _cannot_listen(settings, error) from None
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen(_BACKLOG)
    except OSError as error:
        listening.close()
        raise _cannot_listen(settings, error) from None
    return listening


def _cannot_listen(settings: GatewaySettings, error: OSError) -> ConfigError:
    return ConfigError(
        f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; "
        "give another address or port with --listen"
    )


@contextlib.asynccontextmanager
async def serve(
    client: AsyncClient, settings: GatewaySettings, listening: socket.socket, routes: Sequence[BaseRoute] = ()
) -> AsyncIterator[None]:
    """Answer requests as long as the block lasts; at its end finish those under way.

    Args:
        client: Makes the calls; stays the caller's.
        settings: Bounds, and whom it answers.
        listening: From `bind`.
        routes: Further ones, such as that of metrics.

    Raises:
        ConfigError: A certificate or key cannot be used, or this process may have too few connections.
    """
    crowd = Crowd(settings)
    gateway = Gateway(client, settings, routes)
    server = _Server(_config(gateway, settings), crowd)
    _check_descriptors(settings)
    async with gateway.running():
        sweeping = asyncio.create_task(crowd.keep())
        serving = asyncio.create_task(server.serve([listening]))
        try:
            yield
        finally:
            gateway.stop()
            server.should_exit = True
            await serving
            sweeping.cancel()
            await asyncio.gather(sweeping, return_exceptions=True)


def _config(gateway: Gateway, settings: GatewaySettings) -> uvicorn.Config:
    config = uvicorn.Config(
        gateway,
        http=Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="error",  # who sends no HTTP is told so; a log that strangers can fill is of no use
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=max(1, int(settings.drain_s)),
        ssl_certfile=settings.certificate or None,
        ssl_keyfile=settings.certificate_key or None,
        ssl_ca_certs=settings.client_authority or None,
        ssl_cert_reqs=ssl.CERT_REQUIRED if settings.client_authority else ssl.CERT_NONE,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        files = [settings.certificate, settings.certificate_key, settings.client_authority]
        raise ConfigError(
            f"{', '.join(filter(None, files))}: {error.strerror or error}; give certificates and their key in PEM"
        ) from None
    return config


def _check_descriptors(settings: GatewaySettings) -> None:
    """Raise ConfigError if this process may have fewer files and sockets than the gateway connections."""
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed != resource.RLIM_INFINITY and allowed < CROWDED * settings.connections_max + _DESCRIPTORS_SPARED:
        raise ConfigError(
            f"this process may have {allowed} files and sockets open, too few for {settings.connections_max} "
            "connections; raise the limit (ulimit -n, in systemd LimitNOFILE=) or give fewer with --max-connections"
        )
