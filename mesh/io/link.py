"""The sockets of a client and of a server: the only file that sets socket options and catches ZMQError.

What each option is for is written beside it; what happens without it was measured, and a test shows it.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import zmq

from mesh.core.peers import REP
from mesh.errors import ConfigError
from mesh.io import guard, heap
from mesh.io.context import acquire_context, release_context

if TYPE_CHECKING:
    from mesh.config import Limits

__all__ = ["AddressInUse", "ClientLink", "LinkEvent", "Sent", "ServerLink"]

# The Cython methods: the Python wrappers around them cost more than the call (6.3 us against 0.8 for two frames).
_raw_send: Any = zmq.backend.Socket.send
_raw_recv: Any = zmq.backend.Socket.recv
_raw_get: Any = zmq.backend.Socket.get
_NOBLOCK = int(zmq.NOBLOCK)
_NOBLOCK_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
_RCVMORE, _EVENTS, _POLLIN = int(zmq.RCVMORE), int(zmq.EVENTS), int(zmq.POLLIN)
_MONITORED = struct.Struct("=Hi")
"""First frame of a monitor's message: event and value, see zmq_socket_monitor(3); the second one is the endpoint.
What pyzmq has to read it imports zmq.asyncio, and so 8 MB that a client with threads has no use for."""
_AFTER_THE_CORE = 1.5
"""libzmq calls a dial that nobody answered closed, as if it had been refused; the core gives up before and knows."""
_CLOSING_S = 1.0
"""So soon libzmq tells of a dial that was ended that it is closed; it takes well under a millisecond."""
_FAREWELL_MS = 200
"""Time for the last answers of a server to leave; without it close() drops what libzmq has not written yet."""
_UNREAD_MS = 10_000
"""A client that has answers to read and reads none of them for so long is cut."""
_COPY_MAX = 128 * 1024
"""Above this a frame is handed over without a copy, so that it is not in memory twice; at 1 MiB that costs the
processor as much as the copy (measured, with memory that is kept: see `heap`)."""

_Socket: TypeAlias = "zmq.Socket[bytes]"


class AddressInUse(ConfigError):
    """Somebody listens on this port already."""


class Sent(enum.Enum):
    """What became of a message."""

    OK = 0
    FULL = 1
    """The pipe is full; the descriptor wakes when it drains."""
    UNREACHABLE = 2
    """There is no such connection any more."""


_OK = Sent.OK
"""A look at a member in its enum takes 0.2 us (CPython 3.11)."""


class LinkEvent(enum.Enum):
    """What the transport says of a connection."""

    REACHED = 0
    """Somebody has taken the TCP connection."""
    UP = 1
    DOWN = 2


def _send(sock: _Socket, first: bytes | None, frames: Sequence[bytes]) -> Sent:
    """Send one message, never blocking; `first` is the routing frame of a ROUTER."""
    last = len(frames) - 1
    if last:
        heap.keep_freed()
    more = _NOBLOCK_MORE
    try:
        try:
            _raw_send(
                sock,
                first if first is not None else frames[0],
                more if first is not None or last else _NOBLOCK,
            )
        except zmq.Again:
            # At a high-water mark of 1 EAGAIN is stale in half of the cases: libzmq looks at its mailbox only
            # now and then. Reading EVENTS makes it look; then the word counts.
            _raw_get(sock, _EVENTS)
            _raw_send(
                sock,
                first if first is not None else frames[0],
                more if first is not None or last else _NOBLOCK,
            )
        start = 0 if first is not None else 1
        for index in range(start, last + 1):
            frame = frames[index]
            flags = more if index < last else _NOBLOCK
            if len(frame) <= _COPY_MAX:
                _raw_send(sock, frame, flags)
            else:
                _raw_send(sock, frame, flags, copy=False)
    except zmq.Again:
        return Sent.FULL
    except zmq.ZMQError as error:
        if error.errno == errno.EHOSTUNREACH:
            return Sent.UNREACHABLE
        raise
    return _OK


def _receive(sock: _Socket) -> list[bytes] | None:
    """Return all frames of the next message, or None; never blocks."""
    if not _raw_get(sock, _EVENTS) & _POLLIN:
        return None
    try:
        frames: list[bytes] = [_raw_recv(sock, _NOBLOCK)]
    except zmq.Again:
        return None
    while _raw_get(sock, _RCVMORE):
        frames.append(_raw_recv(sock, _NOBLOCK))
    return frames


def _receive_routed(sock: _Socket) -> tuple[bytes, list[bytes]] | None:
    """Return the routing frame and the others of the next message of a ROUTER, or None; never blocks."""
    if not _raw_get(sock, _EVENTS) & _POLLIN:
        return None
    try:
        routing_id: bytes = _raw_recv(sock, _NOBLOCK)
        # A routing frame never comes alone. Receiving without a copy tells in the same call whether more follows;
        # asking for RCVMORE costs 1.5 us.
        frame = _raw_recv(sock, _NOBLOCK, copy=False)
        frames: list[bytes] = [frame.bytes]
        if frame.more:
            heap.keep_freed()
        while frame.more:
            frame = _raw_recv(sock, _NOBLOCK, copy=False)
            frames.append(frame.bytes)
    except zmq.Again:  # also where an interrupt has left the end of a message, which was taken for a routing frame
        return None
    return routing_id, frames


def _common_options(sock: _Socket, limits: Limits) -> None:
    sock.setsockopt(zmq.LINGER, 0)  # otherwise term() waits for peers that never read
    sock.setsockopt(zmq.IPV6, 1)  # otherwise an IPv6 endpoint is never dialled, in silence
    # Cuts a peer that claims a giant frame before memory is given for it. Twice the limit, so that a body a little
    # over body_max is answered with that limit's name instead of a cut connection.
    sock.setsockopt(zmq.MAXMSGSIZE, max(2 * limits.body_max, 2 * limits.head_max))
    sock.setsockopt(zmq.HANDSHAKE_IVL, 2000)  # default 30 s: that long a silent TCP peer would hold a descriptor
    # RCVHWM stays at 1000: with ZMTP heartbeats a mark of 1 makes a ROUTER deaf after a reconnection.
    sock.setsockopt(zmq.RCVHWM, 1000)


class ClientLink:
    """One ROUTER to every server (and one DEALER to each REP server), dialled by hand.

    Args:
        limits: `body_max` and `head_max` bound what is received.
        dial_timeout_s: Bound of a TCP connection.
        heartbeat_interval_s: ZMTP heartbeat of links that leave the host; 0 for none.
        heartbeat_timeout_s: Silence after which ZMTP takes them down.
        on_descriptor: Called with each descriptor to be watched for reading (True) or not any more (False).
    """

    def __init__(
        self,
        limits: Limits,
        dial_timeout_s: float,
        heartbeat_interval_s: float,
        heartbeat_timeout_s: float,
        on_descriptor: Callable[[int, bool], None],
    ) -> None:
        self._limits = limits
        self._dial_timeout_ms = int(dial_timeout_s * 1000 * _AFTER_THE_CORE)
        self._heartbeat_interval_ms = int(heartbeat_interval_s * 1000)
        self._heartbeat_timeout_ms = int(heartbeat_timeout_s * 1000)
        self._on_descriptor = on_descriptor
        self._context = acquire_context()
        self._router = self._open(zmq.ROUTER)
        # Without it whatever cannot be delivered disappears in silence.
        self._router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._monitors: list[tuple[_Socket, int]] = []
        """Monitor sockets, and the REP connection each belongs to (0: the ROUTER)."""
        self._watch(self._router, 0)
        self._endpoints: dict[int, str] = {}
        self._by_endpoint: dict[bytes, int] = {}
        self._dialling: dict[int, None] = {}
        """Connections that nothing was heard of yet."""
        self._closing: dict[bytes, tuple[int, float]] = {}
        """Endpoints of dials that were ended while nothing was heard of them: how many, and until when that may yet be
        told; the oldest first."""
        self._dealers: dict[int, _Socket] = {}
        self._routing_ids: dict[int, bytes] = {}
        self._by_routing_id: dict[bytes, int] = {}
        self._ports = guard.Ports()
        guard.watch(self._ports)

    def _open(self, kind: int) -> _Socket:
        sock = self._context.socket(kind)
        _common_options(sock, self._limits)
        # One message at a time: what is queued behind a server that died cannot be taken back. Records gather in
        # the outbox instead, where they can.
        sock.setsockopt(zmq.SNDHWM, 1)
        # libzmq never redials by itself: it would deliver what was meant for the server's predecessor.
        sock.setsockopt(zmq.RECONNECT_IVL, -1)
        sock.setsockopt(zmq.CONNECT_TIMEOUT, self._dial_timeout_ms)
        return sock

    def _watch(self, sock: _Socket, conn_id: int) -> None:
        events = zmq.EVENT_CONNECTED | zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED
        for name in ("NO_DETAIL", "PROTOCOL", "AUTH"):
            events |= getattr(zmq, f"EVENT_HANDSHAKE_FAILED_{name}")
        monitor: _Socket = sock.get_monitor_socket(events)
        # A pipe wakes its reader only once that has found it empty: an event that comes before the first look would
        # be found at the next event, and the dial be taken for a failed one.
        _raw_get(monitor, _EVENTS)
        self._monitors.append((monitor, conn_id))
        self._on_descriptor(int(sock.getsockopt(zmq.FD)), True)
        self._on_descriptor(int(monitor.getsockopt(zmq.FD)), True)

    def connect(self, conn_id: int, endpoint: str, proto: str, local: bool) -> str:
        """Dial; return what is wrong with the endpoint, empty if nothing. An event follows, or silence."""
        sock = self._router
        if proto == REP:
            sock = self._open(zmq.DEALER)
            # Without it a DEALER queues for a server that is not there.
            sock.setsockopt(zmq.IMMEDIATE, 1)
            self._watch(sock, conn_id)
            self._dealers[conn_id] = sock
        else:
            # Whoever re-uses an id that libzmq still knows ends the process (assertion in router.cpp).
            routing_id = b"c" + conn_id.to_bytes(6, "big")
            sock.setsockopt(zmq.CONNECT_ROUTING_ID, routing_id)
            self._routing_ids[conn_id] = routing_id
            self._by_routing_id[routing_id] = conn_id
        beat = 0 if local else self._heartbeat_interval_ms
        # Sees a dead host, a cut cable, a stopped process; answered by libzmq's own thread, so not a hung handler.
        sock.setsockopt(zmq.HEARTBEAT_IVL, beat)
        sock.setsockopt(zmq.HEARTBEAT_TIMEOUT, self._heartbeat_timeout_ms if beat else 0)
        try:
            sock.connect(endpoint)
        except zmq.ZMQError as error:
            self._forget(conn_id)
            return f"cannot dial {endpoint}: {error.strerror}"
        self._endpoints[conn_id] = endpoint
        self._ports.dialled[int(endpoint.rpartition(":")[2])] = None
        if proto != REP:
            self._by_endpoint[endpoint.encode()] = conn_id
            self._dialling[conn_id] = None
        return ""

    def disconnect(self, conn_id: int) -> None:
        """Take a connection down and drop what is queued for it; an unknown id does nothing."""
        endpoint = self._endpoints.pop(conn_id, None)
        if endpoint is not None and conn_id not in self._dealers:
            self._by_endpoint.pop(endpoint.encode(), None)
            if conn_id in self._dialling:
                del self._dialling[conn_id]
                self._expect_end(endpoint.encode())
            with contextlib.suppress(zmq.ZMQError):  # ENOENT: libzmq has removed it already
                self._router.disconnect(endpoint)
        self._forget(conn_id)

    def _forget(self, conn_id: int) -> None:
        routing_id = self._routing_ids.pop(conn_id, None)
        if routing_id is not None:
            del self._by_routing_id[routing_id]
        dealer = self._dealers.pop(conn_id, None)
        if dealer is not None:
            self._close(dealer, conn_id)

    def _close(self, sock: _Socket, conn_id: int) -> None:
        self._on_descriptor(int(sock.getsockopt(zmq.FD)), False)
        for monitor, owner in [entry for entry in self._monitors if entry[1] == conn_id]:
            self._on_descriptor(int(monitor.getsockopt(zmq.FD)), False)
            sock.disable_monitor()
            monitor.close(0)
            self._monitors.remove((monitor, owner))
        sock.close(0)

    def send(self, conn_id: int, frames: Sequence[bytes]) -> Sent:
        """Send one message to a server; never blocks."""
        routing_id = self._routing_ids.get(conn_id)
        if routing_id is not None:
            return _send(self._router, routing_id, frames)
        dealer = self._dealers.get(conn_id)
        return _send(dealer, None, frames) if dealer is not None else Sent.UNREACHABLE

    def connections(self) -> list[int]:
        """Return every connection, made or dialled."""
        return list(self._endpoints)

    def end_messages(self) -> None:
        """End a message of which only the beginning was sent, and one of which only the beginning was received."""
        with contextlib.suppress(zmq.ZMQError):  # outside of a message it is one without an address, and is dropped
            _raw_send(self._router, b"", _NOBLOCK)
        while _raw_get(self._router, _RCVMORE):
            _raw_recv(self._router, _NOBLOCK)

    def receive(self) -> tuple[int, list[bytes]] | None:
        """Return the next message of the ROUTER and whose it is (0: of a connection that is gone), or None."""
        message = _receive_routed(self._router)
        if message is None:
            return None
        return self._by_routing_id.get(message[0], 0), message[1]

    def receive_plain(self, each_max: int) -> Iterator[tuple[int, list[bytes]]]:
        """Yield what REP servers have answered, so many messages of each at most."""
        for conn_id, dealer in list(self._dealers.items()):
            for _ in range(each_max):
                frames = _receive(dealer)
                if frames is None:
                    break
                yield conn_id, frames

    def _expect_end(self, endpoint: bytes) -> None:
        now = time.monotonic()
        for oldest, (_, until) in list(self._closing.items()):
            if now < until:
                break
            del self._closing[oldest]
        ended, _ = self._closing.pop(endpoint, (0, 0.0))
        self._closing[endpoint] = (ended + 1, now + _CLOSING_S)

    def _was_expected(self, endpoint: bytes) -> bool:
        ended, until = self._closing.get(endpoint, (0, 0.0))
        if ended > 1:
            self._closing[endpoint] = (ended - 1, until)
        else:
            self._closing.pop(endpoint, None)
        return time.monotonic() < until

    def events(self) -> Iterator[tuple[int, LinkEvent, str]]:
        """Yield what the monitors have seen: connection, what, and why."""
        for monitor, owner in list(self._monitors):
            while not monitor.closed:
                frames = _receive(monitor)
                if frames is None:
                    break
                (kind, _), endpoint = _MONITORED.unpack(frames[0]), frames[1]
                # An event names an endpoint and no dial: this may be the end of the one before.
                if kind == zmq.EVENT_CLOSED and self._was_expected(endpoint):
                    continue
                conn_id = owner or self._by_endpoint.get(endpoint, 0)
                self._dialling.pop(conn_id, None)
                if not conn_id:
                    continue
                if kind == zmq.EVENT_CONNECTED:
                    yield conn_id, LinkEvent.REACHED, ""
                elif kind == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                    yield conn_id, LinkEvent.UP, ""
                elif kind == zmq.EVENT_DISCONNECTED:
                    yield conn_id, LinkEvent.DOWN, "disconnected"
                elif kind == zmq.EVENT_CLOSED:
                    yield conn_id, LinkEvent.DOWN, "connection refused"
                else:
                    yield conn_id, LinkEvent.DOWN, "handshake failed"

    def close(self) -> None:
        """Close every socket."""
        for conn_id in list(self._dealers):
            self._forget(conn_id)
        self._close(self._router, 0)
        guard.unwatch(self._ports)
        release_context()


class ServerLink:
    """The ROUTER that a server binds.

    Args:
        limits: `body_max` and `head_max` bound what is received.
    """

    def __init__(self, limits: Limits) -> None:
        self._context = acquire_context()
        sock = self._sock = self._context.socket(zmq.ROUTER)
        _common_options(sock, limits)
        # A refusal is to be seen: without it an answer to a slow reader disappears.
        sock.setsockopt(zmq.ROUTER_MANDATORY, 1)
        # Messages that wait for one client. Each may hold hundreds of answers, so the default of 1000 is half a
        # gigabyte for a client that does not read; what is beyond waits in the engine, which counts octets.
        sock.setsockopt(zmq.SNDHWM, 100)
        # Cuts a client that has read nothing for so long (TCP_USER_TIMEOUT); by default its answers stay for ever.
        sock.setsockopt(zmq.TCP_MAXRT, _UNREAD_MS)
        # With 1 whoever claims a client's identity is sent that client's replies.
        sock.setsockopt(zmq.ROUTER_HANDOVER, 0)
        self.descriptor: int = int(sock.getsockopt(zmq.FD))
        """To be watched for reading; edge-triggered, and any call on the socket takes the edge."""
        self._ports = guard.Ports()
        guard.watch(self._ports)

    def bind(self, endpoint: str, public: str) -> None:
        """Bind.

        Args:
            endpoint: Where, with a real port.
            public: The endpoint that others dial: this socket's identity, as 10/FLP asks. Clients of the Guide's
                model 3 address a server by it; ours do not depend on it.

        Raises:
            AddressInUse: The port is taken.
            ConfigError: The address does not parse or is not of this host.
        """
        self._sock.setsockopt(zmq.ROUTING_ID, public.encode()[:255])
        try:
            self._sock.bind(endpoint)
        except zmq.ZMQError as error:
            kind = AddressInUse if error.errno == errno.EADDRINUSE else ConfigError
            raise kind(f"cannot bind {endpoint}: {_bind_problem(error)}") from None
        if endpoint.startswith("tcp:"):
            self._ports.bound[int(endpoint.rpartition(":")[2])] = None

    def send(self, client: bytes, frames: Sequence[bytes]) -> Sent:
        """Send one message to a client; never blocks."""
        return _send(self._sock, client, frames)

    def receive(self) -> tuple[bytes, list[bytes]] | None:
        """Return the next message and its client, or None; never blocks."""
        return _receive_routed(self._sock)

    def is_readable(self) -> bool:
        """Return whether a message lies there."""
        return bool(_raw_get(self._sock, _EVENTS) & _POLLIN)

    def close(self) -> None:
        """Close the socket; what was sent still leaves, if its client reads."""
        self._sock.close(_FAREWELL_MS)
        guard.unwatch(self._ports)
        release_context()


def _bind_problem(error: zmq.ZMQError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; choose another one, or port 0 for any free one"
    if error.errno in (errno.ENODEV, errno.EADDRNOTAVAIL):
        return "this host has no such address; bind tcp://*:PORT for all of them"
    if error.errno in (errno.EINVAL, errno.EPROTONOSUPPORT):
        return "it does not parse; write tcp://HOST:PORT or tcp://*:0"
    if error.errno == errno.EACCES:
        return "ports below 1024 need privileges; choose a higher one"
    return error.strerror
