"""The endpoint: what it answers, and whom it does not wait for."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mesh import ConfigError
from mesh.metrics import MetricsEndpoint, endpoint


@pytest.fixture
def registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    Gauge("answer", "To everything.", registry=registry).set(42)
    return registry


@pytest.fixture
def served(registry: CollectorRegistry) -> Iterator[MetricsEndpoint]:
    with MetricsEndpoint("127.0.0.1", 0, registry) as served:
        yield served


def port_of(served: MetricsEndpoint) -> int:
    port = urlsplit(served.url).port
    assert port is not None
    return port


def ask(served: MetricsEndpoint, method: str, path: str, **headers: str) -> tuple[int, http.client.HTTPMessage, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port_of(served), timeout=10)) as connection:
        connection.request(method, path, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()


def test_a_scrape_gets_the_text_and_its_kind(served: MetricsEndpoint) -> None:
    status, headers, body = ask(served, "GET", "/metrics?collect=all")
    assert (status, "answer 42.0" in body) == (200, True)
    assert headers["content-type"].startswith("text/plain; version=")
    assert headers["connection"] == "close"


def test_openmetrics_is_spoken_with_those_who_ask_for_it(served: MetricsEndpoint) -> None:
    _, headers, body = ask(served, "GET", "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["content-type"].startswith("application/openmetrics-text")
    assert body.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("HEAD", "/metrics", 200, ""),
        ("GET", "/", 404, "the metrics are at /metrics\n"),
        ("POST", "/metrics", 405, "the metrics are read by GET\n"),
    ],
)
def test_what_else_is_asked_is_answered_too(
    served: MetricsEndpoint, method: str, path: str, status: int, said: str
) -> None:
    answered = ask(served, method, path)
    assert (answered[0], answered[2]) == (status, said)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9464", "127.0.0.1:9464", "[::1]:9464", "10.0.0.7"])
def test_on_loopback_it_answers_to_addresses(served: MetricsEndpoint, host: str) -> None:
    assert ask(served, "GET", "/metrics", Host=host)[0] == 200


@pytest.mark.parametrize("host", ["evil.example", "evil.example:9464", "localhost.evil.example", "[evil]", ":", ""])
def test_on_loopback_it_does_not_answer_to_names_of_others(served: MetricsEndpoint, host: str) -> None:
    status, _, said = ask(served, "GET", "/metrics", Host=host)
    assert (status, said) == (421, "ask for localhost, or for an address\n")


def test_elsewhere_it_may_have_any_name(registry: CollectorRegistry) -> None:
    with MetricsEndpoint("0.0.0.0", 0, registry) as served:
        assert ask(served, "GET", "/metrics", Host="node-7.example")[0] == 200


@pytest.mark.parametrize("sent", [b"", b"\x16\x03\x01 hello", b"GET /metrics HTTP/1.1\r\n", b"x" * 100_000])
def test_who_speaks_no_http_harms_nobody(served: MetricsEndpoint, sent: bytes) -> None:
    stranger = socket.create_connection(("127.0.0.1", port_of(served)), timeout=10)
    with stranger, contextlib.suppress(OSError):
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
        assert stranger.recv(1) == b""
    assert ask(served, "GET", "/metrics")[0] == 200


def test_a_crowd_that_says_nothing_keeps_nobody_out(served: MetricsEndpoint) -> None:
    with contextlib.ExitStack() as stack:
        crowd = []
        for _ in range(3 * endpoint._CONNECTIONS_MAX):
            silent = socket.create_connection(("127.0.0.1", port_of(served)), timeout=10)
            stack.enter_context(silent)
            silent.sendall(b"GET")
            crowd.append(silent)
        assert ask(served, "GET", "/metrics")[0] == 200
        assert len(served._connections) <= endpoint._CONNECTIONS_MAX
        crowd[0].settimeout(endpoint._TIME_S / 2)  # who has been there longest gives way at once
        with contextlib.suppress(ConnectionResetError):
            assert crowd[0].recv(1) == b""


def test_who_is_too_slow_is_dropped(served: MetricsEndpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "_TIME_S", 0.05)
    slow = socket.create_connection(("127.0.0.1", port_of(served)), timeout=10)
    with slow, contextlib.suppress(ConnectionResetError):
        slow.sendall(b"GET")
        assert slow.recv(1) == b""


class Slow(Collector):
    """Takes its time, and notices when it is asked twice at the same time."""

    def __init__(self) -> None:
        self.asked = 0
        self.together = 0
        self._one = threading.Lock()

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> list[Metric]:
        self.asked += 1
        if not self._one.acquire(blocking=False):
            self.together += 1
            return []
        time.sleep(0.02)
        self._one.release()
        return []


def test_one_text_is_made_at_a_time(registry: CollectorRegistry, served: MetricsEndpoint) -> None:
    slow = Slow()
    registry.register(slow)
    askers = [threading.Thread(target=ask, args=(served, "GET", "/metrics")) for _ in range(5)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    assert (slow.asked, slow.together) == (5, 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "192.0.2.1", "no such host"])
def test_an_address_that_cannot_be_used_is_named(served: MetricsEndpoint, host: str) -> None:
    with pytest.raises(ConfigError, match=rf"metrics cannot be served on {host}:\d+: .*; give an address of this host"):
        MetricsEndpoint(host, port_of(served), CollectorRegistry())


def test_it_ends_with_somebody_who_still_reads(registry: CollectorRegistry) -> None:
    served = MetricsEndpoint("127.0.0.1", 0, registry)
    with socket.create_connection(("127.0.0.1", port_of(served)), timeout=10) as reader:
        reader.sendall(b"GET")
        served.close()
        served.close()


def test_the_place_of_an_ipv6_address_is_written_as_one(registry: CollectorRegistry) -> None:
    with MetricsEndpoint("::1", 0, registry) as served:
        assert served.url.startswith("http://[::1]:")


def test_without_a_registry_it_tells_how_its_process_does() -> None:
    with MetricsEndpoint("127.0.0.1", 0) as served:
        assert "process_cpu_seconds_total" in ask(served, "GET", "/metrics")[2]
