"""Who is answered: the Host that a request names, the site it comes from, and the token it brings."""

from __future__ import annotations

import hmac
import ipaddress
from collections.abc import Mapping

from mesh.gateway.headers import text_of
from mesh.gateway.problem import Problem
from mesh.gateway.settings import GatewaySettings

__all__ = ["Guard"]

_OPEN = ("/healthz", "/readyz")
_SECRET = ("/v1/", "/openapi.json", "/metrics")
"""What tells of the mesh, or moves it; the files of the page are the same everywhere."""
_OWN_SITES = (b"same-origin", b"none")
"""Values of Sec-Fetch-Site (W3C Fetch Metadata) for pages of this gateway, and for what a person typed."""
_REMEMBERED_MAX = 256


class Guard:
    """Refuses requests that it raises a Problem for.

    Args:
        settings: Names and tokens.
        names: Names of this host.
    """

    def __init__(self, settings: GatewaySettings, *names: str) -> None:
        self._names = {name.lower().rstrip(".") for name in ("localhost", settings.host, *names, *settings.hosts)}
        self._tokens = settings.tokens
        self._own_hosts: set[tuple[bytes, str]] = set()
        """What was looked at and found to be this gateway; so few that nobody can fill the memory with them."""

    def check(self, path: str, headers: Mapping[bytes, bytes], address: str) -> None:
        """Refuse a request that is none for this gateway.

        Args:
            path: What it asks for.
            headers: Names in lower case.
            address: Address of this machine that it came to.

        Raises:
            Problem: 400 without Host, 421 for that of another, 403 from the page of another site, 401 without a token.
        """
        host = headers.get(b"host", b"")
        if (host, address) not in self._own_hosts:
            self._check_host(host, address)
        if path in _OPEN or not path.startswith(_SECRET):
            return
        site = headers.get(b"sec-fetch-site", b"none")
        origin = headers.get(b"origin")
        if site not in _OWN_SITES or (origin is not None and origin.partition(b"//")[2] != host):
            text = "pages of other sites may not use this gateway; ask it from a page of its own, or from a program"
            raise Problem(403, text, "PERMISSION_DENIED")
        if self._tokens:
            self._check_token(headers.get(b"authorization", b""))

    def _check_host(self, host: bytes, address: str) -> None:
        text = text_of(host).lower()
        if not text:
            raise Problem(400, "the request has no Host; HTTP/1.1 asks for one", "INVALID_ARGUMENT")
        name, _, port = text.rpartition(":") if text[-1] != "]" and ":" in text else (text, "", "")
        name = name.rstrip(".")
        own = name in self._names or self._is_address(name.strip("[]"), address)
        if not own or not (port.isdigit() or not port):
            raise Problem(
                421,
                f"Host: {text[:200]!r} is not this gateway; if it is one of its names, start it with --host NAME",
                "PERMISSION_DENIED",
            )
        if len(self._own_hosts) < _REMEMBERED_MAX:
            self._own_hosts.add((host, address))

    @staticmethod
    def _is_address(text: str, address: str) -> bool:
        """Tell whether a Host is the address of this machine that was asked: no name leads there, whoever owns it."""
        try:
            return ipaddress.ip_address(text) == ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            return False

    def _check_token(self, given: bytes) -> None:
        scheme, _, token = given.partition(b" ")
        # Each is compared, and in the same time whatever it has in common with what was given.
        found = [hmac.compare_digest(token.strip(), known) for known in self._tokens]
        if scheme.lower() != b"bearer" or not any(found):
            what = "the token is not known" if given else "a token is needed"
            challenge = 'Bearer realm="mesh"' + (', error="invalid_token"' if given else "")
            raise Problem(
                401, f"{what}; send Authorization: Bearer TOKEN", "UNAUTHENTICATED", {"www-authenticate": challenge}
            )
