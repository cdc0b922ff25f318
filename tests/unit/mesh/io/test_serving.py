"""The shell of a server towards clients that do not read: what waits for them is bounded, and holds up nobody else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, cast

import pytest

from mesh.config import ServerConfig
from mesh.core.actions import Notice
from mesh.core.events import ReplyGiven
from mesh.core.methods import INLINE, MethodInfo
from mesh.core.server import ServerCore, ServerIdentity
from mesh.core.wire import Call, Ping, encode
from mesh.core.work import Work
from mesh.io import serving
from mesh.io.link import Sent, ServerLink
from mesh.io.serving import Runner, ServerEngine

CONFIG = ServerConfig()
INFO = bytes(1000)


class Clients:
    """A link to clients of whom some do not read."""

    descriptor = -1

    def __init__(self) -> None:
        self.asked: list[tuple[bytes, list[bytes]]] = []
        self.deaf: set[bytes] = set()
        self.sent: list[tuple[bytes, list[bytes]]] = []
        self.tried: Counter[bytes] = Counter()
        self.while_sending: list[tuple[bytes, list[bytes]]] = []
        """What is asked during the next try to send."""

    def receive(self) -> tuple[bytes, list[bytes]] | None:
        return self.asked.pop(0) if self.asked else None

    def send(self, client: bytes, frames: Sequence[bytes]) -> Sent:
        self.tried[client] += 1
        self.asked += self.while_sending
        self.while_sending = []
        if client in self.deaf:
            return Sent.FULL
        self.sent.append((client, list(frames)))
        return Sent.OK

    def is_readable(self) -> bool:
        return bool(self.asked)

    def close(self) -> None:
        pass

    def ask(self, client: bytes, count: int = 1) -> None:
        calls = [Call(number, "mesh.info") for number in range(1, count + 1)]
        self.asked.append((client, encode(calls, CONFIG.limits)[0]))


class SlowRunner:
    """Takes longer for each call than a turn has."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        self.unread: list[int] = []
        """How many messages lay there when a call began."""

    def run(self, work: Work) -> ReplyGiven:
        self.unread.append(len(self._clients.asked))
        time.sleep(0.003)
        return ReplyGiven(work)


class Shell:
    def __init__(self) -> None:
        self.clients = Clients()
        self.notices: list[Notice] = []
        core = ServerCore(ServerIdentity(peer_id="s", name="s", realm="r", version="1", boot=7), {}, {}, CONFIG)
        core.offer("mesh.info", lambda frames, now: INFO)
        link = cast(ServerLink, self.clients)
        none = cast(Any, None)
        self.engine = ServerEngine(core, link, none, CONFIG.limits, {}, none, none, none, self.notices.append)

    def turn(self) -> None:
        while self.engine.pump():
            pass


@pytest.fixture
def shell() -> Iterator[Shell]:
    shell = Shell()
    yield shell
    shell.clients.deaf.clear()
    shell.engine.close()


def test_answers_wait_in_order_for_a_client_that_reads_later(shell: Shell) -> None:
    shell.clients.deaf = {b"slow"}
    for number in range(1, 4):
        shell.clients.asked.append((b"slow", encode([Ping(number)], CONFIG.limits)[0]))
        shell.turn()
    assert shell.clients.sent == []
    shell.clients.deaf.clear()
    shell.turn()
    heads = [frames[0] for _, frames in shell.clients.sent]
    assert len(heads) == 3
    assert heads == sorted(heads)


@pytest.mark.parametrize("clients", [1, 5])
def test_what_waits_is_bounded_for_each_client_and_for_all(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, clients: int
) -> None:
    monkeypatch.setattr(serving, "_STUCK_OCTETS_MAX", 20_000)
    monkeypatch.setattr(serving, "_ALL_STUCK_OCTETS_MAX", 50_000)
    names = [b"deaf%d" % number for number in range(clients)]
    shell.clients.deaf = set(names)
    for _ in range(40):
        for name in names:
            shell.clients.ask(name)
        shell.turn()
    assert {notice.text for notice in shell.notices} == {"a client does not read; its answers are dropped"}
    shell.clients.deaf.clear()
    shell.turn()
    kept = sum(len(frame) for _, frames in shell.clients.sent for frame in frames)
    bound = min(20_000 * clients, 50_000)
    assert 0.7 * bound < kept <= bound
    shell.clients.ask(names[0])  # room has been made again
    shell.turn()
    assert shell.clients.sent[-1][0] == names[0]


