"""One process of a measurement: servers of one kind, or a client of one kind that makes calls or does nothing.

    python -m scripts.bench_worker serve KIND [COUNT]      # prints its ports, ends when its input does
    echo '{"ports": [5555], "in_flight": 64}' | python -m scripts.bench_worker call KIND
    echo '{"ports": [5555]}' | python -m scripts.bench_worker idle KIND     # connects, calls once, and stays

KIND is a key of SERVERS or CLIENTS of one of the modules of contenders: `raw.router`, `mesh.async`. So one contender
can be looked at by itself, with a profiler in front of it.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import signal
import sys
import threading
import time
from typing import Any

from scripts.bench_load import Load

__all__: list[str] = []

_WARM_UP = 0.25
"""Share of the time of a measurement that is spent before it."""
_STUCK_S = 60
"""A client that takes so much longer than it should is ended: bare loops wait for ever for an answer that was lost."""
_ONCE_S = 0.0001
"""Enough for one call."""


def _find(table: str, kind: str) -> Any:
    module, _, name = kind.partition(".")
    return getattr(importlib.import_module(f"scripts.bench_{module}"), table)[name]


def _serve(kind: str, servers: int) -> None:
    threading.Thread(target=_end_with_input, daemon=True).start()
    _find("SERVERS", kind)(servers, lambda ports: print(json.dumps(ports), flush=True))


def _end_with_input() -> None:
    """Leave when whoever started this process has ended, however that came about."""
    os.read(0, 1)
    os._exit(0)


def _read_load() -> Load:
    load = Load(**json.loads(sys.stdin.readline()))
    signal.alarm(int(2 * load.seconds) + _STUCK_S)
    return load


def _call(kind: str) -> None:
    load = _read_load()
    with _find("CLIENTS", kind)(load) as run:
        run(load.seconds * _WARM_UP)
        cpu_s, began = time.process_time(), time.perf_counter()
        print(json.dumps("measured from here"), flush=True)
        tally = run(load.seconds)
        elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
        found = {"calls": tally.calls, "rate": tally.calls / elapsed_s, "client_cpu_us": cpu_s / tally.calls * 1e6}
        if tally.took_s:
            took_s = sorted(tally.took_s)
            found |= {"p50_us": took_s[len(took_s) // 2] * 1e6, "p99_us": took_s[len(took_s) * 99 // 100] * 1e6}
        print(json.dumps(found), flush=True)


def _idle(kind: str) -> None:
    with _find("CLIENTS", kind)(_read_load()) as run:
        run(_ONCE_S)
        print(json.dumps("idle"), flush=True)
        sys.stdin.read()


def main() -> None:
    """Do what the arguments say."""
    what, kind, *rest = sys.argv[1:]
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))  # a thousand servers need some thousands
    if what == "serve":
        _serve(kind, int(rest[0]) if rest else 1)
    elif what == "idle":
        _idle(kind)
    else:
        _call(kind)


if __name__ == "__main__":
    main()
