"""Settings of a gateway: frozen, checked once, safe unless told otherwise."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from fnmatch import fnmatchcase

from mesh import ConfigError

__all__ = ["GatewaySettings"]

_MIB = 1024 * 1024
_RESERVED = "mesh."


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """Where a gateway listens, whom it answers, and what one request may take.

    Raises ConfigError for settings that cannot be used, and for those that would open the mesh to strangers.
    """

    host: str = "127.0.0.1"
    """Address or name to listen on."""
    port: int = 8080
    """TCP port; 0 is any free one."""
    tokens: tuple[bytes, ...] = ()
    """Bearer tokens (RFC 6750), one of which a request has to bring; empty: none is asked for."""
    certificate: str = ""
    """File with the certificate chain in PEM; empty: no TLS."""
    certificate_key: str = ""
    """File with its private key; empty: it is in the same file."""
    client_authority: str = ""
    """File with the certificates of those who sign the clients'; given, a client without a certificate is refused."""
    hosts: tuple[str, ...] = ()
    """Names under which this gateway is reached, beside localhost, this host's name and the address in use. A page of
    another site whose name leads here (DNS rebinding) is refused."""
    allow: tuple[str, ...] = ("*",)
    """Methods that may be called, with * and ? as in a shell. What begins with `mesh.` is a server's own, and is meant
    by patterns alone that begin so."""
    timeout_s_max: float = 300.0
    """Longest deadline that a caller may give."""
    spool: str = ""
    """Directory for calls that are to be answered later; empty: there are none."""
    body_max: int = 16 * _MIB
    """Octets of one request body."""
    bodies_max: int = 256 * _MIB
    """Octets of all larger bodies, of requests and answers, that are held at the same time; beyond it they are refused
    with 503."""
    head_max: int = 16 * 1024
    """Octets of the request line and headers."""
    headers_max: int = 64
    """Header fields of one request."""
    connections_max: int = 1000
    """Connections at the same time. Beyond it the one goes that has kept the gateway waiting longest; twice as many
    there may be for moments, while all are busy."""
    streams_max: int = 100
    """Readers of the stream of events at the same time."""
    head_timeout_s: float = 10.0
    """Longest time a connection may take for the head of a request, from its beginning on."""
    body_timeout_s: float = 60.0
    """Longest time it may take for the body after that."""
    idle_timeout_s: float = 75.0
    """How long a connection without a request is kept."""
    write_timeout_s: float = 30.0
    """How long a caller may read nothing of what is ready for it."""
    drain_s: float = 10.0
    """Longest time that calls under way have when the gateway stops."""

    def __post_init__(self) -> None:
        if self.certificate_key and not self.certificate:
            raise ConfigError("a key without its certificate: give --cert as well")
        if self.client_authority and not self.certificate:
            raise ConfigError("clients show certificates under TLS alone: give --cert and --key as well")
        if not self.is_loopback and not self.tokens and not self.client_authority:
            raise ConfigError(
                f"whoever reaches {self.host} could call every server of this mesh: give --token-file, "
                "or --cert with --client-ca, or listen on 127.0.0.1"
            )

    @property
    def is_loopback(self) -> bool:
        """Whether nobody beyond this machine can reach it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def url(self, port: int) -> str:
        """Return where the page is, if it listens on this port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.certificate else 'http'}://{host}:{port}/"

    def allows(self, method: str) -> bool:
        """Tell whether the method of this full name may be called."""
        reserved = method.startswith(_RESERVED)
        return any(
            fnmatchcase(method, pattern) for pattern in self.allow if not reserved or pattern.startswith(_RESERVED)
        )
