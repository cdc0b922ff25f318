"""What a client tells of its calls and of the servers that it sees."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mesh.aio import AsyncClient
from mesh.core.client import Counters
from mesh.core.view import ServerView
from mesh.metrics.families import CallDurations, counter, gauge
from mesh.metrics.labels import METHODS_MAX, OTHER, SERVERS_MAX, Labels
from mesh.metrics.loops import in_loop
from mesh.metrics.recorder import CallRecorder
from mesh.sync import Client

__all__ = ["ClientCollector"]

_STATES = ("alive", "suspect", "dead", "draining", "ejected", "proving", "connecting", "waiting", "ignored")
_COUNTED = (
    ("calls", "calls", "Calls that were made."),
    ("attempts_moved", "moved", "Attempts given up for another server."),
    ("retries_paid", "retries_paid", "Retries that were drawn from the budget."),
    ("hedges", "hedged", "Second attempts made while the first was still out."),
    ("hedges_won", "hedges_won", "Second attempts that were answered first."),
    ("ejections", "ejections", "Times that a server was left aside because it failed while others succeeded."),
    ("dials", "dials", "Connections that were tried."),
    ("connections_lost", "lost", "Connections that carried calls and were lost."),
    ("late_replies", "late_replies", "Answers that nobody waited for any more."),
    ("garbage", "garbage", "Messages that could not be read."),
    ("stray", "stray", "Messages of connections that are gone."),
    ("unknown_records", "unknown_records", "Records of kinds that this version does not know."),
    ("peers_refused", "peers_refused", "Advertisements left aside because there were too many."),
)
"""Names of metrics, fields of `Counters`, and what they are."""


class ClientCollector(Collector):
    """Tells of a client when it is scraped; that of an AsyncClient is to be made in its loop.

    Between scrapes nothing is done but to count how long each call took. A client that is closed, or whose loop
    does not turn, tells nothing.

    Args:
        client: Is read.
        servers_max: So many servers are told of one by one, in the order in which they came; the rest together.
        methods_max: The same for methods.
    """

    def __init__(
        self, client: Client | AsyncClient, *, servers_max: int = SERVERS_MAX, methods_max: int = METHODS_MAX
    ) -> None:
        self._client = client
        self._loop = asyncio.get_running_loop() if isinstance(client, AsyncClient) else None
        self._servers = Labels(servers_max)
        self._recorder = CallRecorder(methods_max)
        client.observe(self._recorder)

    def describe(self) -> list[Metric]:
        """Return nothing: a registry that asks at registration would have the servers looked at for nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield everything there is to tell."""
        read = self._read() if self._loop is None else in_loop(self._loop, self._read)
        if read is None:
            return
        views, counters = read
        yield from _of_client(counters)
        durations = CallDurations(
            "rpc_client_call_duration_seconds", "Seconds from the beginning of a call to its end, over all attempts."
        )
        for method, status, kind, taken in self._recorder.durations():
            durations.add(taken, method, status, kind)
        yield from durations.metrics()
        yield from self._of_servers(views)

    def _read(self) -> tuple[Sequence[ServerView], Counters]:
        return self._client.servers(), self._client.counters()

    def _of_servers(self, views: Sequence[ServerView]) -> Iterator[Metric]:
        self._servers.keep({view.name for view in views})
        states = gauge("mesh_client_servers", "Servers that the client knows, by state.", "state")
        state = gauge("mesh_client_server_state", "1 for the state in which the client sees a server.", *_BY_STATE)
        in_flight = gauge("mesh_client_server_in_flight", "Calls of this client that a server has.", "server")
        window = gauge("mesh_client_server_window", "Calls of this client that a server may have.", "server")
        load = gauge("mesh_client_server_load", "Calls of all clients that a server had when it last spoke.", "server")
        rtt = gauge("mesh_client_server_rtt_seconds", "Smoothed round trip of PINGs.", "server")
        p50 = gauge("mesh_client_server_latency_p50_seconds", "Half of its answers took no longer.", "server")
        p99 = gauge("mesh_client_server_latency_p99_seconds", "99 % of its answers took no longer.", "server")
        answered = counter("mesh_client_server_answers", "Calls that a server has answered well.", "server")
        errors = counter("mesh_client_server_errors", "Calls that a server has answered with an error.", "server")
        for word in _STATES:
            states.add(0, word)
        for view in views:
            states.add(1, view.state)
            if view.state == "ignored":
                continue
            label = self._servers.of(view.name)
            in_flight.add(view.in_flight, label)
            window.add(view.window, label)
            load.add(view.load, label)
            if label == OTHER:  # the sum of counters would fall when one of them leaves, and look like a restart
                continue
            state.add(1, label, view.state)
            answered.add(view.answered, label)
            errors.add(view.errors, label)
            if view.rtt_s is not None:
                rtt.put(view.rtt_s, label)
            if view.answered:
                p50.put(view.latency_p50_s, label)
                p99.put(view.latency_p99_s, label)
        for family in (states, state, in_flight, window, load, rtt, p50, p99, answered, errors):
            yield family.metric()


_BY_STATE = ("server", "state")


def _of_client(counters: Counters) -> Iterator[Metric]:
    still_open = gauge("mesh_client_calls_open", "Calls that have not ended.")
    still_open.add(counters.open)
    yield still_open.metric()
    for name, field, text in _COUNTED:
        counted = counter(f"mesh_client_{name}", text)
        counted.add(getattr(counters, field))
        yield counted.metric()
