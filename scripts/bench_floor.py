"""The least that calls of this kind cost in Python: where the mesh could get to if it decided nothing.

Calls gather in one list and leave together, as the mesh's do: ROUTER, a high-water mark of 1, records of msgpack, a
future or a return value for each call. But its servers are taken to live for ever: no deadline, no retry,
no PING, no measurement, no admission, nothing that is checked. What is between a bare socket and this is the price of
calls; what is between this and the mesh, that of its promises.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from itertools import count, cycle
from typing import TYPE_CHECKING

import msgspec
import zmq

from scripts.bench_load import HOST, METHOD, Call, Client, Load, Run, concurrently, endpoints, from_threads, one_by_one

if TYPE_CHECKING:
    import asyncio

__all__ = ["CLIENTS", "SERVERS"]

_encode = msgspec.msgpack.Encoder().encode
_AGAIN_S = 0.001


def _server(number: int) -> bytes:
    """Return the routing id of a server."""
    return b"s%d" % number


_FIRST = _server(0)


class _Asked(msgspec.Struct, array_like=True, gc=False):
    number: int
    method: str
    body: bytes


class _Answer(msgspec.Struct, array_like=True, gc=False):
    number: int
    body: bytes


_decode_asked = msgspec.msgpack.Decoder(list[_Asked]).decode
_decode_answers = msgspec.msgpack.Decoder(list[_Answer]).decode


def _serve(servers: int, announce: Callable[[list[int]], None]) -> None:
    """Echo what each message asks for, in one message. Many servers are one socket that is bound many times."""
    methods = {METHOD: lambda body: body}
    socket = zmq.Context().socket(zmq.ROUTER)
    announce([socket.bind_to_random_port(f"tcp://{HOST}") for _ in range(servers)])
    while True:
        client, head = socket.recv_multipart()
        answers = [_Answer(asked.number, methods[asked.method](asked.body)) for asked in _decode_asked(head)]
        socket.send_multipart([client, _encode(answers)])


SERVERS: dict[str, Callable[[int, Callable[[list[int]], None]], None]] = {"router": _serve}


@contextlib.contextmanager
def _connected(load: Load) -> Iterator[zmq.Socket[bytes]]:
    with zmq.Context() as context, context.socket(zmq.ROUTER) as socket:
        socket.linger = 0
        socket.sndhwm = 1
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        monitor = socket.get_monitor_socket(zmq.EVENT_HANDSHAKE_SUCCEEDED)
        for number, endpoint in enumerate(endpoints(load)):
            socket.setsockopt(zmq.CONNECT_ROUTING_ID, _server(number))
            socket.connect(endpoint)
            monitor.recv_multipart()
        socket.disable_monitor()
        yield socket


@contextlib.contextmanager
def _sync(load: Load) -> Iterator[Run]:
    """One call after the other."""
    body = load.body
    number = 0
    with _connected(load) as socket:

        def call() -> None:
            nonlocal number
            number += 1
            socket.send_multipart([_FIRST, _encode([_Asked(number, METHOD, body)])])
            _, head = socket.recv_multipart()
            (answer,) = _decode_answers(head)
            assert answer.number == number

        yield one_by_one(call)


class _Owner:
    """A background thread that owns a socket; any number of threads leave their calls with it, each with a bell.

    A bell is an event counter: to write it lets go of the GIL, so that the woken thread can go on at once.
    """

    def __init__(self, socket: zmq.Socket[bytes], body: bytes) -> None:
        self._socket = socket
        self._body = body
        self._numbers = count()
        self._left: deque[_Asked] = deque()
        self._bells: dict[int, int] = {}
        self._quiet: list[int] = []
        self._wake = os.eventfd(0)
        self._sleeps = self._ended = False
        self._thread = threading.Thread(target=self._own)
        self._thread.start()

    def call(self) -> None:
        bell = self._quiet.pop() if self._quiet else os.eventfd(0)
        number = next(self._numbers)
        self._bells[number] = bell
        self._left.append(_Asked(number, METHOD, self._body))
        if self._sleeps:
            self._sleeps = False
            os.eventfd_write(self._wake, 1)
        os.eventfd_read(bell)
        self._quiet.append(bell)

    def close(self) -> None:
        self._ended = True
        os.eventfd_write(self._wake, 1)
        self._thread.join()
        for descriptor in (self._wake, *self._quiet):
            os.close(descriptor)

    def _own(self) -> None:
        left, bells = self._left, self._bells
        asked: list[_Asked] = []
        with select.epoll() as poller:
            poller.register(self._wake, select.EPOLLIN)
            poller.register(int(self._socket.getsockopt(zmq.FD)), select.EPOLLIN)
            while not self._ended:
                self._sleeps = True  # before the look at what was left: who comes after it wakes this thread
                if not left and (self._wake, select.EPOLLIN) in poller.poll(_AGAIN_S if asked else None):
                    os.eventfd_read(self._wake)
                self._sleeps = False
                more = True
                while more:  # to send takes the edge of the descriptor, so what came meanwhile is looked for again
                    for answer in self._receive():
                        os.eventfd_write(bells.pop(answer.number), 1)
                    while left:
                        asked.append(left.popleft())
                    more = bool(asked) and self._send(asked)

    def _receive(self) -> Iterator[_Answer]:
        try:
            while True:
                _, head = self._socket.recv_multipart(zmq.NOBLOCK)
                yield from _decode_answers(head)
        except zmq.Again:
            pass

    def _send(self, asked: list[_Asked]) -> bool:
        try:
            self._socket.send_multipart([_FIRST, _encode(asked)], zmq.NOBLOCK)
        except zmq.Again:
            return False
        asked.clear()
        return True


@contextlib.contextmanager
def _threads(load: Load) -> Iterator[Run]:
    """So many threads that share a ROUTER, which a background thread owns."""
    with _connected(load) as socket, contextlib.closing(_Owner(socket, load.body)) as owner:
        yield from_threads(owner.call, load.in_flight)


class _Futures:
    """A socket in a loop, and a future for each call; the servers take turns."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: zmq.Socket[bytes], servers: int) -> None:
        self._loop = loop
        self._socket = socket
        self._number = 0
        self._turns = cycle([_server(number) for number in range(servers)])
        self._asked: dict[bytes, list[_Asked]] = {}
        self._waiting: dict[int, asyncio.Future[bytes]] = {}
        self._scheduled = False
        self._closed = False
        loop.add_reader(int(socket.getsockopt(zmq.FD)), self._turn)

    def close(self) -> None:
        self._closed = True
        self._loop.remove_reader(int(self._socket.getsockopt(zmq.FD)))

    def call(self, body: bytes) -> asyncio.Future[bytes]:
        self._number += 1
        future = self._waiting[self._number] = self._loop.create_future()
        self._asked.setdefault(next(self._turns), []).append(_Asked(self._number, METHOD, body))
        if len(self._waiting) == 1:
            self._send()
        if not self._scheduled:
            self._scheduled = True
            self._loop.call_soon(self._turn)
        return future

    def _send(self) -> None:
        for server, asked in list(self._asked.items()):
            try:
                self._socket.send_multipart([server, _encode(asked)], zmq.NOBLOCK)
                del self._asked[server]
            except zmq.Again:  # perhaps it has room by now, and has said so already
                self._loop.call_later(_AGAIN_S, self._turn)

    def _turn(self) -> None:
        if self._closed:
            return
        self._scheduled = False
        if self._asked:
            self._send()
        waiting = self._waiting
        try:
            while True:
                _, head = self._socket.recv_multipart(zmq.NOBLOCK)
                for answer in _decode_answers(head):
                    waiting.pop(answer.number).set_result(answer.body)
        except zmq.Again:
            pass


@contextlib.asynccontextmanager
async def _loop_connected(load: Load) -> AsyncIterator[Call]:
    import asyncio

    body, loop = load.body, asyncio.get_running_loop()
    with _connected(load) as socket, contextlib.closing(_Futures(loop, socket, len(load.ports))) as futures:

        async def call() -> bytes:
            return await futures.call(body)

        yield call


def _async(load: Load) -> contextlib.AbstractContextManager[Run]:
    """So many in flight."""
    return concurrently(_loop_connected(load), load.in_flight)


CLIENTS: dict[str, Client] = {"sync": _sync, "threads": _threads, "async": _async}
