"""What a server says about where it can be reached."""

from __future__ import annotations

import pytest

import mesh.hosting
from discovery import Interface
from mesh import Service
from mesh.hosting import ServerParts

LOOPBACK = Interface("lo", 1, ("127.0.0.1/8", "::1/128"))
LAN = Interface("eth0", 2, ("10.0.0.7/24",))


@pytest.mark.parametrize(
    ("interfaces", "hosts"),
    [([LOOPBACK, LAN], ["10.0.0.7"]), ([LOOPBACK], ["127.0.0.1", "::1"])],
    ids=["with a network", "without one"],
)
def test_loopback_is_advertised_only_where_there_is_nothing_else(
    monkeypatch: pytest.MonkeyPatch, interfaces: list[Interface], hosts: list[str]
) -> None:
    monkeypatch.delenv("MESH_INTERFACE")
    monkeypatch.setattr(mesh.hosting, "choose_interfaces", lambda names: interfaces)
    service = Service("calc")

    @service.method
    def nothing() -> None: ...

    parts = ServerParts([service], "tcp://*:0", None, True, None, None, None)
    parts.bind().close()
    assert [address.host for address in parts._advertised.addresses] == hosts
