"""What a server says about where it can be reached."""

from __future__ import annotations

from contextlib import closing

import pytest
import zmq

import mesh.hosting
from discovery import Interface
from discovery.advert import is_wildcard
from mesh import Service
from mesh.hosting import ServerParts

LOOPBACK = Interface("lo", 1, ("127.0.0.1/8", "::1/128"))
LAN = Interface("eth0", 2, ("10.0.0.7/24",))


def parts(bind: str, advertise: bool | str = True) -> ServerParts:
    service = Service("calc")

    @service.method
    def nothing() -> None: ...

    return ServerParts([service], bind, None, advertise, None, None, None)


@pytest.fixture(params=["with a network", "without one"])
def public(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return the address that others dial, of a host with a network and of one without."""
    monkeypatch.delenv("MESH_INTERFACE")
    has_network = request.param == "with a network"
    interfaces = [LOOPBACK, LAN] if has_network else [LOOPBACK]
    monkeypatch.setattr(mesh.hosting, "choose_interfaces", lambda names: interfaces)
    return "10.0.0.7" if has_network else "127.0.0.1"


def test_a_server_on_every_address_has_the_identity_that_others_dial(public: str) -> None:
    server = parts("tcp://*:0")
    with closing(server.bind()) as link:
        identity = link._sock.getsockopt(zmq.ROUTING_ID)
    assert identity.decode().rpartition(":")[0] == f"tcp://{public}", "loopback only where there is nothing else"


def test_a_server_on_every_address_is_advertised_so_for_its_addresses_may_change(public: str) -> None:
    server = parts("tcp://*:0")
    server.bind().close()
    assert is_wildcard(server._advertised)


def test_a_server_on_one_address_is_advertised_with_it() -> None:
    server = parts("tcp://127.0.0.1:0")
    server.bind().close()
    assert [address.host for address in server._advertised.addresses] == ["127.0.0.1"]


def test_a_server_on_the_interfaces_that_were_named_is_advertised_with_their_addresses() -> None:
    server = parts("tcp://*:0")  # with MESH_INTERFACE=127.0.0.1
    server.bind().close()
    assert [address.host for address in server._advertised.addresses] == ["127.0.0.1"]


def test_a_server_that_is_reached_under_another_address_is_advertised_with_that() -> None:
    server = parts("tcp://*:0", advertise="tcp://10.9.9.9:7000")
    server.bind().close()
    assert [str(address) for address in server._advertised.addresses] == ["10.9.9.9:7000"]
