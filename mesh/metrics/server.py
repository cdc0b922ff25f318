"""What servers tell of themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mesh.aio import AsyncServer
from mesh.core.figures import ServerFigures
from mesh.errors import ClosedError, Status
from mesh.metrics.families import CallDurations, Family, counter, gauge
from mesh.metrics.loops import in_loop
from mesh.sync import Server

__all__ = ["FiguresCollector", "ServerCollector"]

_COUNTED = (
    ("shed", "shed", "Calls refused for want of room."),
    ("expired", "expired", "Calls dropped because their caller had given up."),
    ("duplicates", "duplicates", "Calls answered from memory because of their key."),
    ("garbage", "garbage", "Messages that could not be read."),
    ("unanswerable", "unanswerable", "Answers whose client was gone."),
    ("cpu_seconds", "cpu_s", "Processor time of its process."),
)
_MEASURED = (
    ("calls_in_flight", "in_flight", "Calls admitted and not answered."),
    ("calls_waiting", "waiting", "Calls admitted that have not begun."),
    ("calls_capacity", "capacity", "Calls that are admitted at once; one more is shed."),
    ("window", "window", "Calls that one client may have in flight."),
    ("clients", "clients", "Clients that spoke, as far as they are remembered."),
    ("start_time_seconds", "started_unix", "When it came to life, in seconds since 1970."),
    ("memory_bytes", "memory", "Memory of its process."),
)
"""Names of metrics, fields of `ServerFigures`, and what they are."""
_STATES = ("SERVING", "DRAINING", "NOT_SERVING")


class FiguresCollector(Collector):
    """Tells of servers whose figures somebody brings when it is scraped.

    Args:
        read: Returns the figures of the servers that there are, and the names of those that do not tell theirs.
    """

    def __init__(self, read: Callable[[], tuple[Sequence[ServerFigures], Sequence[str]]]) -> None:
        self._read = read

    def describe(self) -> list[Metric]:
        """Return nothing: a registry that asks at registration would have the servers asked for nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield everything there is to tell."""
        read, silent = self._read()
        servers = sorted(read, key=lambda server: server.name)
        responding = gauge("mesh_server_responding", "1 if its loop turns, 0 if that gave no answer in time.", "server")
        info = gauge("mesh_server_info", "Always 1; says what the server is.", "server", "version", "realm")
        state = gauge("mesh_server_state", "1 for the state that it is in, else 0.", "server", "state")
        durations = CallDurations(
            "rpc_server_call_duration_seconds", "Seconds in the handler, without waiting for its turn.", "server"
        )
        families = [responding, info, state]
        for name in silent:
            responding.put(0, name)
        for server in servers:
            responding.put(1, server.name)
            info.put(1, server.name, server.version, server.realm)
            for word in _STATES:
                state.put(word == server.state, server.name, word)
            for method in server.methods:
                status = Status(method.status)
                durations.add(method.durations, method.method, status, status.name if status else "", server.name)
        families += [
            _filled(gauge(f"mesh_server_{name}", text, "server"), field, servers) for name, field, text in _MEASURED
        ]
        families += [
            _filled(counter(f"mesh_server_{name}", text, "server"), field, servers) for name, field, text in _COUNTED
        ]
        for family in families:
            yield family.metric()
        yield from durations.metrics()


class ServerCollector(FiguresCollector):
    """Tells of a server of this process when it is scraped; that of an AsyncServer is to be made in its loop.

    Between scrapes nothing is done for it. While the server's loop does not turn it tells that alone; once the server
    has stopped, or before it is started, nothing.

    Args:
        server: Is read.
    """

    def __init__(self, server: Server | AsyncServer) -> None:
        super().__init__(self._look)
        self._server = server
        self._loop = asyncio.get_running_loop() if isinstance(server, AsyncServer) else None

    def _look(self) -> tuple[Sequence[ServerFigures], Sequence[str]]:
        try:
            figures, stopped = self._look_in_loop(self._loop) if self._loop is not None else self._look_at_thread()
        except ClosedError:  # it was not started
            return (), ()
        if figures is not None:
            return (figures,), ()
        return (), () if stopped else (self._server.name,)

    def _look_at_thread(self) -> tuple[ServerFigures | None, bool]:
        server = self._server
        assert isinstance(server, Server)
        return server.figures(), server.wait(0.0)

    def _look_in_loop(self, loop: asyncio.AbstractEventLoop) -> tuple[ServerFigures | None, bool]:
        read = in_loop(loop, lambda: (self._server.figures(), True))
        return (None, loop.is_closed()) if read is None else read


def _filled(family: Family, field: str, servers: Sequence[ServerFigures]) -> Family:
    for server in servers:
        family.put(float(getattr(server, field)), server.name)
    return family
