"""Tables and JSON of what was measured."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from scripts.bench_figures import UNITS, Figure, Sample, Section, median

__all__ = ["as_json", "print_figures", "print_section"]


def _number(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"


def print_section(console: Console, section: Section, samples: Mapping[str, Sequence[Sample]]) -> None:
    """Print what each contender of a section has done: medians over all rounds."""
    keys = [key for key in UNITS if any(key in one for taken in samples.values() for one in taken)]
    table = Table(box=None, pad_edge=False, header_style="dim", title=section.name, title_justify="left")
    table.add_column("median", min_width=44)
    for key in keys:
        table.add_column(UNITS[key][0], justify="right", min_width=9)
    for name, taken in samples.items():
        medians = median(taken)
        table.add_row(name, *(_number(medians[key]) if key in medians else "" for key in keys))
    console.print(table)
    for sentence in section.skipped:
        console.print(Text(f"skipped: {sentence}", "yellow"), soft_wrap=True)
    console.print()


def print_figures(console: Console, figures: Sequence[Figure]) -> None:
    """Print the ratios and whether they reach what they have to."""
    table = Table(box=None, pad_edge=False, header_style="dim", title="ratios", title_justify="left")
    table.add_column("section")
    table.add_column("what")
    for head in ("ratio", "low", "high", "limit"):
        table.add_column(head, justify="right")
    table.add_column("")
    for figure in figures:
        ratio = figure.ratio
        numbers = (f"{value:.2f}" for value in (figure.median, figure.low, figure.high))
        verdict = Text("") if figure.met is None else Text("met", "green") if figure.met else Text("MISSED", "bold red")
        table.add_row(figure.section, _sentence(figure), *numbers, str(ratio.limit or ""), verdict)
    console.print(table)


def _sentence(figure: Figure) -> str:
    ratio = figure.ratio
    key, base_key = UNITS[ratio.key][0], UNITS[ratio.base_key or ratio.key][0]
    return f"{ratio.of} / {ratio.base}, {key}" + (f" / {base_key}" if key != base_key else "")


def as_json(
    measured: Mapping[str, Mapping[str, Sequence[Sample]]], figures: Sequence[Figure], skipped: Sequence[str]
) -> dict[str, Any]:
    """Return what JSON says of all sections."""
    return {
        "machine": {"cpus": os.cpu_count(), "load": os.getloadavg(), "python": platform.python_version()},
        "contenders": [
            {"section": section, "contender": name, "rounds": len(taken), **median(taken)}
            for section, samples in measured.items()
            for name, taken in samples.items()
        ],
        "figures": [
            {
                "section": figure.section,
                "what": _sentence(figure),
                "ratio": figure.median,
                "low": figure.low,
                "high": figure.high,
                "limit": str(figure.ratio.limit) if figure.ratio.limit else None,
                "met": figure.met,
            }
            for figure in figures
        ],
        "skipped": list(skipped),
    }
