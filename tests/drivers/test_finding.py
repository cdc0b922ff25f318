"""Finding servers: what clients know of them, how they get to know it, and what keeps meshes apart."""

from __future__ import annotations

import asyncio
import re

import pytest

from discovery import Address, MemoryHub, Peer
from mesh import AsyncServer, ConfigError, NoServer, ServerView
from tests.drivers.adapter import Driver
from tests.drivers.services import echo_service
from tests.helpers import PATIENCE_S, async_wait_until, free_port


def advertise(hub: MemoryHub, server: AsyncServer, **properties: str) -> None:
    """Make a server known in `hub` as it would be by mDNS."""
    address = Address.parse(server.endpoints[0].removeprefix("tcp://"))
    hub.put(Peer(server.peer_id, server.name, ("echo",), (address,), properties, ("memory",)))


def row(views: list[ServerView], name: str) -> ServerView:
    (view,) = [view for view in views if view.name == name]
    return view


async def test_a_server_that_appears_is_called_and_one_that_vanished_is_forgotten(driver: Driver) -> None:
    hub = MemoryHub()
    async with driver.client(browser=hub.browser()) as client:
        call = asyncio.ensure_future(client.call("echo.add", 1, 2))
        async with driver.server(echo_service()) as server:
            advertise(hub, server)
            assert await call == 3
        hub.drop(server.peer_id)
        await async_wait_until(lambda: client.servers() == [])


async def test_a_server_whose_record_is_gone_stays_while_it_answers(driver: Driver) -> None:
    hub = MemoryHub()
    async with driver.server(echo_service()) as server, driver.client(browser=hub.browser()) as client:
        advertise(hub, server)
        assert await client.call("echo.add", 1) == 11
        hub.drop(server.peer_id)
        assert await client.call("echo.add", 1) == 11
        (view,) = client.servers()
    assert (view.state, view.sources) == ("alive", ())


async def test_wait_for_returns_when_enough_servers_of_a_service_live(driver: Driver) -> None:
    hub = MemoryHub()
    async with (
        driver.server(echo_service()) as one,
        driver.server(echo_service()) as two,
        driver.server(echo_service("other")) as other,
        driver.client(browser=hub.browser()) as client,
    ):
        waiting = asyncio.ensure_future(client.wait_for(2, service="echo", timeout=PATIENCE_S))
        advertise(hub, other)
        advertise(hub, one)
        assert len(await client.wait_for(1)) >= 1
        assert len(await client.wait_for(2, timeout=PATIENCE_S)) == 2
        assert not waiting.done()
        advertise(hub, two)
        views = await waiting
    assert {view.name for view in views} == {one.name, two.name}


async def test_wait_for_says_what_was_seen_when_it_was_in_vain(driver: Driver) -> None:
    async with driver.pair(echo_service(), name="ann") as (client, server):
        await client.wait_for()
        with pytest.raises(NoServer) as caught:
            await client.wait_for(2, service="echo", timeout=0.05)
        with pytest.raises(NoServer, match=r"Nobody offers 'ecko'; offered are: echo. Did you mean echo\?"):
            await client.wait_for(service="ecko", timeout=0.05)
    assert re.match(r"Fewer than 2 servers of echo within [\d.]+ s", str(caught.value))
    assert f"Seen: ann ({server.endpoints[0]}) alive." in str(caught.value)


@pytest.mark.parametrize("count", [0, -1, True, 1.5, "2"])
async def test_wait_for_takes_numbers_from_one_on(driver: Driver, count: int) -> None:
    async with driver.client() as client:
        with pytest.raises(ConfigError, match=f"a number of servers from 1 on, not {count!r}"):
            await client.wait_for(count)


async def test_servers_tells_what_is_known_of_each(driver: Driver) -> None:
    hub = MemoryHub()
    dead = f"tcp://127.0.0.1:{free_port()}"
    async with (
        driver.server(echo_service(), name="ann") as server,
        driver.client(dead, browser=hub.browser()) as client,
    ):
        advertise(hub, server, ver="1.2.3")
        await client.call("echo.add", 1)
        await async_wait_until(lambda: row(client.servers(), dead.removeprefix("tcp://")).note)
        ann, other = row(client.servers(), "ann"), row(client.servers(), dead.removeprefix("tcp://"))
    assert (ann.state, ann.services, ann.sources) == ("alive", ("echo",), ("memory",))
    assert (ann.peer_id, ann.address) == (server.peer_id, server.endpoints[0])
    assert (ann.addresses, ann.proto, ann.version) == (server.endpoints, "mesh/1", "1.2.3")
    assert (ann.in_flight, ann.window, ann.answered, ann.errors) == (0, 512, 1, 0)
    assert ann.rtt_s is not None
    assert 0 < ann.rtt_s < PATIENCE_S
    assert 0 < ann.latency_p50_s <= ann.latency_p99_s < PATIENCE_S
    assert ann.last_seen_s is not None
    assert 0 <= ann.last_seen_s < PATIENCE_S
    assert other.state in ("waiting", "connecting")
    assert (other.sources, other.address, other.rtt_s, other.last_seen_s) == (("static",), dead, None, None)


