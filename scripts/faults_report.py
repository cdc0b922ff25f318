"""What an experiment found: each promise with the figure measured beside it, as a table, lines or JSON."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rich.console import Console
from rich.table import Table
from rich.text import Text

from mesh import ClientConfig
from scripts.pace import percentile

__all__ = ["Finding", "Report", "Result", "as_json", "ms", "print_report", "spread", "tail"]

_WIDTHS = (7, 44, 12, 12, 46)


@dataclass(frozen=True)
class Finding:
    """One promise and what was measured; it is kept if the figure is not above the limit."""

    what: str
    measured: float
    limit: float
    unit: str = ""
    why: str = ""
    """What the limit is made of."""

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        return self.measured <= self.limit


@dataclass(frozen=True)
class Report:
    """What one experiment found."""

    findings: tuple[Finding, ...]
    notes: dict[str, Any] = field(default_factory=dict)
    """Figures that nothing is promised of, and the conditions."""

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return all(finding.kept for finding in self.findings)


class Result(Protocol):
    """What an experiment returns."""

    def report(self) -> Report:
        """Hold the figures against what is promised."""


def ms(seconds: float) -> float:
    """Return milliseconds, to a tenth."""
    return round(seconds * 1000.0, 1)


def tail(normal_ms: Sequence[float], during_ms: Sequence[float], what: str) -> Finding:
    """Hold the slowest hundredth of calls during a fault against that of before, and the delay of a second attempt."""
    p99, p95 = percentile(normal_ms, 0.99), percentile(normal_ms, 0.95)
    slack = ms(ClientConfig().hedge_slack_s)
    why = f"3 x p99 {p99:.1f} + hedge delay (p95 {p95:.1f} + {slack:g})"
    return Finding(what, percentile(during_ms, 0.99), round(3 * p99 + p95 + slack, 1), "ms", why)


def spread(values: Sequence[float]) -> str:
    """Say what the middle and the largest of some milliseconds are."""
    if not values:
        return "none"
    return f"median {statistics.median(values):.1f} ms, worst {max(values):.1f} ms of {len(values)}"


def as_json(name: str, report: Report, took_s: float) -> dict[str, Any]:
    """Return what JSON says of an experiment."""
    findings = [
        {"what": one.what, "measured": one.measured, "limit": one.limit, "unit": one.unit, "kept": one.kept}
        for one in report.findings
    ]
    return {"name": name, "took_s": round(took_s, 1), "kept": report.kept, "findings": findings, "notes": report.notes}


def print_report(console: Console, name: str, report: Report, took_s: float) -> None:
    """Print the findings as rows of one table that all experiments share, and the notes below."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1))
    for width in _WIDTHS:
        table.add_column(width=width)
    for one in report.findings:
        verdict = Text("kept", "green") if one.kept else Text("BROKEN", "bold red")
        table.add_row(verdict, one.what, _figure(one.measured, one.unit), f"<= {_figure(one.limit, one.unit)}", one.why)
    console.print(Text.assemble((name, "bold"), f"  {took_s:.0f} s"))
    console.print(table)
    notes = "; ".join(f"{what}: {value}" for what, value in report.notes.items() if value not in ("", [], {}))
    if notes:
        console.print(Text(f"        {notes}", "dim"), soft_wrap=True)
    console.print()


def _figure(value: float, unit: str) -> str:
    number = f"{value:g}" if value == int(value) else f"{value:.3g}" if abs(value) < 10 else f"{value:.1f}"
    return f"{number} {unit}".rstrip()
