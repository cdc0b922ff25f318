"""Traces by OpenTelemetry: a span for each call, one for each attempt below it, and one where it is run below that.

    mesh.tracing.instrument()                # in a program, or in a file that mesh serve loads
    opentelemetry-instrument mesh gateway    # does the same in a program that is not to be changed

Names and attributes follow the conventions for RPC (version 1.44), and those for gRPC in what is an error. The context
of a trace travels in the metadata of a call, by whatever propagator the program has set up: as `traceparent` (W3C Trace
Context) unless that says otherwise. Needs opentelemetry-api, the extra `otel`; what becomes of spans is up to an SDK.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from opentelemetry import trace

from mesh.instruments import install_calls, install_runner
from mesh.tracing.calls import CallTracer
from mesh.tracing.handlers import TracingRunner

__all__ = ["Instrumentor", "instrument", "uninstrument"]

_SCHEMA = "https://opentelemetry.io/schemas/1.44.0"
_installed: list[Callable[[], None]] = []
"""What takes out what is installed."""


def instrument(tracer_provider: trace.TracerProvider | None = None) -> None:
    """Trace the calls of every client and server that is made from now on; a second time does nothing.

    Without this, or before, a call costs what it always did.

    Args:
        tracer_provider: Makes the spans. None: the program's.
    """
    if _installed:
        return
    tracer = trace.get_tracer("mesh", tracer_provider=tracer_provider, schema_url=_SCHEMA)
    _installed.append(install_calls(CallTracer(tracer)))
    _installed.append(install_runner(lambda runner: TracingRunner(runner, tracer)))


def uninstrument() -> None:
    """Trace no client and no server that is made from now on."""
    while _installed:
        _installed.pop()()


class Instrumentor:
    """What `opentelemetry-instrument` finds by its entry point, and calls."""

    def instrument(self, **options: Any) -> None:
        """Trace by the `tracer_provider` among the options, if there is one."""
        instrument(options.get("tracer_provider"))

    def uninstrument(self, **options: Any) -> None:
        """Trace no client and no server that is made from now on."""
        uninstrument()
