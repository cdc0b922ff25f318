"""What a client tells when it is scraped."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from prometheus_client.registry import Collector

from mesh import AsyncClient, Client, Server, ServerView, Service
from mesh.metrics import ClientCollector
from mesh.metrics.labels import OTHER

Scrape = Callable[[Collector], dict[tuple[str, tuple[str, ...]], float]]


@pytest.fixture
def server() -> Iterator[Server]:
    calc = Service("calc")

    @calc.method
    def divide(a: int, b: int) -> float:
        return a / b

    with Server(calc, bind="tcp://127.0.0.1:0", advertise=False, name="ann") as server:
        yield server


def test_a_client_tells_of_its_calls_and_servers(server: Server, samples: Scrape) -> None:
    with Client(server.endpoints, discover=False) as client:
        collector = ClientCollector(client)
        client.call("calc.divide", 4, 2)
        with pytest.raises(Exception, match="division by zero"):
            client.call("calc.divide", 4, 0)
        told = samples(collector)
    assert told["mesh_client_calls_total", ()] == 2
    assert told["mesh_client_calls_open", ()] == 0
    assert told["mesh_client_dials_total", ()] == 1
    assert told["rpc_client_call_duration_seconds_count", ("", "calc.divide", "OK", "mesh")] == 1
    assert told["rpc_client_call_duration_seconds_count", ("UNKNOWN", "calc.divide", "UNKNOWN", "mesh")] == 1
    assert told["rpc_client_call_duration_seconds_bucket", ("", "10.0", "calc.divide", "OK", "mesh")] == 1
    assert told["mesh_client_servers", ("alive",)] == 1
    assert told["mesh_client_servers", ("dead",)] == 0
    assert told["mesh_client_server_state", ("ann", "alive")] == 1
    assert told["mesh_client_server_answers_total", ("ann",)] == 1
    assert told["mesh_client_server_errors_total", ("ann",)] == 1
    assert 0 < told["mesh_client_server_rtt_seconds", ("ann",)] < 5
    assert 0 < told["mesh_client_server_latency_p99_seconds", ("ann",)] < 5


def test_a_lost_connection_is_counted(server: Server, samples: Scrape) -> None:
    with Client(server.endpoints, discover=False) as client:
        client.wait_for()
        collector = ClientCollector(client)
        server.stop()
        told = samples(collector)
        # It says goodbye before its connection is lost, and servers and counters are read one after the other.
        while told["mesh_client_servers", ("alive",)] or not told["mesh_client_connections_lost_total", ()]:
            told = samples(collector)
    assert told["mesh_client_connections_lost_total", ()] == 1


class Crowd:
    """A client that sees the servers that a test wants."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.views: list[ServerView] = []

    def servers(self) -> list[ServerView]:
        return self.views

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


@pytest.fixture
def crowd() -> Iterator[Any]:
    with Client([], discover=False) as client:
        yield Crowd(client)


def view(name: str, state: str = "alive", peer_id: str = "") -> ServerView:
    plain: dict[str, Any] = {field.name: "" for field in dataclasses.fields(ServerView)}
    numbers = {"latency_p50_s": 0.1, "latency_p99_s": 0.2, "in_flight": 3, "window": 8, "load": 5}
    counts = {"answered": 7, "errors": 1, "rtt_s": 0.001}
    return ServerView(**{**plain, **numbers, **counts, "name": name, "state": state, "peer_id": peer_id or name})


def test_a_crowd_of_servers_shares_one_label(crowd: Any, samples: Scrape) -> None:
    collector = ClientCollector(crowd, servers_max=2)
    crowd.views = [view(name) for name in ("a", "b", "c", "d")]
    told = samples(collector)
    assert told["mesh_client_servers", ("alive",)] == 4
    labels = {labels[0] for name, labels in told if name == "mesh_client_server_in_flight"}
    assert labels == {"a", "b", OTHER}
    assert told["mesh_client_server_in_flight", (OTHER,)] == 6
    # A sum of counters falls when one of them leaves, which Prometheus takes for a restart.
    assert ("mesh_client_server_answers_total", (OTHER,)) not in told


def test_what_is_told_of_a_server_vanishes_with_it(crowd: Any, samples: Scrape) -> None:
    collector = ClientCollector(crowd, servers_max=1)
    crowd.views = [view("a")]
    assert ("mesh_client_server_load", ("a",)) in samples(collector)
    crowd.views = [view("b")]
    names = {labels for name, labels in samples(collector) if name == "mesh_client_server_load"}
    assert names == {("b",)}


def test_two_servers_of_one_name_are_told_of_together(crowd: Any, samples: Scrape) -> None:
    crowd.views = [view("a", peer_id="1"), view("a", "dead", peer_id="2")]
    told = samples(ClientCollector(crowd))
    assert told["mesh_client_server_answers_total", ("a",)] == 14
    assert told["mesh_client_server_rtt_seconds", ("a",)] == 0.001
    assert told["mesh_client_server_state", ("a", "alive")] == told["mesh_client_server_state", ("a", "dead")] == 1


def test_servers_of_other_realms_are_counted_and_not_told_of(crowd: Any, samples: Scrape) -> None:
    crowd.views = [view("a", "ignored")]
    told = samples(ClientCollector(crowd))
    assert told["mesh_client_servers", ("ignored",)] == 1
    assert ("mesh_client_server_load", ("a",)) not in told


async def _scraped(server: Server, samples: Scrape) -> None:
    async with AsyncClient(server.endpoints, discover=False) as client:
        collector = ClientCollector(client)
        await client.call("calc.divide", 4, 2)
        in_thread = await asyncio.to_thread(samples, collector)
        for told in (in_thread, samples(collector)):
            assert told["mesh_client_calls_total", ()] == 1
            assert told["rpc_client_call_duration_seconds_count", ("", "calc.divide", "OK", "mesh")] == 1


def test_a_client_of_a_loop_is_scraped_from_it_and_from_threads(server: Server, samples: Scrape) -> None:
    asyncio.run(_scraped(server, samples))


async def _collector_of_a_client_that_is_closed() -> ClientCollector:
    async with AsyncClient([], discover=False) as client:
        return ClientCollector(client)


def test_a_client_whose_loop_has_ended_tells_nothing(samples: Scrape) -> None:
    assert samples(asyncio.run(_collector_of_a_client_that_is_closed())) == {}
