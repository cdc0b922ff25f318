"""Settings that are safe unless told otherwise."""

from __future__ import annotations

from typing import Any

import pytest

from mesh import ConfigError
from mesh.gateway.settings import GatewaySettings


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    assert GatewaySettings(host=host).is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "workbench", "localhost.example", "127.0.0.1.example"])
def test_beyond_loopback_somebody_has_to_show_who_he_is(host: str) -> None:
    with pytest.raises(ConfigError, match="could call every server of this mesh: give --token-file"):
        GatewaySettings(host=host)
    with pytest.raises(ConfigError, match="give --token-file"):
        GatewaySettings(host=host, certificate="cert.pem")
    GatewaySettings(host=host, tokens=(b"0123456789abcdef",))
    GatewaySettings(host=host, certificate="cert.pem", client_authority="ca.pem")


@pytest.mark.parametrize(
    ("given", "complaint"),
    [
        ({"certificate_key": "key.pem"}, "a key without its certificate"),
        ({"client_authority": "ca.pem"}, "clients show certificates under TLS alone"),
    ],
)
def test_settings_that_belong_together(given: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ConfigError, match=complaint):
        GatewaySettings(**given)


@pytest.mark.parametrize(
    ("allow", "method", "allowed"),
    [
        (("*",), "calc.add", True),
        (("*",), "mesh.drain", False),
        (("m*",), "mesh.drain", False),
        (("mesh.p*",), "mesh.ping", True),
        (("mesh.p*",), "mesh.drain", False),
        (("calc.*", "geo.move"), "geo.move", True),
        (("calc.*", "geo.move"), "geo.moved", False),
        (("calc.a?d",), "calc.add", True),
        (("calc.*",), "CALC.add", False),
        ((), "calc.add", False),
    ],
)
def test_patterns_allow_methods_and_never_a_servers_own_by_the_way(
    allow: tuple[str, ...], method: str, allowed: bool
) -> None:
    assert GatewaySettings(allow=allow).allows(method) is allowed


def test_where_the_page_is() -> None:
    assert GatewaySettings().url(8080) == "http://127.0.0.1:8080/"
    assert GatewaySettings(host="::1", certificate="cert.pem").url(1) == "https://[::1]:1/"
