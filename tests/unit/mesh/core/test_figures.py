"""What a server has counted, as one value."""

from __future__ import annotations

import msgspec

from mesh.core.figures import Durations, MethodFigures, method_figures
from mesh.core.methods import MethodStats
from mesh.core.stats import BOUNDS_S


def at_most(*durations: float) -> tuple[int, ...]:
    return (*(sum(duration <= bound for duration in durations) for bound in BOUNDS_S), len(durations))


def test_each_way_to_end_has_its_own_durations() -> None:
    stats = MethodStats()
    for duration in (0.001, 0.02, 0.3):
        stats.histogram.record(duration)
    stats.failed(5, 0.02)
    good, failed = method_figures("calc.add", stats)
    assert (good.status, good.durations.at_most) == (0, at_most(0.001, 0.3))
    assert failed == MethodFigures("calc.add", 5, Durations(at_most(0.02), 0.02))
    assert abs(good.durations.total_s - 0.301) < 1e-9


def test_figures_travel() -> None:
    figures = tuple(method_figures("calc.add", MethodStats()))
    assert msgspec.json.decode(msgspec.json.encode(figures), type=tuple[MethodFigures, ...]) == figures