def test_many_that_do_not_read_are_tried_in_turns(shell: Shell) -> None:
    names = [b"deaf%d" % number for number in range(100)]
    shell.clients.deaf = set(names)
    for name in names:
        shell.clients.ask(name)
    shell.turn()
    shell.clients.tried.clear()
    shell.clients.ask(b"honest")
    shell.engine.pump(1)
    assert sum(shell.clients.tried.values()) <= 17
    for _ in range(10):
        shell.engine.pump()
    assert set(shell.clients.tried) == {*names, b"honest"}


def test_what_comes_while_a_stuck_client_is_tried_is_not_left_lying(shell: Shell) -> None:
    shell.clients.deaf = {b"deaf"}
    shell.clients.ask(b"deaf")
    shell.turn()
    assert shell.engine.is_blocked
    shell.clients.while_sending = [(b"honest", encode([Ping(1)], CONFIG.limits)[0])]
    shell.turn()
    assert [client for client, _ in shell.clients.sent] == [b"honest"]
    assert not shell.engine.pump()  # nothing to be done at once: it does not go round and round
    shell.clients.deaf.clear()
    shell.clients.while_sending = [(b"honest", encode([Ping(2)], CONFIG.limits)[0])]
    shell.turn()
    assert not shell.engine.is_blocked
    assert [client for client, _ in shell.clients.sent] == [b"honest", b"deaf", b"honest"]


def test_a_turn_ends_in_time_however_much_is_asked(shell: Shell) -> None:
    def slow(frames: Sequence[bytes], now: float) -> bytes:
        time.sleep(0.003)
        return INFO

    shell.engine.core.offer("mesh.info", slow)
    for _ in range(50):
        shell.clients.ask(b"greedy")
    assert shell.engine.pump(), "there is more"
    assert 1 <= len(shell.clients.sent) < 10
    shell.turn()
    assert len(shell.clients.sent) == 50


@pytest.fixture
def slow() -> Iterator[tuple[Clients, SlowRunner, ServerEngine]]:
    clients = Clients()
    runner = SlowRunner(clients)
    identity = ServerIdentity(peer_id="s", name="s", realm="r", version="1", boot=7)
    core = ServerCore(identity, {"s.slow": MethodInfo(INLINE)}, {}, CONFIG)
    none = cast(Any, None)
    engine = ServerEngine(
        core, cast(ServerLink, clients), cast(Runner, runner), CONFIG.limits, {}, none, none, none, none
    )
    yield clients, runner, engine
    engine.close()


def test_slow_handlers_leave_no_message_unread_behind_the_first_call(
    slow: tuple[Clients, SlowRunner, ServerEngine], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "_PUMP_S", 60.0)  # a turn ends in time as well, which is another test
    clients, runner, engine = slow
    for number in range(1, 6):
        clients.asked.append((b"client", encode([Call(number, "s.slow")], CONFIG.limits)[0]))
    clients.asked.append((b"client", encode([Ping(9)], CONFIG.limits)[0]))
    while engine.pump():
        pass
    assert runner.unread == [5, 0, 0, 0, 0]


def test_slow_handlers_run_although_messages_never_end(slow: tuple[Clients, SlowRunner, ServerEngine]) -> None:
    clients, runner, engine = slow
    clients.asked += [(b"client", encode([Call(number, "s.slow")], CONFIG.limits)[0]) for number in range(1, 400)]
    for _ in range(4):
        engine.pump(messages_max=8)
    assert 4 <= len(runner.unread) <= 8


class OneAtATime:
    """A gate that lets all in, and runner of what it has let in."""

    def __init__(self) -> None:
        self.inside: list[Work] = []

    def enter(self, work: Work, now: float) -> list[Work]:
        self.inside.append(work)
        return [work]

    def leave(self, work: Work, now: float) -> list[Work]:
        self.inside.remove(work)
        return []

    def overdue(self, now: float) -> list[Work]:
        return []

    def run(self, work: Work) -> ReplyGiven:
        assert self.inside == [work]
        return ReplyGiven(work, took_s=0.000001)


def test_a_gate_knows_which_inline_handler_runs() -> None:
    clients, gate = Clients(), OneAtATime()
    identity = ServerIdentity(peer_id="s", name="s", realm="r", version="1", boot=7)
    core = ServerCore(identity, {"s.quick": MethodInfo(INLINE)}, {}, CONFIG)
    none = cast(Any, None)
    link, runner = cast(ServerLink, clients), cast(Runner, gate)
    engine = ServerEngine(core, link, runner, CONFIG.limits, {}, none, none, none, none, gate)
    calls = [Call(number, "s.quick") for number in range(1, 101)]
    clients.asked.append((b"client", encode(calls, CONFIG.limits)[0]))
    while engine.pump():
        pass
    assert core.stats["s.quick"].count == 100
    assert gate.inside == []
    engine.close()
