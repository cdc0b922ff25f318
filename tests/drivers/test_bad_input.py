"""What bad input gets: the class of the error, and a sentence that names the input and the remedy."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from discovery import Address, MemoryHub, Peer
from mesh import (
    ClientConfig,
    ConfigError,
    Limits,
    LocalProtocolError,
    NoServer,
    Overloaded,
    RemoteError,
    Request,
    ServerConfig,
    Service,
    Status,
)
from tests.drivers.adapter import Driver
from tests.drivers.services import LATE_S, Gate, echo_service
from tests.helpers import async_wait_until, free_port

SMALL = Limits(body_max=1024)


async def test_a_port_in_use(driver: Driver) -> None:
    async with driver.server(echo_service()) as first:
        (endpoint,) = first.endpoints
        with pytest.raises(
            ConfigError, match=rf"cannot bind {endpoint}: the port is in use; choose another one, or port 0"
        ):
            await driver.new_server(echo_service(), bind=endpoint).start()


@pytest.mark.parametrize("bind", ["", "127.0.0.1:5555", "tcp://127.0.0.1", "tcp://127.0.0.1:70000", "udp://*:0", 5555])
async def test_a_bind_address_that_does_not_parse(driver: Driver, bind: Any) -> None:
    with pytest.raises(ConfigError, match="it does not parse; write tcp://HOST:PORT or tcp://") as caught:
        driver.new_server(echo_service(), bind=bind)
    assert repr(bind) in str(caught.value)


async def test_a_bind_address_of_another_host(driver: Driver) -> None:
    for port in (0, free_port()):
        with pytest.raises(ConfigError, match=r"cannot bind tcp://192\.0\.2\.77:\d+: .*; (give|bind) "):
            await driver.new_server(echo_service(), bind=f"tcp://192.0.2.77:{port}").start()


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        ("tcp://127.0.0.1", "has no port"),
        ("127.0.0.1:0", "does not end in a port from 1 to 65535"),
        ("udp://127.0.0.1:5", "has a scheme other than tcp"),
        ("tcp://::1:5555", "is an IPv6 address without brackets or port"),
        ("", "has no port"),
    ],
)
async def test_a_server_address_that_does_not_parse(driver: Driver, endpoint: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as caught:
        driver.new_client(endpoint)
    assert repr(endpoint) in str(caught.value)
    assert "write tcp://HOST:PORT" in str(caught.value)


async def test_settings_of_the_wrong_kind(driver: Driver) -> None:
    with pytest.raises(ConfigError, match=r"servers takes a list of endpoints; write \['tcp://127.0.0.1:5'\]"):
        driver.new_client(servers="tcp://127.0.0.1:5")
    with pytest.raises(ConfigError, match=r"interfaces takes a list of names or addresses; write \['lo'\]"):
        driver.new_server(echo_service(), interfaces="lo")
    with pytest.raises(ConfigError, match=r"realm 'a b' cannot be used; give 1 to 63 letters"):
        driver.new_client(realm="a b")
    with pytest.raises(ConfigError, match=r"ClientConfig.window_max is 0; it takes a number from 1 to 1e\+06"):
        ClientConfig(window_max=0)
    with pytest.raises(ConfigError, match=r"default_method 'echo.nope' is not a method of this server"):
        driver.new_server(echo_service(), config=ServerConfig(default_method="echo.nope"))


async def test_servers_without_anything_to_offer(driver: Driver) -> None:
    with pytest.raises(ConfigError, match=r"a server needs at least one Service: Server\(calc\)"):
        driver.new_server()
    with pytest.raises(ConfigError, match="a server takes Service objects, not str"):
        driver.new_server("calc")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match=r"service 'calc' has no method; give it one with @calc\.method"):
        driver.new_server(Service("calc"))
    with pytest.raises(ConfigError, match="service 'echo' is given twice"):
        driver.new_server(echo_service(), echo_service())


@pytest.mark.parametrize("name", ["", "x" * 64, "tab\tin it"])
async def test_a_server_name_that_dns_sd_refuses(driver: Driver, name: str) -> None:
    with pytest.raises(ConfigError, match="give a short printable name"):
        driver.new_server(echo_service(), name=name)


@pytest.mark.parametrize("name", ["", "a.b", "with space", "ü", "x" * 63, "mesh"])
def test_a_service_name_that_dns_sd_refuses(name: str) -> None:
    with pytest.raises(ConfigError, match=r"use 1 to 62 of A-Z|choose another") as caught:
        Service(name)
    assert repr(name) in str(caught.value)


async def test_an_unknown_method_gets_the_nearest_names(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        with pytest.raises(RemoteError, match=r"unknown method echo\.ad; nearest: echo\.add") as caught:
            await client.call("echo.ad", 1)
        assert caught.value.code is Status.UNIMPLEMENTED
        with pytest.raises(RemoteError, match=r"unknown method mesh\.pin; nearest: mesh\.ping"):
            await client.call("mesh.pin")


async def test_an_unknown_service_gets_the_nearest_names(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        await client.wait_for()
        with pytest.raises(NoServer, match=r"Nobody offers 'ecko'; offered are: echo\. Did you mean echo\?"):
            await client.call("ecko.add", 1, timeout=0.1)


@pytest.mark.parametrize("method", ["", "x" * 256, "é" * 128])
async def test_a_method_name_that_cannot_be_sent(driver: Driver, method: str) -> None:
    async with driver.client() as client:
        with pytest.raises(LocalProtocolError, match=r"cannot be called; write 'service\.method', at most 255 octets"):
            await client.call(method)


@pytest.mark.parametrize(
    ("args", "kwargs", "problem"),
    [
        ((), {}, "missing a$"),
        (("1",), {}, "argument a: expected int, got str"),
        ((1, 2, 3), {}, "3 arguments|at most 2|too many"),
        ((1,), {"c": 3}, "c"),
        ((1,), {"a": 2}, "a"),
    ],
)
async def test_arguments_that_do_not_fit(
    driver: Driver, args: tuple[Any, ...], kwargs: dict[str, Any], problem: str
) -> None:
    async with driver.pair(echo_service()) as (client, _):
        with pytest.raises(RemoteError, match=problem) as caught:
            await client.call("echo.add", *args, **kwargs)
    assert caught.value.code is Status.INVALID_ARGUMENT
    assert caught.value.type == "ArgumentError"
    assert "echo.add(a: int, b: int = 10) -> int" in caught.value.message


async def test_a_body_over_the_limit_of_the_client(driver: Driver) -> None:
    async with driver.client(config=ClientConfig(limits=SMALL)) as client:
        with pytest.raises(LocalProtocolError, match=r"echo\.echo: a body of 1025 octets; body_max is 1024"):
            await client.request("echo.echo", bytes(1025))


async def test_a_body_over_the_limit_of_the_server(driver: Driver) -> None:
    async with driver.pair(echo_service(), name="ann", config=ServerConfig(limits=SMALL)) as (client, _):
        assert (await client.request("echo.echo", bytes(1024))).body == bytes(1024)
        with pytest.raises(LocalProtocolError, match=r"a body of 1025 octets; ann takes 1024 \(body_max\)"):
            await client.request("echo.echo", bytes(1025))
        assert (await client.request("echo.echo", b"still here")).body == b"still here"


async def test_an_answer_over_the_limit_of_the_server(driver: Driver) -> None:
    service = Service("big")
    service.method(name="get", raw=True)(lambda request: bytes(1025))
    async with driver.pair(service, config=ServerConfig(limits=SMALL)) as (client, _):
        with pytest.raises(RemoteError, match=r"1025 octets.*body_max|body_max.*1025 octets") as caught:
            await client.request("big.get")
    assert caught.value.code is Status.INTERNAL


async def test_a_handler_that_returns_the_wrong_type(driver: Driver) -> None:
    service = Service("wrong")

    @service.method
    def number() -> int:
        return "seven"  # type: ignore[return-value]

    @service.method(raw=True)
    def frames(request: Request) -> Any:
        return ["text"]

    @service.method
    async def later() -> int:
        return None  # type: ignore[return-value]

    async with driver.pair(service) as (client, _):
        for method, problem in (
            ("number", r"wrong\.number\(\) -> int: the result: expected int, got str"),
            ("later", r"wrong\.later\(\) -> int: the result: expected int, got None"),
        ):
            with pytest.raises(RemoteError, match=problem) as caught:
                await client.call(f"wrong.{method}")
            assert caught.value.code is Status.INTERNAL
        with pytest.raises(RemoteError, match=r"the result\[0\]: expected bytes, got str") as caught:
            await client.request("wrong.frames")
        assert caught.value.code is Status.INTERNAL


async def test_no_server_at_all(driver: Driver) -> None:
    async with driver.client() as client:
        with pytest.raises(
            NoServer, match=r"echo\.add: no server within [\d.]+ s\. No server was seen at all"
        ) as caught:
            await client.call("echo.add", 1, timeout=0.05)
    assert caught.value.attempts == ()


async def test_no_server_that_lives_says_which_were_seen_in_which_state(driver: Driver) -> None:
    hub = MemoryHub()
    hub.put(Peer("id", "ann", ("echo",), (Address("127.0.0.1", free_port()),), {}, ("memory",)))
    async with driver.client(browser=hub.browser()) as client:
        await async_wait_until(lambda: [view.note for view in client.servers()] == ["connection refused"])
        with pytest.raises(
            NoServer, match=r"Seen: ann \(tcp://127\.0\.0\.1:\d+\) (waiting, connection refused|connecting)"
        ):
            await client.call("echo.add", 1, timeout=0.05)


async def test_a_typed_call_of_a_server_that_takes_only_frames(driver: Driver) -> None:
    hub = MemoryHub()
    hub.put(Peer("id", "old", ("echo",), (Address("127.0.0.1", free_port()),), {"proto": "flp"}, ("memory",)))
    async with driver.client(browser=hub.browser()) as client:
        with pytest.raises(NoServer, match=r"old speaks flp and takes only raw requests: use request\(\)"):
            await client.call("echo.add", 1, timeout=0.05)


async def test_a_server_that_is_full_refuses_and_says_so(driver: Driver) -> None:
    gate = Gate()
    # Longer than the deadline, at which the call would else be on its way to the server once more.
    config = ServerConfig(admitted_max=1, retry_after_s=1.1 * LATE_S)
    async with driver.pair(gate.service(), config=config) as (client, _):
        first = asyncio.ensure_future(client.request("gate.wait", b"first"))
        await gate.reached()
        with pytest.raises(Overloaded, match=r"every server refused for want of room, for [\d.]+ s.*admitted_max"):
            await client.request("gate.wait", b"second", timeout=LATE_S)
        gate.opened.set()
        assert (await first).body == b"first"
        assert (await client.request("gate.wait", b"third")).body == b"third"
