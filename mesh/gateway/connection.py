"""A connection of a caller, within bounds: what uvicorn leaves open is closed here.

uvicorn waits for ever for a head that does not come, and for a body; takes heads of any length; refuses newcomers
when there are too many connections. Here whoever keeps the gateway waiting is bounded in time, and when there are too
many, the one goes that has kept it waiting longest. So a crowd that says nothing cannot keep out those who do.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from mesh.gateway.problem import Problem
from mesh.gateway.settings import GatewaySettings

__all__ = ["CROWDED", "Connection", "Crowd"]

CROWDED = 2
"""So many times the connections there may be for moments, while all are busy or have just come."""
_GRACE_S = 0.5
"""What a connection has said may not have been read yet."""
_SWEEP_S = 0.25
_LINGER_S = 2.0
"""How long a connection is read on after a refusal: closed at once, the caller might lose what it was told."""
_URL_MAX = 8192


class Crowd:
    """All connections of a gateway; `keep` has to run.

    Args:
        settings: Bounds.
    """

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings: GatewaySettings = settings
        """Bounds."""
        self.count: int = 0
        """Connections that are open."""
        self._waited_for: OrderedDict[Connection, None] = OrderedDict()
        """Those that the gateway waits for, the longest first; it works for the others."""

    def enter(self, connection: Connection) -> None:
        """Take a new connection in, and if there are too many show one out that has had its time to speak."""
        self.count += 1
        self.wait_for(connection)
        if self.count <= self.settings.connections_max:
            return
        longest = next(iter(self._waited_for))
        if self.count <= CROWDED * self.settings.connections_max:
            if connection.waited_since - longest.waited_since >= _GRACE_S:
                self._show_out(longest)
        elif longest is connection:
            connection.turn_away()
        else:
            self._show_out(longest)

    def leave(self, connection: Connection) -> None:
        """Forget a connection that was closed."""
        self.count -= 1
        self._waited_for.pop(connection, None)

    def wait_for(self, connection: Connection) -> None:
        """The gateway waits for this connection, from now on."""
        connection.waited_since = connection.loop.time()
        self._waited_for[connection] = None
        self._waited_for.move_to_end(connection)

    def work_for(self, connection: Connection) -> None:
        """The gateway works for this connection."""
        self._waited_for.pop(connection, None)

    async def keep(self) -> None:
        """Close connections whose time is over, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = loop.time()
            surplus = self.count - self.settings.connections_max
            for connection in list(self._waited_for):
                waited_s = now - connection.waited_since
                if waited_s >= connection.patience_s or (surplus > 0 and waited_s >= _GRACE_S):
                    self._show_out(connection)
                    surplus -= 1

    def _show_out(self, connection: Connection) -> None:
        self._waited_for.pop(connection, None)
        connection.show_out()


