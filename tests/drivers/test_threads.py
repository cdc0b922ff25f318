"""What only the sync API has: many threads on one client, and interrupts."""

from __future__ import annotations

import _thread
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from mesh import CallTimeout, Client, ClosedError, Server
from mesh.core.calls import Watch
from mesh.io import link, thread
from mesh.io.bell import _Event
from mesh.io.poller import Poller
from tests.drivers.services import Gate, echo_service
from tests.helpers import PATIENCE_S, wait_until


@pytest.fixture
def gate() -> Gate:
    return Gate()


@pytest.fixture
def server(gate: Gate) -> Iterator[Server]:
    with Server(echo_service(), gate.service(), bind="tcp://127.0.0.1:0", advertise=False) as server:
        yield server
        gate.opened.set()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(server.endpoints, discover=False) as client:
        yield client


class Caller(threading.Thread):
    """A thread that makes one call."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self._call = call
        self.outcome: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.outcome = self._call()
        except BaseException as error:
            self.outcome = error

    def result(self) -> Any:
        self.join(PATIENCE_S)
        assert not self.is_alive(), "the call has not returned"
        return self.outcome


def test_many_threads_share_a_client(client: Client) -> None:
    def add(thread: int) -> list[int]:
        return [client.call("echo.add", thread * 1000, number) for number in range(30)]

    with ThreadPoolExecutor(16) as threads:
        sums = list(threads.map(add, range(16)))
    assert sums == [[thread * 1000 + number for number in range(30)] for thread in range(16)]
    assert client.counters().calls == 16 * 30


def test_a_quick_call_does_not_wait_for_the_slow_one_of_the_leader(client: Client, gate: Gate) -> None:
    leader = Caller(lambda: client.request("gate.wait", b"slow").body)
    assert gate.entered.wait(PATIENCE_S)
    assert [client.call("echo.add", number, 0) for number in range(20)] == list(range(20))
    gate.opened.set()
    assert leader.result() == b"slow"


def test_the_lead_is_handed_over_when_the_leaders_call_is_over(client: Client, gate: Gate) -> None:
    quick = Gate()
    with (
        Server(quick.service("quick"), bind="tcp://127.0.0.1:0", advertise=False) as other,
        Client([*_endpoints(client), *other.endpoints], discover=False) as both,
    ):
        leader = Caller(lambda: both.request("quick.wait", b"leader").body)
        assert quick.entered.wait(PATIENCE_S)
        followers = [Caller(lambda: both.request("gate.wait", b"follower").body) for _ in range(4)]
        wait_until(lambda: gate.runs == 4)
        quick.opened.set()
        assert leader.result() == b"leader"
        gate.opened.set()  # somebody else has to take in the answers now
        assert [follower.result() for follower in followers] == [b"follower"] * 4
        assert both.call("echo.add", 1) == 11


def _endpoints(client: Client) -> tuple[str, ...]:
    return client.wait_for()[0].addresses


def interrupt_main_when_it_waits() -> None:
    main = threading.main_thread().ident
    assert main is not None
    wait_until(lambda: sys._current_frames()[main].f_code is Poller.wait.__code__)
    _thread.interrupt_main()


def test_an_interrupt_ends_the_call_of_the_main_thread(client: Client, gate: Gate) -> None:
    def interrupt() -> None:
        gate.entered.wait(PATIENCE_S)
        interrupt_main_when_it_waits()

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        client.request("gate.wait", b"", timeout=PATIENCE_S)
    interrupter.join()
    assert client.call("echo.add", 1) == 11


def test_an_interrupted_leader_leaves_the_lead_to_a_follower(client: Client, gate: Gate) -> None:
    followers: list[Caller] = []

    def interrupt() -> None:
        gate.entered.wait(PATIENCE_S)
        followers.extend(Caller(lambda: client.request("gate.wait", b"follower").body) for _ in range(2))
        wait_until(lambda: gate.runs == 3)
        interrupt_main_when_it_waits()

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        client.request("gate.wait", b"leader", timeout=PATIENCE_S)
    interrupter.join()
    gate.opened.set()
    assert [follower.result() for follower in followers] == [b"follower"] * 2


def test_an_interrupt_while_the_leader_takes_up_what_others_left_loses_nothing(client: Client, gate: Gate) -> None:
    driver, watch = client._driver, Watch(1, "", 0.0, time.monotonic() + PATIENCE_S)
    desk, take_up = driver._desk, driver._desk._take_up

    def interrupted(left: Iterable[Any]) -> None:
        desk._take_up = take_up
        raise KeyboardInterrupt

    def leave_work() -> None:
        gate.entered.wait(PATIENCE_S)
        desk._take_up = interrupted
        watch.waiter = driver._bells.take()
        desk._left.append(watch)
        driver._leader_wake.set()
        watch.waiter.wait()
        if driver._leader is watch:
            driver._lead(watch)

    caller = Caller(leave_work)
    with pytest.raises(KeyboardInterrupt):
        client.request("gate.wait", b"leader", timeout=PATIENCE_S)
    assert caller.result() is None
    assert watch.done
    assert not desk.is_mine()
    assert client.call("echo.add", 1) == 11


def test_calls_that_were_taken_up_but_not_made_when_an_interrupt_came_are_made(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver, callers = client._driver, list[Caller]()

    def hold() -> None:
        callers.extend(Caller(lambda: client.call("echo.add", 1)) for _ in range(2))
        wait_until(lambda: driver._desk.count_left() == 2)
        monkeypatch.setattr(driver, "_request", interrupted)

    def interrupted(items: list[Any]) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        driver._desk.do(hold)
    assert [caller.result() for caller in callers] == [11, 11]


@pytest.mark.parametrize("step", ["_raw_send", "_raw_recv"])
def test_an_interrupt_in_the_midst_of_a_message_spoils_no_other(
    client: Client, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.call("echo.add", 1)
    perform, steps = getattr(link, step), 0

    def interrupted(*arguments: Any, **options: Any) -> Any:
        nonlocal steps
        if threading.current_thread() is threading.main_thread():
            steps += 1
            if steps == 2:
                raise KeyboardInterrupt
        return perform(*arguments, **options)

    monkeypatch.setattr(link, step, interrupted)

    def call_on() -> None:
        for _ in range(1000):  # the keeper may have done it for the first of them
            client.call("echo.add", 2)

    with pytest.raises(KeyboardInterrupt):
        call_on()
    assert client.call("echo.add", 3) == 13
    assert client.call("echo.add", 4) == 14
    assert client.counters().open == 0


def test_a_call_in_the_midst_of_one_of_the_same_thread_is_refused(client: Client) -> None:
    with pytest.raises(RuntimeError, match="in the midst of a call"):
        client._driver._desk.do(lambda: client.call("echo.add", 1))  # as a signal handler might
    assert client.call("echo.add", 1) == 11


def test_closing_ends_the_calls_of_every_thread(server: Server, gate: Gate) -> None:
    client = Client(server.endpoints, discover=False)
    callers = [Caller(lambda: client.request("gate.wait", b"")) for _ in range(4)]
    wait_until(lambda: gate.runs == 4)
    closers = [Caller(client.close) for _ in range(3)]
    assert all(isinstance(caller.result(), ClosedError) for caller in callers)
    assert [closer.result() for closer in closers] == [None] * 3


class Crowd:
    """Callers of a client that wait at a gate, served by the keeper."""

    def __init__(self, client: Client, gate: Gate) -> None:
        quick = Gate()
        self._quick = Server(quick.service("quick"), bind="tcp://127.0.0.1:0", advertise=False)
        self._quick.start()
        self.client = Client([*_endpoints(client), *self._quick.endpoints], discover=False)
        leader = Caller(lambda: self.client.request("quick.wait", b"").body)
        assert quick.entered.wait(PATIENCE_S)
        self.callers = [Caller(lambda: self.client.request("gate.wait", b"").body) for _ in range(3)]
        wait_until(lambda: gate.runs == 3)
        assert not self.gathered
        quick.opened.set()
        leader.result()
        assert self.gathered

    @property
    def gathered(self) -> bool:
        return self.client._driver._crowded

    def close(self) -> None:
        self.client.close()
        self._quick.stop()


@pytest.fixture
def crowd(client: Client, gate: Gate) -> Iterator[Crowd]:
    with contextlib.closing(Crowd(client, gate)) as crowd:
        yield crowd


def test_the_calls_of_a_crowd_are_answered_by_the_keeper(crowd: Crowd, gate: Gate) -> None:
    assert crowd.client.call("echo.add", 1) == 11
    assert crowd.gathered
    assert crowd.client._driver._leader is None
    gate.opened.set()
    assert [caller.result() for caller in crowd.callers] == [b""] * 3


def test_whoever_goes_on_alone_gets_the_sockets_back_from_the_keeper(crowd: Crowd, gate: Gate) -> None:
    for _ in range(thread._THIN_TURNS):
        crowd.client.call("echo.add", 1)
    assert not crowd.gathered
    assert crowd.client._driver._leader is not None, "one of those who wait"
    gate.opened.set()
    assert [caller.result() for caller in crowd.callers] == [b""] * 3
    assert crowd.client.call("echo.add", 1) == 11


def test_a_crowd_that_makes_no_calls_is_none_any_more(crowd: Crowd, gate: Gate) -> None:
    wait_until(lambda: not crowd.gathered)
    gate.opened.set()
    assert [caller.result() for caller in crowd.callers] == [b""] * 3


def test_a_call_in_a_crowd_ends_at_its_deadline(crowd: Crowd) -> None:
    with pytest.raises(CallTimeout):
        crowd.client.request("gate.wait", b"", timeout=0.01)


def test_an_interrupt_ends_one_call_of_a_crowd(crowd: Crowd, gate: Gate) -> None:
    main = threading.main_thread().ident
    assert main is not None

    def interrupt() -> None:
        wait_until(lambda: crowd.client.counters().open == 4)
        wait_until(lambda: sys._current_frames()[main].f_code is _Event.wait.__code__)
        signal.pthread_kill(main, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        crowd.client.request("gate.wait", b"", timeout=PATIENCE_S)
    interrupter.join()
    assert crowd.client.counters().open == 3
    gate.opened.set()
    assert [caller.result() for caller in crowd.callers] == [b""] * 3
    assert crowd.client.call("echo.add", 1) == 11


def test_closing_ends_the_calls_of_a_crowd_also_one_that_was_just_left(crowd: Crowd) -> None:
    driver = crowd.client._driver
    late = Watch(1, "nobody", 0.0, time.monotonic() + PATIENCE_S)
    late.waiter = driver._bells.take()
    driver._desk.leave_work(late)  # its thread has not yet woken the keeper
    crowd.client.close()
    assert all(isinstance(caller.result(), ClosedError) for caller in crowd.callers)
    late.waiter.wait()
    assert isinstance(late.error, ClosedError)
    with pytest.raises(ClosedError):
        crowd.client.call("echo.add", 1)


def test_servers_and_counters_can_be_read_while_others_call(client: Client, gate: Gate) -> None:
    caller = Caller(lambda: client.request("gate.wait", b"").body)
    assert gate.entered.wait(PATIENCE_S)
    (view,) = client.servers()
    assert view.in_flight == 1
    assert client.counters().calls == 1
    gate.opened.set()
    assert caller.result() == b""


def test_an_idle_client_keeps_its_servers_alive_and_sees_one_go(client: Client, server: Server) -> None:
    client.call("echo.add", 1)
    server.stop()
    wait_until(lambda: [view.state for view in client.servers()] != ["alive"])
