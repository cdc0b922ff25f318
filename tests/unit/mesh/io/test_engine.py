"""The client's shell: what gathers while a pipe is full, what lies in a socket whose edge was taken."""

from __future__ import annotations

import contextlib
import random
import select
import time
from collections.abc import Callable, Iterator

import pytest
import zmq

import mesh.io.link
from discovery import Address, Peer, PeerAdded
from mesh.config import ClientConfig
from mesh.core.actions import Search
from mesh.core.calls import PendingCall, Watch
from mesh.core.client import ClientCore
from mesh.core.events import CallsRequested, Tick
from mesh.core.wire import Call, Hello, Ping, Pong, Record, decode, encode
from mesh.io.engine import ClientEngine
from mesh.io.link import ClientLink
from tests.helpers import PATIENCE_S, wait_until

pytestmark = pytest.mark.network

CONFIG = ClientConfig(ping_interval_s=60.0, attempt_initial_s=60.0)
"""Nothing happens by itself in these tests."""


class Shell:
    """An engine with its core, driven by hand."""

    def __init__(self) -> None:
        self.finished: list[PendingCall | Watch] = []
        self.descriptors: list[int] = []
        self.searches = 0
        self.core = ClientCore(CONFIG, random.Random(1))
        self.engine = ClientEngine(
            self.core, CONFIG, self._on_descriptor, self.finished.extend, self._on_search, on_notice=lambda notice: None
        )

    def _on_descriptor(self, descriptor: int, watch: bool) -> None:
        (self.descriptors.append if watch else self.descriptors.remove)(descriptor)

    def _on_search(self) -> None:
        self.searches += 1

    def call(self, body: bytes, timeout_s: float = 30.0) -> PendingCall:
        """Begin a call; whoever pumps sends it."""
        now = time.monotonic()
        call = PendingCall("old.x", body, len(body), now, now + timeout_s, plain=True)
        self.engine.feed(CallsRequested([call]))
        return call

    def meet(self, port: int, proto: str, serve: Callable[[], object]) -> None:
        """Dial a server and turn until it is alive; `serve` lets it answer."""
        peer = Peer("id", "old", ("old",), (Address("127.0.0.1", port),), {"proto": proto})
        self.engine.feed(PeerAdded(peer))

        def is_alive() -> bool:
            self.engine.pump()
            serve()
            return [view.state for view in self.core.views(time.monotonic())] == ["alive"]

        wait_until(is_alive)

    def turn(self) -> None:
        """Do what a driver does when no descriptor of a monitor is readable."""
        while self.engine.pump(monitors=False):
            pass


@pytest.fixture
def shell() -> Iterator[Shell]:
    shell = Shell()
    yield shell
    shell.engine.close()


@contextlib.contextmanager
def stock(kind: int, **options: int) -> Iterator[tuple[zmq.Socket[bytes], int]]:
    """Yield a plain socket and the port it listens on."""
    with zmq.Context() as context, context.socket(kind) as server:
        server.linger = 0
        for name, value in options.items():
            server.setsockopt(getattr(zmq, name), value)
        yield server, server.bind_to_random_port("tcp://127.0.0.1")


def test_what_gathers_while_the_pipe_is_full_leaves_as_one_message(shell: Shell) -> None:
    with stock(zmq.ROUTER, RCVHWM=1, RCVBUF=4096) as (server, port):

        def answer_pings() -> None:
            while server.poll(0):
                client, *frames = server.recv_multipart()
                for record in decode(frames, CONFIG.limits).records:
                    assert isinstance(record, Ping)
                    answers: list[Record] = [
                        Hello("id", "old", "default", ["old"], []),
                        Pong(record.nonce, 1, 1, 0, 0, 512),
                    ]
                    server.send_multipart([client, *encode(answers, CONFIG.limits)[0]])

        shell.meet(port, "mesh/1", answer_pings)
        bodies = [bytes(60_000) + b"%d" % number for number in range(300)]
        for body in bodies:
            shell.call(body)
            shell.turn()
        messages: list[list[bytes]] = []

        def all_came() -> bool:
            shell.turn()
            while server.poll(0):
                records = decode(server.recv_multipart()[1:], CONFIG.limits).records
                messages.append([record.body for record in records if isinstance(record, Call)])  # type: ignore[misc]
            return sum(map(len, messages)) == len(bodies)

        wait_until(all_came)
    assert [body for message in messages for body in message] == bodies
    assert max(map(len, messages)) > 1


def test_an_answer_of_a_rep_server_that_came_before_a_send_is_not_left_lying(shell: Shell) -> None:
    with stock(zmq.REP) as (server, port):
        shell.meet(port, "rep", lambda: None)
        first = shell.call(b"first")
        shell.turn()
        server.send(server.recv() + b"!")
        dealer = shell.descriptors[2]
        assert select.select([dealer], [], [], PATIENCE_S)[0] == [dealer]
        # The answer is there. A send on the same socket takes the edge of its descriptor, so that nobody is woken.
        shell.call(b"second")
        shell.turn()
        while not first.done:  # it was not there yet after all; then it has to wake us
            assert select.select([dealer], [], [], PATIENCE_S)[0] == [dealer]
            shell.turn()
        assert first.body == b"first!"


def test_time_passes_in_a_flood_without_end_but_not_before_what_lies_there_was_read(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    call = shell.call(b"", timeout_s=0.0)
    monkeypatch.setattr(ClientLink, "receive", lambda link: (0, [b"junk"]))
    assert shell.engine.pump()
    assert not call.done
    wait_until(lambda: shell.engine.pump() and call.done)


def test_neither_a_turn_nor_a_call_outlasts_a_flood_of_messages_that_take_long(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def receive(link: ClientLink) -> tuple[int, list[bytes]]:
        time.sleep(0.003)  # what a thousand records take
        return 0, [b"junk"]

    call = shell.call(b"", timeout_s=0.0)
    monkeypatch.setattr(ClientLink, "receive", receive)
    assert shell.engine.pump()
    assert shell.core.counters().stray < 10
    wait_until(lambda: shell.engine.pump() and call.done)


def test_a_flood_of_a_rep_server_ends_no_turn_late(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with stock(zmq.REP) as (_, port):
        shell.meet(port, "rep", lambda: None)
        receive = mesh.io.link._receive

        def flood(sock: zmq.Socket[bytes]) -> list[bytes] | None:
            return [b"junk"] if sock.type == zmq.DEALER else receive(sock)

        monkeypatch.setattr(mesh.io.link, "_receive", flood)
        assert shell.engine.pump(messages_max=10), "there is more"
        assert shell.core.counters().garbage == 10


def test_discovery_is_asked_when_the_core_wants_it(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shell.core, "handle", lambda event, now: [Search()])
    shell.engine.feed(Tick())
    assert shell.searches == 1
