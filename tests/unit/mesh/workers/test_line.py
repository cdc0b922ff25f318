"""Messages between a supervisor and a worker, and the end of either."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from mesh.workers.line import Line, supervisor_line, worker_line
from mesh.workers.messages import (
    Activate,
    Beat,
    Bury,
    Cleared,
    Departed,
    Doubt,
    Doubts,
    Drain,
    Failed,
    FromWorker,
    Leaving,
    Loaded,
    Serving,
    Setup,
    ToWorker,
)

Ends = tuple[Line[FromWorker], Line[ToWorker], socket.socket]


@pytest.fixture
def ends() -> Iterator[Ends]:
    """The supervisor's, the worker's, and the socket of the latter."""
    one, other = socket.socketpair()
    supervisor, worker = supervisor_line(one), worker_line(other)
    yield supervisor, worker, other
    supervisor.close()
    worker.close()


def test_every_message_arrives_as_it_was(ends: Ends) -> None:
    supervisor, worker, _ = ends
    setup = Setup(
        targets=("a.py",),
        bind="tcp://*:0",
        name=None,
        token="ab",
        advertise=True,
        realm=None,
        interfaces=("lo",),
        beat_s=1.0,
        hang_s=5.0,
    )
    doubt = Doubt("ab", "calc.add", 2, True, 0.5)
    down: list[ToWorker] = [setup, Activate(1, 2, (doubt,)), Doubts((doubt,)), Bury(Departed("i", "n", ("s",), "e"))]
    up: list[FromWorker] = [Loaded(("s",), ("s.m",)), Failed("why", 2), Serving("n", "i", ("e",)), Beat(1, 2)]
    for to_worker in [*down, Drain()]:
        supervisor.send(to_worker)
    for from_worker in [*up, Leaving(), Cleared("ab")]:
        worker.send(from_worker)
    assert worker.receive() == [*down, Drain()]
    assert supervisor.receive() == [*up, Leaving(), Cleared("ab")]
    assert not worker.ended


def test_what_an_application_writes_into_the_line_is_left_out(ends: Ends) -> None:
    supervisor, worker, connection = ends
    connection.send(b'hello\n{"type":"Beat"}\n')
    worker.send(Beat(1, 2))
    assert supervisor.receive() == [Beat(1, 2)]


def test_nobody_blocks_on_a_side_that_does_not_read(ends: Ends) -> None:
    supervisor, worker, _ = ends
    for number in range(100_000):
        worker.send(Beat(0, number))
    read: list[FromWorker] = []
    while messages := supervisor.receive():
        read += messages
        worker.flush()
    assert 1000 < len(read) < 100_000
    assert read == [Beat(0, number) for number in range(len(read))]


def test_the_end_of_one_side_is_seen_by_the_other_after_its_last_message(ends: Ends) -> None:
    supervisor, worker, _ = ends
    supervisor.send(Drain())  # unread when the worker dies
    worker.send(Leaving())
    worker.close()
    assert supervisor.receive() == [Leaving()]
    assert supervisor.ended
    supervisor.send(Drain())
