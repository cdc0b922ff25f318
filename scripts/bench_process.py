"""Processes of a measurement: what they say, line by line, and what they cost."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from scripts import usage
from scripts.bench_figures import BenchError

__all__ = ["PROJECT", "Worker"]

PROJECT = Path(__file__).resolve().parent.parent


class Worker:
    """A process of `scripts.bench_worker`; killed at the end of the `with` block.

    Args:
        arguments: `serve KIND [COUNT]` or `call KIND`.
    """

    def __init__(self, *arguments: str) -> None:
        self._name = " ".join(arguments)
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scripts.bench_worker", *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
        )

    def hear(self) -> Any:
        """Return the next line of JSON that it prints. Raises BenchError if it ends instead."""
        assert self._process.stdout is not None
        assert self._process.stderr is not None
        line = self._process.stdout.readline()
        if not line:
            complaints = self._process.stderr.read().strip()
            last = (complaints or f"exit code {self._process.wait()}").splitlines()[-1]
            raise BenchError(f"{self._name} ended early: {last}")
        return json.loads(line)

    def tell(self, value: object) -> None:
        """Give it a line of JSON to read."""
        assert self._process.stdin is not None
        print(json.dumps(value), file=self._process.stdin, flush=True)

    def cpu_s(self) -> float:
        """Return the processor time of all its threads, in seconds."""
        return usage.cpu_s(self._process.pid)

    def rss_mib(self) -> float:
        """Return its resident memory, in MiB."""
        return usage.resident_octets(self._process.pid) / (1 << 20)

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Kill it, and release what it leaves."""
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()
