"""A gate in a server that serves: refusals, waits and signs of life, in every lane."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from mesh import Client, RemoteError, Service, Status
from mesh.core.work import Work
from mesh.hosting import ServerParts
from mesh.io.hosts import ThreadHost
from mesh.workers.gate import Gate
from mesh.workers.messages import Doubt
from mesh.workers.worker import GatedRunner
from tests.helpers import PATIENCE_S, wait_until
from tests.unit.mesh.workers.test_gate import Log

LANES = ["inline", "threaded", "coroutine"]


class MethodLog(Log):
    """Tells calls apart by their method alone."""

    def mark(self, work: Work) -> str:
        return work.method


@dataclass
class Served:
    host: ThreadHost
    gate: Gate
    log: MethodLog
    cleared: list[str]
    client: Client
    release: threading.Event
    """Ends `s.hold`."""

    def learn(self, *doubts: Doubt) -> None:
        """Tell the gate, and return when it knows."""
        known = threading.Event()
        self.host.soon(lambda: self.gate.learn(doubts, time.monotonic()))
        self.host.soon(known.set)
        assert known.wait(PATIENCE_S)


def service(release: threading.Event) -> Service:
    s = Service("s", threads=4)

    @s.method(threaded=False)
    def inline() -> str:
        return threading.current_thread().name

    @s.method
    def threaded() -> str:
        return threading.current_thread().name

    @s.method
    async def coroutine() -> str:
        await asyncio.sleep(0)
        return threading.current_thread().name

    @s.method
    def hold() -> None:
        release.wait(PATIENCE_S)

    return s


@pytest.fixture
def served() -> Iterator[Served]:
    release, log, cleared = threading.Event(), MethodLog(), list[str]()
    parts = ServerParts([service(release)], "tcp://127.0.0.1:0", "s-1", False, None, None, None)
    gate = Gate(log, cleared.append, "reload")
    link = parts.bind()
    runner = GatedRunner(parts.runner(), gate)
    host = ThreadHost(parts.core(), link, runner, parts.config.limits, parts.threads(), lambda notice: None, gate)
    with Client(parts.endpoints, discover=False) as client:
        yield Served(host, gate, log, cleared, client, release)
        release.set()
        host.drain(5.0)
        host.join()


@pytest.mark.parametrize("lane", LANES)
def test_a_condemned_call_is_answered_and_others_run(served: Served, lane: str) -> None:
    served.learn(Doubt(f"s.{lane}", f"s.{lane}", 3, False, 60.0))
    with pytest.raises(RemoteError) as caught:
        served.client.call(f"s.{lane}")
    assert caught.value.code is Status.FAILED_PRECONDITION
    for other in LANES:
        if other != lane:
            assert served.client.call(f"s.{other}")
    assert served.log.running == {}
    assert served.gate.ended == 3


@pytest.mark.parametrize("lane", LANES)
def test_a_suspect_waits_for_its_last_chance_until_nothing_else_runs(served: Served, lane: str) -> None:
    served.learn(Doubt(f"s.{lane}", f"s.{lane}", 2, True))
    with ThreadPoolExecutor(2) as pool:
        holding = pool.submit(served.client.call, "s.hold")
        wait_until(lambda: served.log.marks == ["s.hold"])
        trial = pool.submit(served.client.call, f"s.{lane}")
        served.learn()
        assert not trial.done()
        assert served.log.marks == ["s.hold"]
        served.release.set()
        assert trial.result()
        assert holding.result() is None
    assert served.cleared == [f"s.{lane}"]


def test_the_wait_for_a_last_chance_is_bounded_by_signs_of_life(served: Served) -> None:
    served.learn(Doubt("s.inline", "s.inline", 2, True))
    with ThreadPoolExecutor(2) as pool:
        pool.submit(served.client.call, "s.hold")
        wait_until(lambda: served.log.marks == ["s.hold"])
        trial = pool.submit(served.client.call, "s.inline")
        while not trial.done():
            served.learn()
        assert served.log.marks == ["s.hold"]
        served.release.set()


def test_signs_of_life_come_from_the_thread_that_serves(served: Served) -> None:
    names: list[str] = []
    served.host.soon(lambda: names.append(threading.current_thread().name))
    wait_until(lambda: names)
    assert names == [served.client.call("s.inline")]
