"""Tracing into memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from mesh import tracing


class Traces:
    """The spans that have ended."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self._kept))

    def ended(self) -> list[ReadableSpan]:
        """Return them in the order of their beginning."""
        return sorted(self._kept.get_finished_spans(), key=lambda span: span.start_time or 0)

    def children(self, parent: ReadableSpan | None, kind: SpanKind | None = None) -> list[ReadableSpan]:
        """Return those below one, or those below none that was made here."""
        made = {span.context.span_id for span in self.ended()}
        found = []
        for span in self.ended():
            above = span.parent.span_id if span.parent is not None and span.parent.span_id in made else None
            if above == (parent.context.span_id if parent is not None else None) and kind in (None, span.kind):
                found.append(span)
        return found

    def tree(self, parent: ReadableSpan | None = None) -> list[object]:
        """Return names and kinds as nested lists: `client calc.add`, followed by what is below it."""
        told: list[object] = []
        for span in self.children(parent):
            told.append(f"{span.kind.name.lower()} {span.name}")
            if below := self.tree(span):
                told.append(below)
        return told


@pytest.fixture
def traces() -> Iterator[Traces]:
    """Trace whatever is made during a test."""
    traces = Traces()
    tracing.instrument(traces.provider)
    yield traces
    tracing.uninstrument()
    traces.provider.shutdown()
