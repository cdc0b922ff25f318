"""How fast the gateway is beside the same framework that answers without a mesh.

    python -m scripts.gateway_bench [--rounds 5] [--seconds 2] [--callers 32] [--json]

Starlette on uvicorn answers by itself, and the gateway, which is made of the same, has a server of the mesh answer; in
turns, on loopback, for JSON (`add`) and octets (`echo`). Of each the median of the rounds counts. The exit status is 1
if the gateway does less than 0.8 of the requests in the same time, or if any request failed.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
from dataclasses import dataclass

from scripts.gateway_load import Load, request
from scripts.gateway_stage import Stage
from scripts.usage import cpu_s

__all__: list[str] = []

RATIO_MIN = 0.8
_REQUESTS = {
    "add": request("/v1/call/work/add", b'{"a": 2, "b": 3}'),
    "echo": request("/v1/call/work/echo", b"x" * 256),
}
_WARM_S = 0.5


@dataclass(frozen=True)
class Round:
    """What one did in one turn."""

    rate: float
    """Responses a second."""
    cpu_us: float
    """Processor time of its process for each, in microseconds."""
    p50_ms: float
    p99_ms: float
    failed: int


def _measure(pid: int, port: int, asked: bytes, callers: int, seconds: float) -> Round:
    before = cpu_s(pid)
    tally = asyncio.run(Load(port, asked, callers).run(seconds))
    took_s = cpu_s(pid) - before
    latencies = statistics.quantiles(tally.latencies_s, n=100)
    count = len(tally.latencies_s)
    return Round(count / seconds, took_s / count * 1e6, latencies[49] * 1e3, latencies[98] * 1e3, tally.failed)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="scripts.gateway_bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    parser.add_argument("--callers", type=int, default=32, help="connections, one request at a time on each")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rounds: dict[tuple[str, str], list[Round]] = {}
    with Stage() as stage:
        stage.serve("one")
        contenders = {"framework": stage.framework(), "gateway": stage.gateway()}
        for pid, port in contenders.values():
            for asked in _REQUESTS.values():
                _measure(pid, port, asked, given.callers, _WARM_S)
        for _ in range(given.rounds):
            for method, asked in _REQUESTS.items():
                for name, (pid, port) in contenders.items():
                    measured = _measure(pid, port, asked, given.callers, given.seconds)
                    rounds.setdefault((method, name), []).append(measured)
    return _report(rounds, as_json=given.json)


def _report(rounds: dict[tuple[str, str], list[Round]], *, as_json: bool) -> int:
    failed = sum(one.failed for measured in rounds.values() for one in measured)
    ratios: dict[str, float] = {}
    for method in _REQUESTS:
        plain, meshed = rounds[method, "framework"], rounds[method, "gateway"]
        # Of each pair of neighbours, so that what else the machine did counts for both.
        ratios[method] = statistics.median(ours.rate / theirs.rate for theirs, ours in zip(plain, meshed, strict=True))
    told = {
        f"{method} {name}": {
            key: round(statistics.median(getattr(one, key) for one in measured), 3)
            for key in ("rate", "cpu_us", "p50_ms", "p99_ms")
        }
        for (method, name), measured in rounds.items()
    }
    if as_json:
        print(json.dumps({"ratios": ratios, "failed": failed, "measured": told}))
    else:
        for name, figures in told.items():
            print(
                f"{name:<16}{figures['rate']:8.0f}/s {figures['cpu_us']:7.1f} us of processor "
                f"p50 {figures['p50_ms']:6.2f} ms  p99 {figures['p99_ms']:6.2f} ms"
            )
        said = ", ".join(f"{method} {ratio:.2f}" for method, ratio in ratios.items())
        print(f"gateway to framework: {said} (at least {RATIO_MIN}); failed: {failed}")
    return 0 if min(ratios.values()) >= RATIO_MIN and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
