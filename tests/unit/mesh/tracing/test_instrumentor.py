"""What opentelemetry-instrument finds."""

from __future__ import annotations

import pkgutil
import tomllib
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import TracerProvider

from mesh.instruments import instrumented_call
from tests.unit.mesh.tracing.conftest import Traces

PROJECT = Path(__file__).parents[4]


def _make(call: object) -> None:
    """Make a call."""


@pytest.mark.parametrize("options", [{}, {"skip_dep_check": True}])
def test_the_entry_point_begins_to_trace_and_ends_it(options: dict[str, bool]) -> None:
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    instrumentor = pkgutil.resolve_name(project["entry-points"]["opentelemetry_instrumentor"]["mesh"])()
    instrumentor.instrument(**options)
    traced = instrumented_call(_make, lambda observer: None)
    instrumentor.uninstrument(**options)
    assert traced is not _make
    assert instrumented_call(_make, lambda observer: None) is _make


def test_what_is_installed_already_stays(traces: Traces) -> None:
    pkgutil.resolve_name("mesh.tracing:Instrumentor")().instrument(tracer_provider=TracerProvider())
    seen: list[object] = []
    instrumented_call(_make, seen.append)
    assert len(seen) == 1
