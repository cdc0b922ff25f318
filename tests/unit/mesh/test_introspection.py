"""What a server tells about itself, in the words of NATS micro (ADR-32)."""

from __future__ import annotations

import datetime
import os
import time
from typing import Any

import msgspec
import pytest

from mesh.config import Limits, ServerConfig
from mesh.core.actions import Answer
from mesh.core.events import RequestReceived, Stopping
from mesh.core.methods import INLINE, MethodInfo
from mesh.core.server import ServerCore, ServerIdentity
from mesh.core.wire import Call, Reply, ServerState, encode
from mesh.errors import Status
from mesh.introspection import Introspection
from mesh.service import Service


@pytest.fixture
def told() -> Introspection:
    service = Service("calc", version="1.0.0", description="adds", metadata={"site": "A"})
    service.method(name="add", idempotent=False)(_add)
    identity = ServerIdentity(peer_id="id", name="ann", realm="lab", version="1.0.0", boot=7)
    config = ServerConfig(admitted_max=9)
    methods = {"calc.add": MethodInfo(INLINE, idempotent=False)}
    core = ServerCore(identity, methods, {}, config, services=("calc",), started_at=100.0)
    return Introspection(identity, [service], core, config)


def _add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def test_every_answer_says_who_and_can_be_sent(told: Introspection) -> None:
    for kind in ("ping", "info", "stats", "health"):
        answer: dict[str, Any] = msgspec.msgpack.decode(msgspec.msgpack.encode(getattr(told, kind)(101.0)))
        assert answer["type"] == f"mesh.v1.{kind}_response"
        assert (answer["name"], answer["id"], answer["version"]) == ("ann", "id", "1.0.0")
        assert answer["metadata"] == {"site": "A"}


def test_info_describes_every_method(told: Introspection) -> None:
    info: Any = told.info(101.0)
    assert (info["description"], info["realm"], info["pid"], info["proto"]) == ("adds", "lab", os.getpid(), "mesh/1")
    (endpoint,) = info["endpoints"]
    assert (endpoint["name"], endpoint["subject"], endpoint["queue_group"]) == ("add", "calc.add", "calc")
    assert endpoint["metadata"]["signature"] == "calc.add(a: int, b: int) -> int"
    assert endpoint["metadata"]["description"] == "Add two numbers."
    assert (endpoint["metadata"]["idempotent"], endpoint["metadata"]["read_only"]) == ("false", "false")


def test_stats_begin_at_zero_and_tell_the_capacity(told: Introspection) -> None:
    stats: Any = told.stats(103.5)
    assert (stats["uptime_s"], stats["in_flight"], stats["capacity"]) == (3.5, 0, 9)
    assert datetime.datetime.fromisoformat(stats["started"]).tzinfo is not None
    assert 0.0 < stats["cpu_s"] <= time.process_time()
    assert stats["memory"] > 1 << 20
    (endpoint,) = stats["endpoints"]
    assert (endpoint["num_requests"], endpoint["num_errors"], endpoint["average_processing_time"]) == (0, 0, 0)


def ask(told: Introspection, method: str, *arguments: object, body: bytes | None = None) -> Reply:
    """Ask the core, and return its answer."""
    body = msgspec.msgpack.encode(arguments) if body is None else body
    actions = told._core.handle(RequestReceived(b"client", encode([Call(1, method, body)], Limits())[0]), 101.0)
    [reply] = [
        record
        for action in actions
        if isinstance(action, Answer)
        for record in action.records
        if isinstance(record, Reply)
    ]
    return reply


def decoded(reply: Reply) -> Any:
    assert isinstance(reply.body, bytes)
    return msgspec.msgpack.decode(reply.body)


@pytest.mark.parametrize("question", [["calc.add"], {"method": "calc.add"}])
def test_a_method_is_described_with_its_schema(told: Introspection, question: object) -> None:
    told.offer()
    described = decoded(ask(told, "mesh.describe", body=msgspec.msgpack.encode(question)))
    assert (described["type"], described["subject"]) == ("mesh.v1.describe_response", "calc.add")
    assert (described["signature"], described["description"]) == (
        "calc.add(a: int, b: int) -> int",
        "Add two numbers.",
    )
    assert described["schema"]["arguments"]["properties"] == {"a": {"type": "integer"}, "b": {"type": "integer"}}
    assert described["schema"]["result"] == {"type": "integer"}


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (msgspec.msgpack.encode(["calc.ad"]), Status.NOT_FOUND, "unknown method calc.ad; nearest: calc.add"),
        (msgspec.msgpack.encode([]), Status.INVALID_ARGUMENT, "mesh.describe takes the full name of one method"),
        (msgspec.msgpack.encode([7]), Status.INVALID_ARGUMENT, "mesh.describe takes the full name of one method"),
        (b"\xc1", Status.INVALID_ARGUMENT, "mesh.describe takes the full name of one method"),
        (b"", Status.INVALID_ARGUMENT, "mesh.describe takes the full name of one method"),
    ],
)
def test_what_cannot_be_described_is_said(told: Introspection, body: bytes, status: Status, message: str) -> None:
    told.offer()
    refused = ask(told, "mesh.describe", body=body)
    assert refused.status == status
    assert refused.detail is not None
    assert refused.detail.message.startswith(message)


def test_a_server_is_drained_and_taken_back(told: Introspection, caplog: pytest.LogCaptureFixture) -> None:
    told.offer()
    for _ in range(2):
        drained = decoded(ask(told, "mesh.drain"))
        assert (drained["type"], drained["state"], drained["in_flight"]) == ("mesh.v1.drain_response", "DRAINING", 0)
    for _ in range(2):
        assert decoded(ask(told, "mesh.resume"))["state"] == "SERVING"
    assert [record.getMessage() for record in caplog.records] == [
        "ann was told to drain: it takes no more calls until it is told to",
        "ann was told to take calls again",
    ]


def test_a_server_that_stops_stays_so(told: Introspection) -> None:
    told.offer()
    told._core.handle(Stopping(), 100.5)
    assert ask(told, "mesh.drain").status == 0
    refused = ask(told, "mesh.resume")
    assert refused.status == Status.FAILED_PRECONDITION
    assert refused.detail is not None
    assert "start it again" in refused.detail.message


def test_a_server_that_is_not_to_be_drained_refuses(told: Introspection) -> None:
    told._config = ServerConfig(drainable=False)
    told.offer()
    for method in ("mesh.drain", "mesh.resume"):
        assert ask(told, method).status == Status.PERMISSION_DENIED
    assert told._core.state == ServerState.SERVING


def test_figures_say_how_it_is_and_what_waits(told: Introspection) -> None:
    for number in (1, 2, 3):
        call = Call(number, "calc.add", b"\x92\x01\x02")
        told._core.handle(RequestReceived(b"client", encode([call], Limits())[0]), 101.0)
    figures = told.figures()
    assert (figures.name, figures.realm, figures.version, figures.state) == ("ann", "lab", "1.0.0", "SERVING")
    assert (figures.in_flight, figures.waiting, figures.capacity, figures.clients) == (3, 2, 9, 1)
    assert abs(figures.started_unix - time.time()) < 60
    assert figures.memory > 1 << 20
    assert [(method.method, method.status) for method in figures.methods] == [("calc.add", 0)]


def test_health_follows_the_state(told: Introspection) -> None:
    assert told.health(101.0)["status"] == "SERVING"
    told._core.handle(Stopping(), 102.0)
    assert told.health(102.0)["status"] == "DRAINING"
    told._core.end(103.0)
    assert told.health(103.0)["status"] == "NOT_SERVING"
