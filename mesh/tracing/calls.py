"""Spans of a client: one for each call, and one for each of its attempts.

The span of a call begins in the thread or task of its caller, as a child of whatever span is current there. Those of
attempts begin and end where the client is driven; each takes the trace along to its server.
"""

from __future__ import annotations

import time

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, StatusCode

from mesh.config import Limits
from mesh.core.calls import PendingCall
from mesh.core.observer import status_of
from mesh.errors import Attempt, CallError, RemoteError, Status
from mesh.tracing.attributes import ATTEMPT, CALL_ID, ERROR_TYPE, RESULT, STATUS_CODE, of_call, of_peer

__all__ = ["CallTracer"]

_GIVEN = "traceparent"
"""Who gives this by hand says what the server sees (W3C Trace Context)."""
_METADATA_MAX = Limits().metadata_max
_ANSWERED = "answered"
_FASTER = "another server was faster"
"""An attempt that ended so is no failure."""


class _Open:
    """The spans of a call that has not ended."""

    __slots__ = ("attempts", "context", "given", "span")

    def __init__(self, span: Span, context: Context, given: bool) -> None:
        self.span: Span = span
        self.context: Context = context
        self.given: bool = given
        """The caller has given trace context of his own, which travels as it is."""
        self.attempts: dict[tuple[str, float], Span] = {}
        """By endpoint, and seconds since the beginning of the call."""


class CallTracer:
    """Traces calls of any number of clients.

    Args:
        tracer: Makes the spans.
    """

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer
        self._open: dict[PendingCall, _Open] = {}

    def begins(self, call: PendingCall) -> None:
        """Begin the span of a call, as a child of what its caller does now, or of what he says."""
        given = call.metadata is not None and _GIVEN in call.metadata
        parent = propagate.extract(call.metadata or {}) if given else None
        attributes = {**of_call(call.method), "server.address": call.service}
        span = self._tracer.start_span(call.method, parent, SpanKind.CLIENT, attributes)
        self._open[call] = _Open(span, trace.set_span_in_context(span, parent), given)

    def sent(self, call: PendingCall, metadata: dict[str, str] | None) -> dict[str, str] | None:
        """Begin the span of an attempt; have its server know it."""
        opened = self._open.get(call)
        if opened is None or call.at is None:
            return metadata
        conn = call.at
        where = {"server.address": conn.address.host, "server.port": conn.address.port, **of_peer(conn)}
        attributes = {**of_call(call.method), **where, CALL_ID: call.call_id, ATTEMPT: call.attempts}
        span = self._tracer.start_span(call.method, opened.context, SpanKind.CLIENT, attributes)
        opened.attempts[conn.endpoint, call.sent_at - call.started_at] = span
        if opened.given:
            return metadata
        carrier = dict(metadata or {})
        propagate.inject(carrier, trace.set_span_in_context(span, opened.context))
        octets = sum(len(name.encode()) + len(value.encode()) for name, value in carrier.items())
        return carrier if octets <= _METADATA_MAX else metadata  # rather untraced than refused

    def finished(self, call: PendingCall, now: float) -> None:
        """End the spans of a call that has ended."""
        opened = self._open.pop(call, None)
        if opened is None:
            return
        error = call.error
        self._end_attempts(opened, call, now, error.attempts if isinstance(error, CallError) else call.trace())
        status, span = status_of(error), opened.span
        span.set_attributes({CALL_ID: call.call_id, ATTEMPT: call.attempts, STATUS_CODE: status.name})
        if call.at is not None:
            span.set_attributes(of_peer(call.at))
        if error is not None:
            span.set_attribute(ERROR_TYPE, status.name if isinstance(error, RemoteError) else type(error).__name__)
            span.set_status(StatusCode.ERROR, str(error))
        span.end()

    def abandoned(self, call: PendingCall, now: float) -> None:
        """End the spans of a call that nobody waits for any more."""
        opened = self._open.pop(call, None)
        if opened is None:
            return
        self._end_attempts(opened, call, now, tuple(call.history or ()))
        cancelled = Status.CANCELLED.name
        opened.span.set_attributes({CALL_ID: call.call_id, STATUS_CODE: cancelled, ERROR_TYPE: cancelled})
        opened.span.set_status(StatusCode.ERROR, "its caller gave up")
        opened.span.end()

    @staticmethod
    def _end_attempts(opened: _Open, call: PendingCall, now: float, attempts: tuple[Attempt, ...]) -> None:
        ends_ns = time.time_ns()
        for attempt in attempts:
            span = opened.attempts.pop((attempt.address, attempt.started_s), None)
            if span is None:
                continue
            span.set_attribute(RESULT, attempt.result)
            if attempt.result not in (_ANSWERED, _FASTER):
                span.set_attribute(ERROR_TYPE, attempt.result.partition(":")[0].partition(",")[0])
                span.set_status(StatusCode.ERROR, attempt.result)
            ago_s = now - (call.started_at + attempt.started_s + attempt.elapsed_s)
            span.end(ends_ns - int(max(0.0, ago_s) * 1e9))
        for span in opened.attempts.values():  # of more than are written down, or out when the caller gave up
            span.end(ends_ns)
