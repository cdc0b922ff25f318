"""Bare pyzmq: what the mesh is compared with. Plain fast loops, without dispatch, deadlines or failover."""

from __future__ import annotations

import contextlib
import os
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count
from time import perf_counter

import zmq

from scripts.bench_load import HOST, Call, Client, Load, Run, Tally, concurrently, endpoints, from_threads, one_by_one

__all__ = ["CLIENTS", "SERVERS"]

_OWN_FRAME_OCTETS = 8192
"""From here on a second frame costs less than to join a body with its number."""


def _serve(kind: int, servers: int, announce: Callable[[list[int]], None]) -> None:
    """Echo: one blocking receive after the other. Many servers are one socket that is bound many times."""
    socket = zmq.Context().socket(kind)
    announce([socket.bind_to_random_port(f"tcp://{HOST}") for _ in range(servers)])
    while True:
        parts = [socket.recv()]
        while socket.get(zmq.RCVMORE):
            parts.append(socket.recv())
        for part in parts[:-1]:
            socket.send(part, zmq.SNDMORE)
        socket.send(parts[-1])


SERVERS: dict[str, Callable[[int, Callable[[list[int]], None]], None]] = {
    "rep": lambda servers, announce: _serve(zmq.REP, servers, announce),
    "router": lambda servers, announce: _serve(zmq.ROUTER, servers, announce),
}


@contextlib.contextmanager
def _connected(load: Load, kind: int) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(kind) as socket:
        socket.linger = 0
        for endpoint in endpoints(load):
            socket.connect(endpoint)
        yield socket


@contextlib.contextmanager
def _req(load: Load) -> Iterator[Run]:
    """A REQ socket, one call after the other."""
    body = load.body
    with _connected(load, zmq.REQ) as socket:

        def call() -> None:
            socket.send(body)
            socket.recv()

        yield one_by_one(call)


@contextlib.contextmanager
def _dealer(load: Load) -> Iterator[Run]:
    """A DEALER in a loop: fill up what may be in flight, wait for an answer, take all there are."""
    body, in_flight = load.body, load.in_flight
    sent = got = 0
    with _connected(load, zmq.DEALER) as socket:

        def run(seconds: float) -> Tally:
            nonlocal sent, got
            before = got
            until = perf_counter() + seconds
            while perf_counter() < until:
                while sent - got < in_flight:
                    number = sent.to_bytes(8, "big")
                    socket.send_multipart([number, body] if len(body) >= _OWN_FRAME_OCTETS else [number + body])
                    sent += 1
                socket.recv_multipart()
                got += 1
                try:
                    while got < sent:
                        socket.recv_multipart(zmq.NOBLOCK)
                        got += 1
                except zmq.Again:
                    pass
            return Tally(got - before)

        yield run


@contextlib.contextmanager
def _lean_dealer(load: Load) -> Iterator[Run]:
    """The same loop with the calls for single frames, which pyzmq has in Cython."""
    body, in_flight = load.body, load.in_flight
    sent = got = 0
    with _connected(load, zmq.DEALER) as socket:

        def run(seconds: float) -> Tally:
            nonlocal sent, got
            before = got
            until = perf_counter() + seconds
            while perf_counter() < until:
                while sent - got < in_flight:
                    socket.send(sent.to_bytes(8, "big") + body)
                    sent += 1
                socket.recv()
                got += 1
                try:
                    while got < sent:
                        socket.recv(zmq.NOBLOCK)
                        got += 1
                except zmq.Again:
                    pass
            return Tally(got - before)

        yield run


class _Owner:
    """A background thread that owns a DEALER; any number of threads hand it their requests and wait for the answer."""

    def __init__(self, socket: zmq.Socket[bytes], body: bytes) -> None:
        self._socket = socket
        self._body = body
        self._numbers = count()
        self._todo: deque[tuple[bytes, threading.Lock]] = deque()
        self._waiting: dict[bytes, threading.Lock] = {}
        self._sleeps = False
        self._ended = False
        self._woken, self._wake = os.pipe()
        self._thread = threading.Thread(target=self._own)
        self._thread.start()

    def call(self) -> None:
        bell = threading.Lock()
        bell.acquire()
        self._todo.append((next(self._numbers).to_bytes(8, "big"), bell))
        if self._sleeps:
            self._sleeps = False
            os.write(self._wake, b"!")
        bell.acquire()

    def close(self) -> None:
        self._ended = True
        os.write(self._wake, b"!")
        self._thread.join()
        os.close(self._woken)
        os.close(self._wake)

    def _own(self) -> None:
        socket, body, todo, waiting = self._socket, self._body, self._todo, self._waiting
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(self._woken, zmq.POLLIN)
        while not self._ended:
            self._sleeps = True  # before the last look: who comes after it writes to the pipe
            if not todo:
                for ready, _ in poller.poll():
                    if ready == self._woken:
                        os.read(self._woken, 4096)
            self._sleeps = False
            while todo:
                number, bell = todo.popleft()
                waiting[number] = bell
                socket.send(number + body)
            try:
                while True:
                    waiting.pop(socket.recv(zmq.NOBLOCK)[:8]).release()
            except zmq.Again:
                pass


@contextlib.contextmanager
def _threads(load: Load) -> Iterator[Run]:
    """So many threads that share a DEALER, which a background thread owns."""
    with _connected(load, zmq.DEALER) as socket, contextlib.closing(_Owner(socket, load.body)) as owner:
        yield from_threads(owner.call, load.in_flight)


@contextlib.asynccontextmanager
async def _loop_connected(load: Load) -> AsyncIterator[Call]:
    from zmq.asyncio import Context

    body = load.body
    with Context() as context, context.socket(zmq.DEALER) as socket:
        socket.linger = 0
        for endpoint in endpoints(load):
            socket.connect(endpoint)

        async def call() -> None:
            await socket.send(body)
            await socket.recv()

        yield call


def _loop(load: Load) -> contextlib.AbstractContextManager[Run]:
    """A DEALER of zmq.asyncio, one call after the other."""
    return concurrently(_loop_connected(load), 1)


CLIENTS: dict[str, Client] = {
    "req": _req,
    "dealer": _dealer,
    "lean-dealer": _lean_dealer,
    "threads": _threads,
    "loop": _loop,
}
