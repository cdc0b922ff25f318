"""Contenders that make calls, or could: how long one takes, how many a second, and what they cost both sides."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass

from scripts.bench_figures import Contender, Effort, Sample
from scripts.bench_process import Worker

__all__ = ["Calls", "Idle", "Servers"]

_SETTLES_S = 1.0
"""A client that has connected and called once is left alone for so long before it is weighed."""


@dataclass(frozen=True)
class Servers:
    """Servers of one kind, of which each process holds some."""

    kind: str
    processes: int = 1
    each: int = 1


def _start(stack: ExitStack, fleet: tuple[Servers, ...]) -> tuple[list[Worker], list[int]]:
    """Start servers that end with the stack; return their processes and, in the same order, their ports."""
    workers = [
        stack.enter_context(Worker("serve", servers.kind, str(servers.each)))
        for servers in fleet
        for _ in range(servers.processes)
    ]
    return workers, [port for worker in workers for port in worker.hear()]


@dataclass(frozen=True)
class Calls:
    """Calls of one kind of client to one kind of server."""

    client: str
    servers: tuple[Servers, ...]
    in_flight: int = 1
    octets: int = 100

    def contender(self, name: str, effort: Effort) -> Contender:
        """Return what measures them."""
        return Contender(name, lambda: self._measure(effort.seconds))

    def _measure(self, seconds: float) -> Sample:
        with ExitStack() as stack:
            client = stack.enter_context(Worker("call", self.client))  # imports while the servers start
            workers, ports = _start(stack, self.servers)
            client.tell({"ports": ports, "in_flight": self.in_flight, "octets": self.octets, "seconds": seconds})
            client.hear()
            cpu_s = sum(worker.cpu_s() for worker in workers)
            found: dict[str, float] = client.hear()
            cpu_s = sum(worker.cpu_s() for worker in workers) - cpu_s
            calls = found.pop("calls")
            return {**found, "server_cpu_us": cpu_s / calls * 1e6}


@dataclass(frozen=True)
class Idle:
    """A client that is connected to servers and does nothing."""

    client: str
    servers: Servers

    def contender(self, name: str) -> Contender:
        """Return what weighs it."""
        return Contender(name, self._measure)

    def _measure(self) -> Sample:
        with ExitStack() as stack:
            client = stack.enter_context(Worker("idle", self.client))
            _, ports = _start(stack, (self.servers,))
            client.tell({"ports": ports})
            client.hear()
            time.sleep(_SETTLES_S)
            return {"rss_mib": client.rss_mib()}