class Connection(HttpToolsProtocol):
    """One connection. Its parser calls what begins with `on_`, in the order of the request."""

    def __init__(self, crowd: Crowd, **given: Any) -> None:
        super().__init__(**given)
        self.waited_since: float = 0.0
        """Since when the gateway waits for it, by the clock of the loop."""
        self._crowd = crowd
        self._limits = crowd.settings
        self._in_head = True
        self._in_body = False
        self._head_octets = 0
        self._piece_octets = 0
        self._running: RequestResponseCycle
        self._caller: asyncio.Task[None] | None = None
        self._complaint: Problem | None = None
        self._refusal: Problem | None = None
        self._stalled: asyncio.TimerHandle | None = None

    @property
    def patience_s(self) -> float:
        """Seconds that the gateway waits for what comes next."""
        if self._refusal is not None:
            return _LINGER_S
        if self._in_body:
            return self._limits.body_timeout_s
        idle = self._is_kept and not self._head_octets
        return self._limits.idle_timeout_s if idle else self._limits.head_timeout_s

    @property
    def _is_kept(self) -> bool:
        """Whether the response to its last request was written; False before its first one."""
        return self.cycle is not None and self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin."""
        super().connection_made(transport)
        self._crowd.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """End, and cancel the call that nobody waits for any more."""
        self._crowd.leave(self)
        self._resume()
        super().connection_lost(exc)
        if self._caller is not None:
            self._running.disconnected = True  # uvicorn tells the last of several requests alone
            self._running.message_event.set()
            self._caller.cancel()

    def data_received(self, data: bytes) -> None:
        """Read on."""
        if self._refusal is not None:
            return
        if self._in_head:
            if self._head_octets == 0 and self._is_kept:
                self._crowd.wait_for(self)  # the head of the next request has a time of its own
            self._head_octets += len(data)
        self._piece_octets = len(data)
        super().data_received(data)
        if self._in_head and self._head_octets > self._limits.head_max and self._refusal is None:
            self._refuse(_head_too_long(self._limits))

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._head_octets = self._head_octets or self._piece_octets  # where one request stands behind another
        self.scope["mesh.connection"] = self  # type: ignore[typeddict-unknown-key]

    def on_headers_complete(self) -> None:
        """The head is complete. Raises Problem, at which the parser gives up."""
        if len(self.url) > _URL_MAX:
            self._complaint = Problem(414, f"the URL has more than {_URL_MAX} octets; use POST", "INVALID_ARGUMENT")
        elif len(self.headers) > self._limits.headers_max or self._has_long_head():
            self._complaint = _head_too_long(self._limits)
        if self._complaint is not None:
            raise self._complaint
        self._in_head, self._in_body, self._head_octets = False, True, 0
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        self._caller = self.loop.create_task(cycle.run_asgi(app))
        self._caller.add_done_callback(self.tasks.discard)
        self.tasks.add(self._caller)

    def on_message_complete(self) -> None:
        """The body is complete."""
        super().on_message_complete()
        self._in_head, self._in_body = True, False
        if not self.cycle.response_complete:
            self._crowd.work_for(self)

    def on_response_complete(self) -> None:
        """The response is written. uvicorn would set a timer for each; the crowd looks after all at once."""
        self._caller = None
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._crowd.wait_for(self)

    def send_400_response(self, msg: str) -> None:
        """Tell why the parser gave up: because of a bound, or because it is no HTTP."""
        self._refuse(self._complaint or Problem(400, "this is no request of HTTP/1.1", "INVALID_ARGUMENT"))

    async def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """Write a whole response, in one piece; ASGI would have it in two messages, which uvicorn checks and writes.

        What it does here takes a third of the time.
        """
        if self.flow.write_paused:
            await self.flow.drain()
        cycle = self._running
        if cycle.disconnected:
            return
        lines = [name + b": " + value + b"\r\n" for name, value in (*self.server_state.default_headers, *headers)]
        if not cycle.keep_alive:
            lines.append(b"connection: close\r\n")
        shown = b"" if cycle.scope["method"] == "HEAD" else body
        self.transport.write(b"".join([STATUS_LINE[status], *lines, b"\r\n", shown]))
        cycle.response_started = cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            self.transport.close()
        cycle.on_response()

    async def written(self) -> None:
        """Wait until the caller has read most of what was written, or has gone."""
        await self.flow.drain()

    def pause_writing(self) -> None:
        """The caller does not read."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """The caller reads again."""
        super().resume_writing()
        self._resume()

    def show_out(self) -> None:
        """Close it, for it kept the gateway waiting, and say so if it owes a request."""
        if self._refusal is None and (self._head_octets or not self._is_kept):
            self._write(Problem(408, "the request did not come in time; send it at once", "DEADLINE_EXCEEDED"))
        self.transport.close()

    def turn_away(self) -> None:
        """Close it, for there are too many that ask for something."""
        text = "all connections of the gateway are busy; try again"
        self._write(Problem(503, text, "RESOURCE_EXHAUSTED"))
        self.transport.close()

    def _has_long_head(self) -> bool:
        """Tell whether the head is too long, which is complete; what was read with it may be the body."""
        most = self._limits.head_max
        if self._head_octets <= most:
            return False
        return len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers) > most

    def _expect_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()

        def check() -> None:
            if self.transport.get_write_buffer_size() < unread:
                self._expect_reading()  # slowly, but it does
            else:
                self.transport.abort()

        self._stalled = self.loop.call_later(self._limits.write_timeout_s, check)

    def _resume(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _refuse(self, problem: Problem) -> None:
        """Tell a caller whose request cannot be read on, and close soon."""
        self._refusal = problem.with_traceback(None)  # which would hold what was read
        if self.headers:
            self.headers.clear()
        self._crowd.wait_for(self)
        self._write(problem)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def _write(self, problem: Problem) -> None:
        if self.cycle is not None and self.cycle.response_started and not self.cycle.response_complete:
            return  # it would stand in the midst of another response
        body = problem.body()
        head = [STATUS_LINE[problem.status], b"connection: close\r\n"]
        head += [name + b": " + value + b"\r\n" for name, value in problem.headers(body)]
        self.transport.write(b"".join([*head, b"\r\n", body]))


def _head_too_long(limits: GatewaySettings) -> Problem:
    most = f"{limits.head_max} octets, or more than {limits.headers_max} fields"
    return Problem(431, f"the head of the request has more than {most}; send fewer headers", "RESOURCE_EXHAUSTED")
