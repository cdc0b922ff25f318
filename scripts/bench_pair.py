"""The cores of a client and of a server joined in memory: what deciding costs, without sockets, clocks or threads.

    python -m scripts.bench_pair CALLS IN_FLIGHT…

It makes so many calls, so many at a time, and prints as JSON how many events a second that were, and of how many
objects a call under way consists at its client. Time and randomness are made up, so it does the same in every run.
"""

from __future__ import annotations

import gc
import json
import os
import random
import sys
import time

from discovery.model import Address, Peer
from mesh.config import ClientConfig, ServerConfig
from mesh.core.actions import Answer, ClientAction, Connect, Finish, Handle, Send, ServerAction
from mesh.core.calls import PendingCall, Watch
from mesh.core.client import ClientCore
from mesh.core.events import (
    CallsRequested,
    ClientEvent,
    LinkUp,
    PeerAdded,
    Received,
    RepliesGiven,
    ReplyGiven,
    RequestReceived,
    ServerEvent,
    Tick,
)
from mesh.core.methods import INLINE, MethodInfo
from mesh.core.server import ServerCore, ServerIdentity
from mesh.core.wire import Record, encode, pack_body
from mesh.core.work import Work

__all__ = ["Pair"]

_METHOD, _CLIENT = "echo.echo", b"\0bench"
_WARM_UP_CALLS = 128
"""After so many the interpreter has specialised the code, and what grows has grown."""
_WINDOW = 128
"""Calls in flight at the server; more wait at the client, as many do when a server is busy."""
_TURN_CALLS = 32
"""Inline handlers that a server runs before it sends."""
_STEP_S = 0.00005
"""Passes with every event."""
_PEER = Peer("s1", "s1", ("echo",), (Address("127.0.0.1", 5555),), {}, ("static",))


class Pair:
    """A client that is connected to one server, which echoes inline; both do what their shells do, on lists."""

    def __init__(self) -> None:
        config = ClientConfig(window_max=_WINDOW)
        self._limits = config.limits
        self._client = ClientCore(config, random.Random(1))
        identity = ServerIdentity(peer_id="s1", name="s1", realm="default", version="1", boot=1)
        methods = {_METHOD: MethodInfo(INLINE, raw=True)}
        self._server = ServerCore(identity, methods, {}, ServerConfig(), services=("echo",))
        self._now = 1.0
        self._conn_id = 0
        self._up: list[Record] = []
        self._down: list[Record] = []
        self._works: list[Work] = []
        self.finished: list[PendingCall | Watch] = []
        """Calls that have ended and were not taken out."""
        self.events: int = 0
        """Events that both cores have handled."""
        self._tell_client(PeerAdded(_PEER))
        self._tell_client(LinkUp(self._conn_id))
        self.exchange()

    def ask(self, calls: int) -> None:
        """Make so many calls at the same time."""
        asked = [PendingCall(_METHOD, b"x" * 100, 100, self._now, self._now + 5.0) for _ in range(calls)]
        self._tell_client(CallsRequested(asked))

    def exchange(self) -> None:
        """Carry messages until neither side has anything to say."""
        while self._up or self._down:
            if self._up:
                frames, count = encode(self._up, self._limits)
                del self._up[:count]
                self._tell_server(RequestReceived(_CLIENT, frames))
                while self._works:
                    works, self._works = self._works[:_TURN_CALLS], self._works[_TURN_CALLS:]
                    self._tell_server(RepliesGiven([ReplyGiven(work, pack_body(work.frames)) for work in works]))
            if self._down:
                frames, count = encode(self._down, self._limits)
                del self._down[:count]
                self._tell_client(Received(self._conn_id, frames))
        due = self._client.deadline()
        if due is not None and due <= self._now:
            self._tell_client(Tick())

    def _tell_client(self, event: ClientEvent) -> None:
        self.events += 1
        self._now += _STEP_S
        actions: list[ClientAction] = self._client.handle(event, self._now)
        for action in actions:
            if type(action) is Send:
                self._up += action.records
            elif type(action) is Finish:
                self.finished += action.calls
            elif type(action) is Connect:
                self._conn_id = action.conn_id

    def _tell_server(self, event: ServerEvent) -> None:
        self.events += 1
        self._now += _STEP_S
        actions: list[ServerAction] = self._server.handle(event, self._now)
        for action in actions:
            if type(action) is Handle:
                self._works += action.works
            elif type(action) is Answer:
                self._down += action.records


def _make(pair: Pair, calls: int, in_flight: int) -> None:
    for _ in range(calls // in_flight):
        pair.ask(in_flight)
        pair.exchange()
        if len(pair.finished) != in_flight or any(call.error is not None for call in pair.finished):
            raise SystemExit(f"{in_flight} calls were to be answered, but these ended: {pair.finished[:3]}")
        pair.finished.clear()


def _measure(calls: int, in_flight: int) -> dict[str, float]:
    pair = Pair()
    _make(pair, _WARM_UP_CALLS, in_flight)
    gc.collect()
    events, began = pair.events, time.perf_counter()
    os.getppid()  # a mark for callgrind, see scripts/bench_core.py
    _make(pair, calls, in_flight)
    os.getppid()
    elapsed_s = time.perf_counter() - began
    events = pair.events - events
    gc.collect()
    blocks = sys.getallocatedblocks()
    pair.ask(256)
    return {"events": events / elapsed_s, "blocks": (sys.getallocatedblocks() - blocks) / 256}


def main() -> None:
    """Make calls and print what they cost."""
    calls, *in_flight = map(int, sys.argv[1:])
    for number in in_flight:
        print(json.dumps(_measure(calls, number)))


if __name__ == "__main__":
    main()
