"""What a client says to people about the servers it sees."""

from __future__ import annotations

import pytest

from discovery.model import PeerAdded, PeerUpdated
from mesh.core.view import AddressView, describe_servers
from tests.unit.mesh.core.harness import Client, peer


def describe(client: Client, service: str = "", *, name: str = "", plain: bool = True) -> str:
    return describe_servers(service, client.core._roster, client.now, peer=name, plain=plain)


@pytest.fixture
def seen(client: Client) -> Client:
    """A client that sees a live server, one that refuses and one of another realm."""
    client.join("a", name="one")
    broken = client.far("b", name="two", services=["echo"])
    broken.refusing = True
    client.feed(PeerAdded(broken.peer))
    client.feed(PeerAdded(peer("c", "10.0.0.3:1", name="three", services=("echo", "far"), realm="other")))
    return client


def test_nobody_at_all(client: Client) -> None:
    assert describe(client) == "No server was seen at all: is one running, on this network and in this realm?"


def test_those_who_offer_it_with_their_states(seen: Client) -> None:
    assert describe(seen, "echo") == (
        "Seen: two (tcp://10.0.0.2:5555) waiting, connection refused; "
        "three (tcp://10.0.0.3:1) ignored, it is in realm 'other', this client in 'default'."
    )
    assert describe(seen, "calc") == "Seen: one (tcp://10.0.0.1:5555) alive."


def test_a_service_that_nobody_offers_with_the_nearest(seen: Client) -> None:
    assert describe(seen, "ecko") == "Nobody offers 'ecko'; offered are: calc, echo. Did you mean echo?"
    assert describe(seen, "zzz") == "Nobody offers 'zzz'; offered are: calc, echo."


def test_servers_without_any_service(client: Client) -> None:
    client.join("a", name="one", services=[])
    assert describe(client, "calc") == "Nobody offers 'calc'; seen: one (alive)."
    assert describe(client, "mesh") == "Seen: one (tcp://10.0.0.1:5555) alive."


def test_a_name_that_nobody_has(seen: Client) -> None:
    assert (
        describe(seen, name="four") == "No server is called 'four'; seen: one (alive), two (waiting), three (ignored)."
    )
    assert describe(seen, name="one") == "Seen: one (tcp://10.0.0.1:5555) alive."
    assert describe(seen, name="a") == "Seen: one (tcp://10.0.0.1:5555) alive."


def test_a_server_without_an_address(client: Client) -> None:
    client.feed(PeerAdded(peer("a", name="one")))
    assert describe(client, "calc") == "Seen: one (no address) waiting."


def test_more_servers_than_anybody_reads_are_cut(client: Client) -> None:
    for number in range(30):
        client.join(f"s{number}")
    assert describe(client, "calc").count(";") == 7


def test_each_address_says_what_came_of_dialling_it(client: Client) -> None:
    refused, slow, used = "10.0.9.1:1", "10.0.9.2:1", client.far("a").address
    client.far("nobody", refused).refusing = True
    client.feed(PeerAdded(peer("a", refused, slow, used)))
    [server] = client.core.views(client.now)
    assert server.tried == (
        AddressView(f"tcp://{refused}", "spare", "connection refused"),
        AddressView(f"tcp://{slow}", "spare", "another address answered first"),
        AddressView(f"tcp://{used}", "alive", ""),
    )


def test_a_server_that_cannot_be_reached_says_so_of_its_addresses(client: Client) -> None:
    client.join("a", name="one")
    client.far("nobody", "10.0.9.1:1").refusing = True
    client.feed(PeerAdded(peer("b", "10.0.9.1:1", "10.0.0.1:5555")))
    assert client.core.views(client.now)[1].tried == (
        AddressView("tcp://10.0.9.1:1", "waiting", "connection refused"),
        AddressView("tcp://10.0.0.1:5555", "waiting", "one has it"),
    )


def test_addresses_that_are_not_dialled_any_more_are_forgotten(client: Client) -> None:
    for number in range(1, 40):
        client.far("nobody", f"10.0.9.{number}:1").refusing = True
        client.feed(PeerUpdated(peer("a", f"10.0.9.{number}:1")))
    [server] = client.core._roster
    assert list(map(str, server.tried)) == ["10.0.9.39:1"]


def test_the_txt_record_is_that_of_discovery_not_of_the_users_list(client: Client) -> None:
    client.feed(PeerAdded(peer("static:10.0.0.1:1", "10.0.0.1:1", source="static", proto="rep")))
    client.feed(PeerAdded(peer("b", "10.0.0.2:1", services=["calc", "echo"], ver="2")))
    told = [dict(view.txt) for view in client.core.views(client.now)]
    assert told == [{}, {"id": "b", "svc": "calc,echo", "ver": "2"}]