async def test_one_server_learnt_twice_is_one_row(driver: Driver) -> None:
    hub = MemoryHub()
    async with (
        driver.server(echo_service(), name="ann") as server,
        driver.client(*server.endpoints, browser=hub.browser()) as client,
    ):
        await client.wait_for()
        advertise(hub, server)
        await async_wait_until(lambda: [view.sources for view in client.servers()] == [("memory", "static")])
        assert await client.call("echo.add", 1) == 11
        hub.drop(server.peer_id)
        await async_wait_until(lambda: [view.sources for view in client.servers()] == [("static",)])


@pytest.mark.network
async def test_one_server_learnt_by_mdns_and_from_a_list_is_one_row(driver: Driver) -> None:
    async with (
        driver.server(echo_service(), name="ann", advertise=True) as server,
        driver.client(*server.endpoints, discover=True) as client,
    ):
        await async_wait_until(
            lambda: [view.sources for view in client.servers() if view.name == "ann"] == [("mdns", "static")]
        )
        assert await client.call("echo.add", 1, peer="ann") == 11


@pytest.mark.network
async def test_a_server_is_found_by_mdns_and_says_goodbye(driver: Driver) -> None:
    async with driver.client(discover=True) as client:
        async with driver.server(echo_service("bymdns"), advertise=True) as server:
            assert await client.call("bymdns.add", 1, 2) == 3
            assert row(client.servers(), server.name).sources == ("mdns",)
        await async_wait_until(lambda: all(view.name != server.name for view in client.servers()))


async def test_two_servers_of_one_name_are_two_servers(driver: Driver) -> None:
    async with (
        driver.server(echo_service(), name="twin") as one,
        driver.server(echo_service(), name="twin") as two,
        driver.client(*one.endpoints, *two.endpoints) as client,
    ):
        views = await client.wait_for(2, service="echo")
        assert {view.peer_id for view in views} == {one.peer_id, two.peer_id}
        assert {view.name for view in views} == {"twin"}
        for server in (one, two):
            assert (await client.request("echo.echo", b"", peer=server.peer_id)).peer_id == server.peer_id
        assert (await client.request("echo.echo", b"", peer="twin")).peer_id in (one.peer_id, two.peer_id)


@pytest.mark.network
async def test_two_advertised_servers_of_one_name_are_both_found(driver: Driver) -> None:
    async with (
        driver.server(echo_service("twins"), name="twin", advertise=True) as one,
        driver.server(echo_service("twins"), name="twin", advertise=True) as two,
        driver.client(discover=True) as client,
    ):
        views = await client.wait_for(2, service="twins")
    assert {one.peer_id, two.peer_id} <= {view.peer_id for view in views}


async def test_realms_do_not_mix(driver: Driver) -> None:
    async with (
        driver.server(echo_service(), name="red", realm="red") as red,
        driver.server(echo_service(), name="blue", realm="blue") as blue,
        driver.client(*red.endpoints, *blue.endpoints, realm="red") as client,
    ):
        replies = [await client.request("echo.echo", b"") for _ in range(10)]
        await async_wait_until(lambda: [view for view in client.servers() if view.state == "ignored"])
        assert [view.name for view in await client.wait_for()] == ["red"]
        assert row(client.servers(), "blue").note == "it is in realm 'blue', this client in 'red'"
        with pytest.raises(NoServer, match=r"blue .* ignored, it is in realm 'blue'"):
            await client.request("echo.echo", b"", peer=blue.peer_id, timeout=0.05)
    assert {reply.peer_id for reply in replies} == {red.peer_id}


async def test_the_environment_names_servers_and_the_realm(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH_REALM", "lab")
    async with driver.server(echo_service(), name="ann") as server:
        monkeypatch.setenv("MESH_SERVERS", f"{server.endpoints[0]}, tcp://127.0.0.1:{free_port()}")
        async with driver.client(servers=None) as client:
            assert await client.call("echo.add", 1) == 11
            assert len(client.servers()) == 2
        async with driver.client(servers=None, realm="other") as client:
            await async_wait_until(lambda: [view for view in client.servers() if view.state == "ignored"])
            with pytest.raises(NoServer, match="realm 'lab', this client in 'other'"):
                await client.call("echo.add", 1, timeout=0.05)


async def test_the_environment_names_the_interface_for_a_wildcard(driver: Driver) -> None:
    async with driver.server(echo_service(), bind="tcp://*:0") as server:
        (endpoint,) = server.endpoints  # MESH_INTERFACE is 127.0.0.1 in every test
        assert endpoint.startswith("tcp://127.0.0.1:")
        async with driver.client(endpoint) as client:
            assert await client.call("echo.add", 1) == 11
