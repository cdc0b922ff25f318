"""Spans of calls and handlers, by both drivers and in every place where a handler may run."""

from __future__ import annotations

import asyncio
import json
import logging
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from mesh import AsyncClient, CallTimeout, Client, NoServer, RemoteError, Request, Service, Status, tracing
from mesh.instruments import instrumented_call, instrumented_runner
from mesh.logs import JsonFormatter
from tests.drivers.adapter import Driver
from tests.drivers.services import LATE_S, Gate, echo_service
from tests.unit.mesh.tracing.conftest import Traces, traces

__all__ = ["traces"]

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def attributes(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


async def test_a_call_has_a_span_its_attempt_one_below_and_its_handler_one_below_that(
    driver: Driver, traces: Traces
) -> None:
    async with driver.pair(echo_service(), name="ann") as (client, server):
        await client.call("echo.add", 1, 2)
    assert traces.tree() == ["client echo.add", ["client echo.add", ["server echo.add"]]]
    [call] = traces.children(None)
    [attempt] = traces.children(call)
    [handler] = traces.children(attempt)
    port = int(server.endpoints[0].rpartition(":")[2])
    every = {"rpc.system.name": "mesh", "rpc.method": "echo.add", "network.transport": "tcp", "mesh.call.id": 1}
    peer = {
        "network.peer.address": "127.0.0.1",
        "network.peer.port": port,
        "mesh.peer.id": server.peer_id,
        "mesh.peer.name": "ann",
    }
    ok = {"rpc.response.status_code": "OK"}
    assert attributes(call) == {**every, **peer, **ok, "server.address": "echo", "mesh.attempt": 1}
    where = {"server.address": "127.0.0.1", "server.port": port}
    answered = {"mesh.attempt": 1, "mesh.attempt.result": "answered"}
    assert attributes(attempt) == {**every, **peer, **where, **answered}
    client_of_server = attributes(handler)["mesh.client"]
    assert attributes(handler) == {**every, **ok, "mesh.attempt": 1, "mesh.client": client_of_server}
    for span in (call, attempt, handler):
        assert span.status.status_code is StatusCode.UNSET
    assert call.start_time <= attempt.start_time <= handler.start_time  # type: ignore[operator]
    assert handler.end_time - 10_000_000 <= attempt.end_time <= call.end_time  # type: ignore[operator]


async def test_what_a_handler_calls_is_below_its_span_wherever_it_runs(driver: Driver, traces: Traces) -> None:
    async with driver.server(echo_service()) as far:
        relay = Service("relay", threads=1)
        inside = Client(far.endpoints, discover=False)
        beside = AsyncClient(far.endpoints, discover=False) if driver.name == "asyncio" else None

        @relay.method
        def threaded() -> None:
            inside.call("echo.add", 1, 2)

        @relay.method(threaded=False)
        def inline() -> None:
            if driver.name == "sync":  # in asyncio it would wait for the loop that it stands in
                inside.call("echo.add", 1, 2)

        @relay.method
        async def coroutine() -> None:
            if beside is not None:
                await beside.call("echo.add", 1, 2)
            else:
                await asyncio.to_thread(inside.call, "echo.add", 1, 2)

        async with driver.pair(relay) as (client, _):
            for name in ("threaded", "inline", "coroutine"):
                await client.call(f"relay.{name}")
        await asyncio.to_thread(inside.close)
        if beside is not None:
            await beside.close()
    below = ["client echo.add", ["client echo.add", ["server echo.add"]]]
    for root in traces.children(None):
        [attempt] = traces.children(root)
        [handler] = traces.children(attempt)
        assert traces.tree(handler) == ([] if root.name == "relay.inline" and driver.name == "asyncio" else below)


async def test_a_call_is_below_what_its_caller_does(driver: Driver, traces: Traces) -> None:
    tracer = trace.get_tracer("test", tracer_provider=traces.provider)
    async with driver.pair(echo_service()) as (client, _):
        with tracer.start_as_current_span("work"):
            await client.call("echo.add", 1, 2)
    assert traces.tree() == [
        "internal work",
        ["client echo.add", ["client echo.add", ["server echo.add"]]],
    ]


async def test_a_handler_is_not_below_what_started_its_server(driver: Driver, traces: Traces) -> None:
    tracer = trace.get_tracer("test", tracer_provider=traces.provider)
    service = echo_service()

    @service.method
    async def wait() -> None:
        await asyncio.sleep(0)

    server = driver.new_server(service)
    with tracer.start_as_current_span("start"):
        await server.start()
    tracing.uninstrument()  # so that the caller says nothing of a trace
    async with driver.client(*server.endpoints) as client:
        await client.call("echo.add", 1, 2)
        await client.call("echo.wait")
    await server.stop()
    assert traces.tree() == ["internal start", "server echo.add", "server echo.wait"]


async def test_a_trace_that_is_given_by_hand_is_what_the_server_sees(driver: Driver, traces: Traces) -> None:
    seen: list[str] = []
    service = Service("see")

    @service.method(raw=True)
    def parent(request: Request) -> bytes:
        seen.append(request.metadata["traceparent"])
        return b""

    async with driver.pair(service) as (client, _):
        await client.request("see.parent", metadata={"traceparent": PARENT})
    assert seen == [PARENT]
    [handler] = [span for span in traces.ended() if span.kind is SpanKind.SERVER]
    assert handler.parent is not None
    assert handler.parent.span_id == 0xB7AD6B7169203331
    assert {span.context.trace_id for span in traces.ended()} == {0x0AF7651916CD43DD8448EB211C80319C}


async def test_the_metadata_of_the_caller_stay_beside_the_trace(driver: Driver, traces: Traces) -> None:
    seen: list[dict[str, str]] = []
    service = Service("see")

    @service.method(raw=True)
    def metadata(request: Request) -> bytes:
        seen.append(dict(request.metadata))
        return b""

    async with driver.pair(service) as (client, _):
        await client.request("see.metadata", metadata={"tenant": "a"})
        await client.request("see.metadata", metadata={"large": "x" * 8150})  # there is no room for a trace beside it
    assert seen[0]["tenant"] == "a"
    assert seen[0]["traceparent"].startswith("00-")
    assert [*seen[1]] == ["large"]


async def test_an_error_of_the_handler_is_one_on_every_span(driver: Driver, traces: Traces) -> None:
    service = Service("fail")

    @service.method
    def divide() -> float:
        return 1 / 0

    @service.method
    def find() -> None:
        raise RemoteError("no such order", code=Status.NOT_FOUND)

    async with driver.pair(service) as (client, _):
        for method in ("fail.divide", "fail.find"):
            with pytest.raises(RemoteError):
                await client.call(method)
    by_zero, missing = traces.children(None)
    for root, status in ((by_zero, "UNKNOWN"), (missing, "NOT_FOUND")):
        [attempt] = traces.children(root)
        [handler] = traces.children(attempt)
        assert {attributes(span)["error.type"] for span in (root, attempt, handler)} == {status}
        assert attributes(root)["rpc.response.status_code"] == attributes(handler)["rpc.response.status_code"] == status
        assert root.status.status_code is attempt.status.status_code is StatusCode.ERROR
        if status == "UNKNOWN":
            assert handler.status.status_code is StatusCode.ERROR
            [event] = handler.events
            told = dict(event.attributes or {})
            assert (told["exception.type"], told["exception.message"]) == ("ZeroDivisionError", "division by zero")
            assert "1 / 0" in str(told["exception.stacktrace"])
        else:  # the caller asked for what there is not: no fault of the server
            assert handler.status.status_code is StatusCode.UNSET


async def test_a_call_that_finds_no_server_has_a_span_without_attempts(driver: Driver, traces: Traces) -> None:
    async with driver.client() as client:
        with pytest.raises(NoServer):
            await client.call("echo.add", 1, 2, timeout=0.05)
    [call] = traces.ended()
    assert attributes(call)["error.type"] == "NoServer"
    assert attributes(call)["rpc.response.status_code"] == "UNAVAILABLE"
    assert "no server within" in (call.status.description or "")


async def test_a_call_that_is_not_answered_ends_with_its_attempts(driver: Driver, traces: Traces) -> None:
    gate = Gate()
    async with driver.pair(gate.service()) as (client, _):
        with pytest.raises(CallTimeout):
            await client.request("gate.wait", timeout=LATE_S)
        gate.opened.set()
    [call] = traces.children(None)
    attempt = traces.children(call)[-1]
    assert attributes(call)["error.type"] == "CallTimeout"
    assert attributes(attempt)["mesh.attempt.result"] == attributes(attempt)["error.type"] == "no answer"


async def test_a_caller_who_gives_up_ends_the_spans(traces: Traces) -> None:
    gate = Gate()
    driver = Driver("asyncio")
    async with driver.pair(gate.service()) as (client, _):
        call = asyncio.create_task(client.request("gate.wait"))
        await gate.reached()
        call.cancel()
        await asyncio.wait([call])
        [root] = traces.children(None)
        [attempt] = traces.children(root, SpanKind.CLIENT)
        gate.opened.set()
    assert attributes(root)["rpc.response.status_code"] == "CANCELLED"
    assert attempt.end_time is not None


async def test_records_of_a_handler_name_its_trace(driver: Driver, traces: Traces) -> None:
    lines: list[dict[str, Any]] = []
    service = Service("log")

    @service.method
    def line() -> None:
        record = logging.makeLogRecord({"msg": "here"})
        lines.append(json.loads(JsonFormatter().format(record)))

    async with driver.pair(service) as (client, _):
        await client.call("log.line")
    [handler] = [span for span in traces.ended() if span.kind is SpanKind.SERVER]
    assert lines[0]["trace_id"] == f"{handler.context.trace_id:032x}"
    assert lines[0]["span_id"] == f"{handler.context.span_id:016x}"


def test_without_instruments_nothing_stands_around_a_call() -> None:
    def make(call: object) -> None:
        raise AssertionError("nobody calls")

    runner: Any = object()
    assert instrumented_call(make, lambda observer: None) is make
    assert instrumented_runner(runner) is runner


async def test_a_client_that_was_made_before_is_not_traced(driver: Driver) -> None:
    async with driver.pair(echo_service()) as (client, _):
        traces = Traces()
        tracing.instrument(traces.provider)
        tracing.instrument(traces.provider)
        try:
            await client.call("echo.add", 1, 2)
            assert traces.ended() == []
            async with driver.pair(echo_service()) as (later, _):
                await later.call("echo.add", 1, 2)
            assert len(traces.ended()) == 3, "to instrument twice is to do it once"
        finally:
            tracing.uninstrument()
            traces.provider.shutdown()


async def test_a_client_that_is_closed_leaves_no_span_open(driver: Driver, traces: Traces) -> None:
    client = driver.new_client()
    await client.close()
    with pytest.raises(Exception, match="closed"):
        await client.call("echo.add", 1, 2)
    [call] = traces.ended()
    assert attributes(call)["error.type"] in ("ClosedError", "CANCELLED")
