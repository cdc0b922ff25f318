"""How fast the mesh is, beside bare pyzmq loops measured in the same run.

    python -m scripts.bench [SECTION…] [--rounds N] [--seconds N] [--peers] [--quick] [--json] [--check]
    python -m scripts.bench core --store

Every measurement has fresh processes, servers and client apart. The contenders of a section take turns, round after
round, and each round gives one ratio to its base: other work on the machine moves absolute numbers by a third, ratios
much less. Shown are medians over all rounds, of ratios also the lowest and the highest. Everything takes ten minutes.
`floor` makes calls as the mesh does and promises nothing: what is between it and a bare loop is the price of calls in
Python, what is between it and the mesh is the price of failover, deadlines and bounds.

`core` counts instructions, which are the same on a noisy machine; --store writes them down, and --check tells whether
they have grown since.

Exit code 1: something could not be measured, or with --check a ratio missed its limit.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from scripts.bench_core import store
from scripts.bench_figures import BenchError, Effort, Figure, Sample, Section
from scripts.bench_report import as_json, print_figures, print_section
from scripts.bench_sections import PEERS_SECTION, SECTIONS

__all__ = ["main"]

_FULL, _QUICK = Effort(), Effort(rounds=1, seconds=0.1, many=20)
_SECONDS_MAX = 60.0


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    names = ", ".join(SECTIONS)
    parser = argparse.ArgumentParser(prog="python -m scripts.bench", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "sections", nargs="*", metavar="SECTION", help=f"what to measure (default: all but the last): {names}"
    )
    parser.add_argument("--rounds", type=int, help=f"rounds of each section (default: {_FULL.rounds})")
    parser.add_argument(
        "--seconds", type=float, help=f"length of one measurement of calls (default: {_FULL.seconds:g})"
    )
    parser.add_argument(
        "--peers", action="store_true", help="measure other libraries too, as far as they are installed"
    )
    parser.add_argument(
        "--quick", action="store_true", help="one short round, to see that it works; its figures mean nothing"
    )
    parser.add_argument("--json", action="store_true", help="print a JSON object")
    parser.add_argument("--store", action="store_true", help="count what `core` is compared with, and store it")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a ratio misses its limit")
    given = parser.parse_args(argv)
    for name in given.sections:
        if name not in SECTIONS:
            parser.error(f"there is no section {name!r}; choose from {names}")
    given.sections = given.sections or [name for name in SECTIONS if name != PEERS_SECTION]
    if given.peers and PEERS_SECTION not in given.sections:
        given.sections.append(PEERS_SECTION)
    if given.store and given.sections != ["core"]:
        parser.error("--store is for the section core alone: python -m scripts.bench core --store")
    usual = _QUICK if given.quick else _FULL
    given.rounds = usual.rounds if given.rounds is None else given.rounds
    given.seconds = usual.seconds if given.seconds is None else given.seconds
    given.many = usual.many
    if given.rounds < 1 or not 0 < given.seconds <= _SECONDS_MAX:
        parser.error(f"--rounds takes a number from 1, --seconds one above 0 and up to {_SECONDS_MAX:g}")
    return given


def _measure(section: Section, rounds: int, progress: Progress) -> dict[str, list[Sample]]:
    """Measure every contender of a section in turn, round after round."""
    samples: dict[str, list[Sample]] = {contender.name: [] for contender in section.contenders}
    task = progress.add_task(section.name, total=rounds * len(samples))
    for _ in range(rounds):
        for contender in section.contenders:
            progress.update(task, description=f"{section.name}: {contender.name}", refresh=True)
            samples[contender.name].append(contender.measure())
            progress.advance(task)
    progress.remove_task(task)
    return samples


def main(argv: Sequence[str] | None = None) -> int:
    """Measure what the arguments ask for; return the exit code."""
    given = _arguments(argv)
    effort = Effort(given.rounds, given.seconds, given.many)
    console = Console(highlight=False, quiet=given.json)
    if not console.is_terminal:
        console.width = 140
    errors = Console(stderr=True, highlight=False)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    measured: dict[str, dict[str, list[Sample]]] = {}
    figures: list[Figure] = []
    skipped: list[str] = []
    # What draws it by itself, from a thread, would disturb what is measured.
    progress = Progress(*columns, console=errors, auto_refresh=False, transient=True, disable=not errors.is_terminal)
    try:
        if given.store:
            print(store())
            return 0
        for name in given.sections:
            section = SECTIONS[name](effort)
            with progress:
                samples = measured[name] = _measure(section, effort.rounds, progress)
            figures += [Figure.measured(name, ratio, samples) for ratio in section.ratios]
            skipped += section.skipped
            print_section(console, section, samples)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    if figures:
        print_figures(console, figures)
    if given.json:
        json.dump(as_json(measured, figures, skipped), sys.stdout, indent=2)
        print()
    return 1 if given.check and any(figure.met is False for figure in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
