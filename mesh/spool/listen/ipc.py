"""A local endpoint for any ZeroMQ client, in any language: a record comes in, and is answered when it is durable.

    request   METHOD BODY [STREAM]   frames: full name of the inbox method, the record, its stream (none: no order)
    answer    OK SEQ                 frames: it is durable and has this number, in decimal digits
              ERROR SENTENCE         it cannot be taken, as it is

A REQ socket sends and receives just these. Any other one (DEALER, ROUTER) sends one frame before them, which comes back
before the answer: empty, or whatever tells its requests apart, for it may have many on their way, and answers come as
records become durable. A request without an answer may have been stored or not; whoever repeats it may make a second
record. While the spool is full requests wait. The single frame PING is answered with PONG.

Whoever may write to the socket's file may put records; its directory, and the umask, say who that is.
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections import deque
from collections.abc import Sequence

from mesh.config import Limits
from mesh.core.dialect import PONG, FlpPing, Plain, read_dialect
from mesh.errors import ConfigError, LocalProtocolError
from mesh.io.link import Sent, ServerLink
from mesh.spool.listen.intake import Intake, check_method

__all__ = ["Ipc"]

_SCHEME = "ipc://"
_PATH_MAX = 107
"""Octets of the path of a socket: sun_path of unix(7)."""
_PENDING_MAX = 1000
"""Requests that wait for their commit; further ones stay with ZeroMQ, and beyond its marks with their senders."""
_UNSENT_MAX = 10_000
"""Answers that wait for one client to read; the oldest go first."""
_TURN_MAX = 100
"""Requests read before others have their turn."""


class Ipc:
    """Takes records from local ZeroMQ clients; call `open`, `run` until `stop`, then `close`.

    Args:
        endpoint: `ipc://PATH`.
        intake: Where records go.

    Raises:
        ConfigError: It does not parse.
    """

    def __init__(self, endpoint: str, intake: Intake) -> None:
        path = endpoint.removeprefix(_SCHEME)
        if not endpoint.startswith(_SCHEME) or not path or len(os.fsencode(path)) > _PATH_MAX:
            raise ConfigError(
                f"cannot listen on {endpoint!r}: it does not parse; write ipc://PATH with at most {_PATH_MAX} octets"
            )
        self._path = path
        self._intake = intake
        self._link: ServerLink | None = None
        self._stopped = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._unsent: dict[bytes, deque[Sequence[bytes]]] = {}
        self._scheduled = False
        self._received = self._refused = 0

    @property
    def endpoint(self) -> str:
        """Where it listens."""
        return f"{_SCHEME}{self._path}"

    def counts(self) -> dict[str, int]:
        """Return what was counted since it was opened."""
        return {"received": self._received, "refused": self._refused, "pending": len(self._tasks)}

    def open(self) -> None:
        """Bind. Raises ConfigError."""
        self._check_path()
        self._link = ServerLink(Limits())
        try:
            self._link.bind(self.endpoint, self.endpoint)
        except BaseException:
            self.close()
            raise

    async def run(self) -> None:
        """Take in what comes, until `stop` and everything is durable and answered."""
        assert self._link is not None
        loop = asyncio.get_running_loop()
        loop.add_reader(self._link.descriptor, self._turn)
        try:
            self._turn()
            await self._stopped.wait()
        finally:
            loop.remove_reader(self._link.descriptor)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def stop(self) -> None:
        """Read no more; `run` returns when what was read is durable."""
        self._stopped.set()

    def close(self) -> None:
        """Release the socket."""
        for task in self._tasks:
            task.cancel()
        if self._link is not None:
            self._link.close()
            self._link = None

    def _check_path(self) -> None:
        """Raise ConfigError if ZeroMQ cannot bind, or would take away the file of somebody else to do so."""
        directory = os.path.dirname(self._path) or "."
        if not os.access(directory, os.W_OK | os.X_OK):
            raise ConfigError(f"cannot listen on {self.endpoint}: {directory} cannot be written; give another path")
        try:
            mode = os.stat(self._path).st_mode
        except FileNotFoundError:
            return
        if not stat.S_ISSOCK(mode):
            raise ConfigError(f"cannot listen on {self.endpoint}: there is a file that is no socket; give another path")
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(self._path)
            except OSError:
                return  # left behind by somebody who is no more
        raise ConfigError(
            f"cannot listen on {self.endpoint}: somebody does already; stop that one, or give another path"
        )

    def _turn(self) -> None:
        # The descriptor is edge-triggered: what is left has to be asked for.
        self._scheduled = False
        link = self._link
        if link is None:
            return
        for client in list(self._unsent):
            self._flush(client)
        for _ in range(_TURN_MAX):
            if len(self._tasks) >= _PENDING_MAX or self._stopped.is_set():
                return
            message = link.receive()
            if message is None:
                return
            self._take(*message)
        self._soon()

    def _soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _take(self, client: bytes, frames: Sequence[bytes]) -> None:
        request = read_dialect(frames)
        if isinstance(request, FlpPing):
            self._send(client, [*request.envelope, PONG])
        elif isinstance(request, Plain):
            self._received += 1
            task = asyncio.get_running_loop().create_task(self._put(client, request.envelope, request.frames))
            self._tasks.add(task)
            task.add_done_callback(self._done)
        else:
            self._refused += 1  # there is no way to answer it that its sender would understand

    async def _put(self, client: bytes, envelope: Sequence[bytes], frames: Sequence[bytes]) -> None:
        try:
            seq = await self._store(frames)
        except LocalProtocolError as error:
            self._refused += 1
            self._send(client, [*envelope, b"ERROR", str(error).encode(errors="replace")])
        else:
            self._send(client, [*envelope, b"OK", b"%d" % seq])

    async def _store(self, frames: Sequence[bytes]) -> int:
        if not 2 <= len(frames) <= 3:
            raise LocalProtocolError(f"a request has two or three frames, METHOD BODY [STREAM], and not {len(frames)}")
        try:
            method, stream = frames[0].decode(), frames[2].decode() if len(frames) == 3 else ""
        except UnicodeDecodeError:
            raise LocalProtocolError("METHOD and STREAM are UTF-8; the order is METHOD BODY [STREAM]") from None
        return (await self._intake.put_many(check_method(method), [frames[1]], stream=stream))[0]

    def _send(self, client: bytes, frames: Sequence[bytes]) -> None:
        """Answer as soon as the client reads; one that has gone, or does not read for too long, gets no answer."""
        unsent = self._unsent.setdefault(client, deque(maxlen=_UNSENT_MAX))
        unsent.append(frames)
        if len(unsent) == 1:
            self._flush(client)

    def _flush(self, client: bytes) -> None:
        unsent = self._unsent[client]
        while unsent and self._link is not None:
            sent = self._link.send(client, unsent[0])
            if sent is Sent.FULL:
                return
            if sent is Sent.UNREACHABLE:
                break
            unsent.popleft()
        del self._unsent[client]

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._soon()  # there is room for another one, and the answer has taken the edge
        if not task.cancelled():
            task.result()
