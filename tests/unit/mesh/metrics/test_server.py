"""What servers tell when they are scraped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import msgspec
import pytest
from prometheus_client.registry import Collector, CollectorRegistry

from mesh import AsyncServer, Client, Server, Service
from mesh.core.figures import Durations, MethodFigures, ServerFigures
from mesh.core.stats import BOUNDS_S
from mesh.metrics import FiguresCollector, ServerCollector, SupervisorCollector

Scrape = Callable[[Collector], dict[tuple[str, tuple[str, ...]], float]]

LONG = Durations((*(0 for _ in BOUNDS_S), 2), 25.0)
FIGURES = ServerFigures(
    name="calc-1",
    version="1.0.0",
    realm="lab",
    state="DRAINING",
    started_unix=1.7e9,
    in_flight=3,
    waiting=2,
    capacity=10,
    window=5,
    clients=4,
    shed=6,
    expired=7,
    duplicates=8,
    garbage=9,
    unanswerable=11,
    cpu_s=1.5,
    memory=1 << 20,
    methods=(MethodFigures("calc.add", 0, Durations()), MethodFigures("calc.add", 5, LONG)),
)


def test_every_figure_of_every_server_is_told(samples: Scrape) -> None:
    other = msgspec.structs.replace(FIGURES, name="calc-2", state="SERVING")
    told = samples(FiguresCollector(lambda: ([FIGURES, other], ["calc-3"])))
    assert {labels[0]: value for (name, labels), value in told.items() if name == "mesh_server_responding"} == {
        "calc-1": 1,
        "calc-2": 1,
        "calc-3": 0,
    }
    assert told["mesh_server_info", ("lab", "calc-1", "1.0.0")] == 1
    assert told["mesh_server_state", ("calc-1", "DRAINING")] == told["mesh_server_state", ("calc-2", "SERVING")] == 1
    assert told["mesh_server_state", ("calc-1", "SERVING")] == 0
    measured = {
        "calls_in_flight": 3,
        "calls_waiting": 2,
        "calls_capacity": 10,
        "window": 5,
        "clients": 4,
        "shed_total": 6,
        "expired_total": 7,
        "duplicates_total": 8,
        "garbage_total": 9,
        "unanswerable_total": 11,
        "cpu_seconds_total": 1.5,
        "memory_bytes": 1 << 20,
        "start_time_seconds": 1.7e9,
    }
    assert {name: told[f"mesh_server_{name}", ("calc-1",)] for name in measured} == measured
    not_found = ("NOT_FOUND", "calc.add", "NOT_FOUND", "mesh", "calc-1")
    assert told["rpc_server_call_duration_seconds_count", not_found] == 2
    assert told["rpc_server_call_duration_seconds_sum", not_found] == 25.0
    buckets = {
        labels[1]: value
        for (name, labels), value in told.items()
        if name == "rpc_server_call_duration_seconds_bucket" and labels[0] == "NOT_FOUND" and labels[-1] == "calc-1"
    }
    assert buckets == {**{str(bound): 0 for bound in BOUNDS_S}, "+Inf": 2}


def calc_service() -> Service:
    calc = Service("calc")

    @calc.method
    def add(a: int, b: int) -> int:
        return a + b

    return calc


def test_a_server_of_this_process_tells_as_long_as_it_runs(samples: Scrape) -> None:
    server = Server(calc_service(), bind="tcp://127.0.0.1:0", advertise=False, name="ann")
    collector = ServerCollector(server)
    assert samples(collector) == {}
    with server, Client(server.endpoints, discover=False) as client:
        client.call("calc.add", 1, 2)
        told = samples(collector)
    assert told["rpc_server_call_duration_seconds_count", ("", "calc.add", "OK", "mesh", "ann")] == 1
    assert told["mesh_server_responding", ("ann",)] == 1
    assert samples(collector) == {}


def test_a_server_whose_loop_does_not_turn_tells_that_alone(samples: Scrape) -> None:
    entered, opened = threading.Event(), threading.Event()
    gate = Service("gate")

    @gate.method
    def wait() -> None:
        entered.set()
        opened.wait(10.0)

    with (
        Server(gate, bind="tcp://127.0.0.1:0", advertise=False, name="ann") as server,
        Client(server.endpoints, discover=False) as client,
    ):
        calling = threading.Thread(target=client.call, args=("gate.wait",))
        calling.start()
        assert entered.wait(10.0)
        told = samples(ServerCollector(server))
        opened.set()
        calling.join()
    assert told == {("mesh_server_responding", ("ann",)): 0}


async def _of_a_loop(samples: Scrape) -> ServerCollector:
    server = AsyncServer(calc_service(), bind="tcp://127.0.0.1:0", advertise=False, name="ann")
    collector = ServerCollector(server)
    assert samples(collector) == await asyncio.to_thread(samples, collector) == {}
    async with server:
        for told in (samples(collector), await asyncio.to_thread(samples, collector)):
            assert told["mesh_server_responding", ("ann",)] == 1
    assert samples(collector) == await asyncio.to_thread(samples, collector) == {}
    return collector


def test_a_server_of_a_loop_is_scraped_from_it_and_from_threads(samples: Scrape) -> None:
    collector = asyncio.run(_of_a_loop(samples))
    assert samples(collector) == {}, "the loop is closed"


@pytest.mark.parametrize("happened", [{}, {"died": 2, "loaded": 5}])
def test_a_supervisor_tells_what_happened_also_before_it_did(samples: Scrape, happened: dict[str, int]) -> None:
    told = samples(SupervisorCollector(3, lambda: happened))
    assert told["mesh_supervisor_workers", ()] == 3
    assert told["mesh_supervisor_events_total", ("died",)] == happened.get("died", 0)
    assert ("mesh_supervisor_events_total", ("loaded",)) not in told


def test_nobody_is_asked_before_there_is_a_scrape() -> None:
    def read() -> tuple[list[ServerFigures], list[str]]:
        raise AssertionError("nobody scrapes")

    CollectorRegistry(auto_describe=True).register(FiguresCollector(read))
