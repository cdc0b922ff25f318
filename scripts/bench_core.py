"""What a call costs the cores alone: seconds, which depend on the machine's mood, and instructions, which do not.

Valgrind's callgrind counts instructions and allocations of `scripts.bench_pair`. Start-up is not in it: the program
calls getppid(2) before and after what is counted, and callgrind begins another part there. Two counts of the same code
differ by less than a thousandth, so a regression of some hundredths shows on any machine. Another build of Python or of
msgspec has other counts; figures are stored for one build of each minor version of Python.
"""

from __future__ import annotations

import functools
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from scripts.bench_figures import BenchError, Contender, Effort, Limit, Ratio, Sample, Section
from scripts.bench_process import PROJECT

__all__ = ["core_section", "read_part", "store"]

_STORED = Path(__file__).with_suffix(".json")
_TOLERANCE = 0.02
"""Instructions per call may grow by this share of those that are stored; it is stored with them."""
_IN_FLIGHT = {"one by one": 1, "64 at a time": 64, "256 at a time, a window of 128": 256}
_COUNTED_CALLS = 512
_TIMED_CALLS = 20_480
_MARK = "getppid"
_ALLOCATORS = {"_PyObject_Malloc", "_PyObject_Calloc", "_PyObject_Realloc"}
"""Where every object of Python begins that no free list of its type has room for."""


def _name(kind: str) -> str:
    return f"cores, {kind}"


def _stored_name(kind: str) -> str:
    return f"cores, {kind}, as stored"


def _build() -> str:
    """Return what the counts depend on beside our own code."""
    python = f"{platform.python_implementation()} {platform.python_version()} {platform.python_compiler()}"
    return f"{python} {platform.machine()}, msgspec {version('msgspec')}"


def _minor() -> str:
    return ".".join(platform.python_version_tuple()[:2])


def _run(command: list[str], **environment: str) -> list[dict[str, float]]:
    ended = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=PROJECT, env={**os.environ, **environment}
    )
    if ended.returncode:
        last = (ended.stderr.strip() or f"exit code {ended.returncode}").splitlines()[-1]
        raise BenchError(f"{' '.join(command[:4])} failed: {last}")
    return [json.loads(line) for line in ended.stdout.splitlines()]


def _pair(calls: int, *in_flight: int) -> list[str]:
    return [sys.executable, "-m", "scripts.bench_pair", str(calls), *map(str, in_flight)]


def read_part(text: str) -> tuple[int, int]:
    """Return the instructions, and the calls of allocators, in one part of callgrind's output."""
    instructions = re.search(r"^summary: (\d+)", text, re.MULTILINE)
    if instructions is None:
        raise BenchError("callgrind has written a part without a summary; try another version of valgrind")
    calls = re.findall(r"^cfn=(\S+)\ncalls=(\d+)", text, re.MULTILINE)
    return int(instructions[1]), sum(int(number) for name, number in calls if name in _ALLOCATORS)


@functools.cache
def _counted() -> dict[str, Sample]:
    """Return instructions and allocations per call of each kind; they are the same every time."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        valgrind = ["valgrind", "--tool=callgrind", "--compress-strings=no", f"--dump-before={_MARK}"]
        # The hash of a str decides where it stands in a dict.
        _run(
            [*valgrind, f"--callgrind-out-file={out}", *_pair(_COUNTED_CALLS, *_IN_FLIGHT.values())], PYTHONHASHSEED="0"
        )
        found: dict[str, Sample] = {}
        for number, kind in enumerate(_IN_FLIGHT):
            part = out.with_suffix(f".{2 * (number + 1)}")  # those between are what comes before a mark
            instructions, allocations = read_part(part.read_text())
            found[kind] = {"instructions": instructions / _COUNTED_CALLS, "allocations": allocations / _COUNTED_CALLS}
        return found


def _measure(kind: str) -> Sample:
    (timed,) = _run(_pair(_TIMED_CALLS, _IN_FLIGHT[kind]))
    return timed if shutil.which("valgrind") is None else {**timed, **_counted()[kind]}


def _read_stored() -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(_STORED.read_text()) if _STORED.exists() else {}
    return stored


def _comparable() -> tuple[Mapping[str, Any], str]:
    """Return what is stored, or nothing and the reason."""
    if shutil.which("valgrind") is None:
        return (
            {},
            "core: instructions are counted by valgrind, which is not installed; on Debian: apt-get install valgrind",
        )
    stored = _read_stored().get(_minor())
    remedy = "store it on a commit that you trust: python -m scripts.bench core --store"
    if stored is None:
        return {}, f"core: nothing is stored for Python {_minor()}; {remedy}"
    if stored["build"] != _build():
        return {}, f"core: what is stored was counted with {stored['build']}, and this is {_build()}; {remedy}"
    return stored, ""


def core_section(effort: Effort) -> Section:
    """Return the section; what is stored takes part as a contender."""
    stored, why = _comparable()
    contenders = [Contender(_name(kind), functools.partial(_measure, kind)) for kind in _IN_FLIGHT]
    ratios: list[Ratio] = []
    for kind, sample in stored.get("per_call", {}).items():
        contenders.append(Contender(_stored_name(kind), functools.partial(dict, sample)))
        limit = Limit(at_most=1 + stored["tolerance"])
        ratios.append(Ratio(_name(kind), _stored_name(kind), "instructions", limit))
        ratios.append(Ratio(_name(kind), _stored_name(kind), "allocations"))
    return Section("core", tuple(contenders), tuple(ratios), (why,) if why else ())


def store() -> str:
    """Count, and store that for this minor version of Python; return a sentence about it. Raises BenchError."""
    if shutil.which("valgrind") is None:
        raise BenchError(_comparable()[1])
    per_call = {kind: {key: round(value, 1) for key, value in sample.items()} for kind, sample in _counted().items()}
    stored = {**_read_stored(), _minor(): {"build": _build(), "tolerance": _TOLERANCE, "per_call": per_call}}
    _STORED.write_text(json.dumps(stored, indent=2) + "\n")
    figures = ", ".join(f"{sample['instructions']:.0f} {kind}" for kind, sample in per_call.items())
    return f"stored for Python {_minor()}, instructions per call: {figures}"
