"""Under overload the newest call goes first: the oldest would be answered when its caller has just left."""

from __future__ import annotations

from mesh.core.wire import Call
from mesh.errors import Overloaded
from tests.unit.mesh.core.harness import Client
from tests.unit.mesh.core.test_server import BOOT, Server


def ask(server: Server, call_id: int, patience_s: float = 1.0) -> None:
    """Let a client make a call; 0 is endless patience."""
    deadline = int((server.now + patience_s) * 1000) if patience_s else 0
    server.send(Call(call_id, "calc.add", b"", deadline, BOOT))


def running(server: Server) -> list[int]:
    """Return the calls that run."""
    return [work.call_id for work in server.running]


def test_calls_that_wait_run_in_their_order_as_long_as_none_waits_in_vain() -> None:
    server = Server()
    for number in range(1, 5):
        ask(server, number)
    order = []
    while server.running:
        order += running(server)
        server.give()
    assert order == [1, 2, 3, 4]


def test_once_a_call_has_waited_in_vain_the_newest_goes_first_for_a_second() -> None:
    server = Server()
    ask(server, 1, 5.0)
    ask(server, 2, 0.1)
    for number in range(3, 7):
        ask(server, number, 5.0)
    server.now += 0.2
    server.give()  # 2 has waited in vain
    assert running(server) == [6]
    server.give()
    assert running(server) == [5]
    server.now += 1.1
    server.give()
    assert running(server) == [3]


def test_half_of_the_work_is_done_in_time_at_twice_the_load() -> None:
    server = Server()
    answered = asked = 0
    for step in range(1000):  # a handler takes 20 ms, and a call comes every 10 ms
        server.now = 1000.0 + step * 0.01
        ask(server, step + 1)
        asked += 1
        if step % 2 and server.running:
            [work] = server.running
            answered += work.deadline is not None and server.now <= work.deadline
            server.give()
    assert answered >= 0.45 * asked


def test_a_call_without_a_deadline_does_not_wait_for_ever() -> None:
    server = Server()
    ask(server, 1, 0.0)
    ask(server, 2, 0.0)
    ended = []
    for step in range(400):
        server.now = 1000.0 + step * 0.01
        ask(server, step + 10)
        if step % 2:
            ended += running(server)
            server.give()
        if step == 200:
            ask(server, 5000, 0.0)
    assert {1, 2, 5000} <= set(ended)


def test_what_waits_in_a_client_whose_servers_are_full_goes_newest_first_as_well() -> None:
    client = Client()
    far = client.join("a", window=1)
    first = client.call(timeout=60.0)
    in_vain = client.call(timeout=0.5)
    waiting = [client.call(timeout=60.0) for _ in range(3)]
    client.advance(0.6)
    assert isinstance(in_vain.error, Overloaded)
    far.answer(first)
    assert far.calls[-1].call_id == waiting[-1].call_id
    client.advance(1.0)
    far.answer(waiting[-1])
    assert far.calls[-1].call_id == waiting[0].call_id
