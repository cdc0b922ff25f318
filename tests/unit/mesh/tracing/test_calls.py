"""Spans of attempts: those that were refused, moved, hedged or lost."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from mesh.core.calls import PendingCall
from mesh.core.events import CallsRequested
from mesh.tracing.calls import CallTracer
from tests.unit.mesh.core.harness import Client, Far
from tests.unit.mesh.tracing.conftest import Traces


class Traced:
    """A client without a network whose calls are traced, and two servers."""

    def __init__(self, traces: Traces) -> None:
        self.tracer = CallTracer(traces.provider.get_tracer("test"))
        self.client = Client()
        self.client.core.observe(self.tracer)
        self.fars = [self.client.join("a"), self.client.join("b")]

    def call(self, method: str = "calc.add") -> PendingCall:
        """Make a call, as a caller does."""
        now = self.client.now
        call = PendingCall(method, b"", 0, now, now + 5.0)
        self.tracer.begins(call)
        self.client.feed(CallsRequested([call]))
        return call

    def holder(self, call: PendingCall) -> Far:
        """Return the server that has the latest attempt."""
        assert call.at is not None
        return next(far for far in self.fars if far.conn_id == call.at.conn_id)


@pytest.fixture
def traced(traces: Traces) -> Traced:
    return Traced(traces)


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_each_attempt_has_a_span_and_takes_it_to_its_server(traced: Traced, traces: Traces) -> None:
    call = traced.call()
    first = traced.holder(call)
    traced.client.advance(0.01)
    first.refuse(call)
    traced.client.advance(0.5)
    second = traced.holder(call)
    second.answer(call)
    [root] = traces.children(None)
    refused, answered = traces.children(root)
    sent = [far.calls[-1].metadata or {} for far in (first, second)] if first is not second else []
    sent = sent or [record.metadata or {} for record in first.calls]
    assert [metadata["traceparent"].split("-")[2] for metadata in sent] == [
        f"{span.context.span_id:016x}" for span in (refused, answered)
    ]
    assert (told(refused)["mesh.attempt"], told(answered)["mesh.attempt"]) == (1, 2)
    assert told(refused)["error.type"] == "refused"
    assert refused.status.status_code is StatusCode.ERROR
    assert told(answered)["mesh.attempt.result"] == "answered"
    assert answered.status.status_code is StatusCode.UNSET
    assert told(root)["mesh.attempt"] == 2
    assert told(root)["mesh.peer.name"] == second.identity


def test_an_attempt_of_a_lost_server_ends_when_it_was_lost(traced: Traced, traces: Traces) -> None:
    call = traced.call()
    lost = traced.holder(call)
    lost.down()
    traced.client.advance(0.04)
    traced.holder(call).answer(call)
    [root] = traces.children(None)
    gone, answered = traces.children(root)
    assert told(gone)["error.type"] == "link lost"
    assert gone.end_time is not None
    assert answered.end_time is not None
    assert answered.end_time - gone.end_time == pytest.approx(40_000_000, rel=0.01)


def test_who_was_slower_has_not_failed(traced: Traced, traces: Traces) -> None:
    for _ in range(30):  # then the method is known, and a late answer asked for twice
        call = traced.call()
        traced.client.advance(0.001)
        traced.holder(call).answer(call)
    call = traced.call()
    before = traced.holder(call)
    traced.client.advance(0.1)
    after = traced.holder(call)
    assert after is not before, "it was not hedged"
    after.answer(call)
    slower, faster = traces.children(traces.children(None)[-1])
    assert told(slower)["mesh.attempt.result"] == "another server was faster"
    assert slower.status.status_code is StatusCode.UNSET
    assert told(faster)["mesh.attempt.result"] == "answered"


def test_nothing_is_kept_of_a_call_that_has_ended(traced: Traced) -> None:
    call = traced.call()
    traced.client.abandon(call)
    traced.tracer.finished(call, traced.client.now)
    traced.tracer.abandoned(call, traced.client.now)
    assert traced.tracer._open == {}


def test_a_call_from_before_is_sent_as_it_is(traced: Traced) -> None:
    call = traced.client.call(metadata={"mine": "1"})
    assert [record.metadata for record in traced.holder(call).calls] == [{"mine": "1"}]
