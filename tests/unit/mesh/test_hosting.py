"""What a server is made of: where it binds, what it says about itself, and in which lanes its methods run."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import closing
from typing import Any

import pytest
import zmq

import mesh.hosting
from discovery import Interface, Peer
from discovery.advert import is_wildcard
from mesh import ConfigError, Server, ServerConfig, Service
from mesh.core.methods import COROUTINE, INLINE
from mesh.hosting import ServerParts
from tests.helpers import free_port

LOOPBACK = Interface("lo", 1, ("127.0.0.1/8", "::1/128"))
LAN = Interface("eth0", 2, ("10.0.0.7/24",))


def calc(name: str = "calc", **settings: Any) -> Service:
    service = Service(name, **settings)

    @service.method
    def nothing() -> None: ...

    return service


def parts(bind: str = "tcp://127.0.0.1:0", *services: Service, **settings: Any) -> ServerParts:
    given = {"name": None, "advertise": True, "realm": None, "interfaces": None, "config": None, **settings}
    return ServerParts(services or [calc()], bind, **given)


def bound(server: ServerParts) -> ServerParts:
    server.bind().close()
    return server


class Advertiser:
    """Stands for the advertiser of mDNS and notes what it is told."""

    def __init__(self, interfaces: Sequence[str] | None) -> None:
        self.interfaces = interfaces

    def start(self, peer: Peer) -> None:
        self.peer = peer


def advertiser_of(server: ServerParts, monkeypatch: pytest.MonkeyPatch) -> Advertiser:
    monkeypatch.setattr(mesh.hosting, "MdnsAdvertiser", Advertiser)
    advertiser = server.advertise()
    assert isinstance(advertiser, Advertiser)
    return advertiser


# -- where it binds


@pytest.mark.parametrize("port", ["0", "*"])
def test_any_free_port(port: str) -> None:
    server = bound(parts(f"tcp://127.0.0.1:{port}"))
    (endpoint,) = server.endpoints
    assert endpoint.startswith("tcp://127.0.0.1:")
    assert 0 < int(endpoint.rpartition(":")[2]) < 65536


def test_a_port_that_was_given() -> None:
    endpoint = f"tcp://127.0.0.1:{free_port()}"
    assert bound(parts(endpoint)).endpoints == (endpoint,)


def test_a_free_port_that_somebody_takes_first_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        free = free_port()
        ports = iter([other.getsockname()[1], free])
        monkeypatch.setattr(mesh.hosting, "_free_port", lambda host: next(ports))
        assert bound(parts()).endpoints == (f"tcp://127.0.0.1:{free}",)


def test_every_address_of_the_chosen_interfaces_on_one_port(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Interface("lo", 1, ("127.0.0.1/8", "127.0.0.2/8"))
    monkeypatch.setattr(mesh.hosting, "choose_interfaces", lambda names: [chosen] if names == ["lo"] else [])
    server = bound(parts("tcp://*:0", interfaces=["lo"]))
    (port,) = {endpoint.rpartition(":")[2] for endpoint in server.endpoints}
    assert server.endpoints == (f"tcp://127.0.0.1:{port}", f"tcp://127.0.0.2:{port}")
    assert [str(address) for address in server._advertised.addresses] == [f"127.0.0.1:{port}", f"127.0.0.2:{port}"]


def test_nothing_stays_open_where_one_address_cannot_be_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = Interface("lo", 1, ("127.0.0.1/8", "203.0.113.7/24"))
    monkeypatch.setattr(mesh.hosting, "choose_interfaces", lambda names: [chosen])
    with pytest.raises(ConfigError, match=r"cannot bind tcp://203\.0\.113\.7:\d+"):
        parts("tcp://*:0").bind()


def test_an_interface_that_is_not_there() -> None:
    with pytest.raises(ConfigError, match="nope0"):
        parts("tcp://*:0", interfaces=["nope0"]).bind()


def test_whoever_listens_beyond_this_host_is_warned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    bound(parts())
    assert caplog.messages == []
    monkeypatch.delenv("MESH_INTERFACE")
    server = bound(parts("tcp://*:0"))
    assert caplog.messages == [
        f"{server.name} listens on {server.endpoints[0]}: whoever reaches it can call it, for the mesh has no keys"
    ]


# -- where others reach it


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
    assert isinstance(identity, bytes)
    assert identity.decode().rpartition(":")[0] == f"tcp://{public}", "loopback only where there is nothing else"


def test_a_server_where_all_addresses_are_link_local_has_one_with_its_scope(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESH_INTERFACE")
    near = Interface("eth0", 2, ("fe80::7/64",))
    monkeypatch.setattr(mesh.hosting, "choose_interfaces", lambda names: [LOOPBACK, near])
    with closing(parts("tcp://*:0").bind()) as link:
        identity = link._sock.getsockopt(zmq.ROUTING_ID)
    assert isinstance(identity, bytes)
    assert identity.decode().startswith("tcp://[fe80::7%eth0]:")


def test_a_server_on_every_address_is_advertised_so_for_its_addresses_may_change(public: str) -> None:
    server = bound(parts("tcp://*:0"))
    assert is_wildcard(server._advertised)


def test_a_server_on_one_address_is_advertised_with_it() -> None:
    server = bound(parts())
    assert [address.host for address in server._advertised.addresses] == ["127.0.0.1"]


def test_a_server_on_the_interfaces_that_were_named_is_advertised_with_their_addresses() -> None:
    server = bound(parts("tcp://*:0"))  # with MESH_INTERFACE=127.0.0.1
    assert [address.host for address in server._advertised.addresses] == ["127.0.0.1"]


def test_a_server_that_is_reached_under_another_address_is_advertised_with_that() -> None:
    server = bound(parts("tcp://*:0", advertise="tcp://10.9.9.9:7000"))
    assert [str(address) for address in server._advertised.addresses] == ["10.9.9.9:7000"]


def test_an_address_to_advertise_that_does_not_parse() -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        parts(advertise="nowhere").bind()


def test_a_server_on_loopback_is_made_known_on_loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESH_INTERFACE")
    advertiser = advertiser_of(bound(parts()), monkeypatch)
    assert advertiser.interfaces == ["127.0.0.1"]


def test_a_server_on_every_address_is_made_known_wherever_mdns_leads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MESH_INTERFACE")
    advertiser = advertiser_of(bound(parts("tcp://*:0")), monkeypatch)
    assert advertiser.interfaces is None


def test_a_server_is_made_known_on_the_interfaces_that_were_named(monkeypatch: pytest.MonkeyPatch) -> None:
    server = bound(parts(interfaces=["lo"]))
    assert advertiser_of(server, monkeypatch).interfaces == ["lo"]


def test_a_server_that_is_not_to_be_advertised_is_not() -> None:
    assert bound(parts(advertise=False)).advertise() is None


# -- what it says about itself


def test_a_name_is_made_from_the_first_service_and_the_id() -> None:
    server = parts("tcp://127.0.0.1:0", calc("geo"), calc())
    assert server.name == f"geo-{server.peer_id[:4]}"
    assert parts(name="front desk").name == "front desk"


def test_the_advertisement_names_services_protocol_and_version(monkeypatch: pytest.MonkeyPatch) -> None:
    server = bound(parts("tcp://127.0.0.1:0", calc("geo", version="2.1.0"), calc(), name="desk", realm="default"))
    peer = advertiser_of(server, monkeypatch).peer
    assert (peer.peer_id, peer.name, peer.services) == (server.peer_id, "desk", ("geo", "calc"))
    assert peer.properties == {"proto": "mesh/1", "ver": "2.1.0"}


def test_a_realm_is_advertised_unless_it_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert advertiser_of(parts(realm="lab"), monkeypatch).peer.properties["realm"] == "lab"
    monkeypatch.setenv("MESH_REALM", "hall")
    assert advertiser_of(parts(), monkeypatch).peer.properties["realm"] == "hall"
    assert "realm" not in advertiser_of(parts(realm="default"), monkeypatch).peer.properties


def test_each_start_is_another_one() -> None:
    server = parts()
    assert server.core()._identity.boot != server.core()._identity.boot
    assert parts().peer_id != server.peer_id


# -- its methods


def test_callers_that_name_no_method_get_the_one_that_was_chosen() -> None:
    assert parts(config=ServerConfig(default_method="calc.nothing")).core().default_method == "calc.nothing"
    assert parts().core().default_method == ""
    with pytest.raises(ConfigError, match=r"default_method 'calc\.nope' is not a method of this server"):
        parts(config=ServerConfig(default_method="calc.nope"))


def test_each_service_with_threads_has_a_lane_of_its_own() -> None:
    services = calc("few", threads=2), calc("many", threads=5), calc()
    server = parts("tcp://127.0.0.1:0", *services, config=ServerConfig(coroutines_max=7))
    assert server.threads() == {"threads-few": 2, "threads-many": 5}
    lanes = {name: lane.limit for name, lane in server.core()._lanes.items()}
    assert lanes == {INLINE: 1, COROUTINE: 7, "threads-few": 2, "threads-many": 5}


def test_a_method_runs_in_the_lane_of_its_kind() -> None:
    few, plain = calc("few", threads=2), calc()

    @plain.method
    async def later() -> None: ...

    @few.method(threaded=False)
    def here() -> None: ...

    methods = parts("tcp://127.0.0.1:0", few, plain).core()._methods
    assert {name: info.lane for name, info in methods.items()} == {
        "few.nothing": "threads-few",
        "few.here": INLINE,
        "calc.nothing": INLINE,
        "calc.later": COROUTINE,
    }


def test_a_port_that_its_predecessor_gives_back_a_moment_later_is_waited_for() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        release = threading.Timer(0.05, holder.close)
        release.start()
        with Server(calc(), bind=f"tcp://127.0.0.1:{port}", advertise=False) as server:
            assert server.endpoints == (f"tcp://127.0.0.1:{port}",)
        release.join()
