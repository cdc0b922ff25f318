"""Spans of a server: one for each handler that runs, below the attempt that brought the call."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from opentelemetry import context, propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from mesh.core.events import ReplyGiven
from mesh.core.work import Work
from mesh.errors import Status
from mesh.io.serving import Runner
from mesh.tracing.attributes import ATTEMPT, CALL_ID, CLIENT, ERROR_TYPE, STATUS_CODE, of_call

__all__ = ["TracingRunner"]

_OWN_FAULTS = {
    Status.UNKNOWN,
    Status.DEADLINE_EXCEEDED,
    Status.UNIMPLEMENTED,
    Status.INTERNAL,
    Status.UNAVAILABLE,
    Status.DATA_LOSS,
}
"""What is an error of the server, rather than of who called (OpenTelemetry conventions for gRPC)."""


class TracingRunner:
    """Runs handlers, each within a span: what it calls itself becomes a child of that.

    Args:
        runner: Runs them really.
        tracer: Makes the spans.
    """

    def __init__(self, runner: Runner, tracer: trace.Tracer) -> None:
        self._runner = runner
        self._tracer = tracer

    def run(self, work: Work) -> ReplyGiven:
        """Run a sync handler to its end."""
        span, within = self._begin(work)
        token = context.attach(within)
        try:
            reply = self._runner.run(work)
        finally:
            context.detach(token)
        _end(span, reply)
        return reply

    def run_async(self, work: Work) -> Coroutine[Any, Any, ReplyGiven]:
        """Run a coroutine handler."""
        return self._run_async(work)

    async def _run_async(self, work: Work) -> ReplyGiven:
        span, within = self._begin(work)
        context.attach(within)  # the context of a call is its own, and ends with it
        try:
            reply = await self._runner.run_async(work)
        except BaseException:
            span.end()
            raise
        _end(span, reply)
        return reply

    def cancel(self, work: Work) -> None:
        """Tell a running handler that nobody waits for it."""
        self._runner.cancel(work)

    def _begin(self, work: Work) -> tuple[Span, context.Context]:
        # Not from the context in which this runs: a loop has that of whoever started the server.
        parent = propagate.extract(work.metadata or {}, context.Context())
        attributes = {**of_call(work.method), CALL_ID: work.call_id, ATTEMPT: work.attempt, CLIENT: work.client.hex()}
        span = self._tracer.start_span(work.method, parent, SpanKind.SERVER, attributes)
        return span, trace.set_span_in_context(span, parent)


def _end(span: Span, reply: ReplyGiven) -> None:
    status = Status(reply.status) if reply.ran else Status.DEADLINE_EXCEEDED
    span.set_attribute(STATUS_CODE, status.name)
    detail = reply.detail
    if status is not Status.OK:
        span.set_attribute(ERROR_TYPE, status.name)
        if status in _OWN_FAULTS:
            span.set_status(StatusCode.ERROR, detail.message if detail is not None else "its caller had given up")
        if detail is not None and detail.type:
            told = {"exception.type": detail.type, "exception.message": detail.message}
            span.add_event(
                "exception", {**told, "exception.stacktrace": detail.traceback} if detail.traceback else told
            )
    span.end()
