"""How soon a server that starts is found and called."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from mesh import Client
from scripts.faults_report import Finding, Report, ms, spread
from scripts.fleet import Fleet

__all__ = ["Discovery", "discover_many", "discover_one"]


@dataclass(frozen=True)
class Discovery:
    """Milliseconds from just before a server binds until it has answered a waiting client."""

    first_ms: list[float]
    promised_ms: float

    @property
    def worst_ms(self) -> float:
        """The slowest."""
        return max(self.first_ms)

    def report(self) -> Report:
        """Hold the slowest against the promise."""
        return Report(
            (Finding("called after its bind", self.worst_ms, self.promised_ms, "ms"),), {"all": spread(self.first_ms)}
        )


def discover_one(starts: int = 20) -> Discovery:
    """Start one server after the other while a client waits for it with a call."""
    first_ms = []
    with Fleet() as fleet, Client(**fleet.settings) as client, ThreadPoolExecutor(1) as pool:
        for number in range(starts):
            name = f"s{number}"

            def call(peer: str = name) -> float:
                client.request("work.echo", b"first 0", timeout=30.0, peer=peer)
                return time.monotonic()

            answered = pool.submit(call)
            node = fleet.launch(name)
            starts_at = node.ready().starts_at
            first_ms.append(ms(answered.result() - starts_at))
            node.terminate()
            node.wait()
    return Discovery(first_ms, promised_ms=50.0)


def discover_many(processes: int = 10, each: int = 20) -> Discovery:
    """Start many servers at once while a client waits for all of them; the time is from the last bind."""
    count = processes * each
    with Fleet() as fleet, Client(**fleet.settings) as client, ThreadPoolExecutor(1) as pool:

        def wait() -> float:
            client.wait_for(count, service="work", timeout=60.0)
            return time.monotonic()

        alive = pool.submit(wait)
        nodes = [fleet.launch(f"p{number}", count=each) for number in range(processes)]
        last = max(node.ready().starts_at for node in nodes for _ in range(each))
        return Discovery([ms(alive.result() - last)], promised_ms=500.0)
