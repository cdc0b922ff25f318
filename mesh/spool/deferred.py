"""Calls that are made later: kept on disk from the moment they are accepted, made when a server is there.

A call is a record in a store of its own (`mesh.spool.store`), and stays there until its outcome is on disk. One whose
method may be repeated is made until it is answered, also after this process has died. One that must not be is marked
as begun first: if then nobody can know whether it has run, that is its outcome.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from mesh.core.backoff import delay
from mesh.errors import (
    CallError,
    ClosedError,
    LocalProtocolError,
    MeshError,
    NoServer,
    OutcomeUnknown,
    Overloaded,
    RemoteError,
    SpoolError,
    Status,
)
from mesh.spool.locks import FileLock
from mesh.spool.outcomes import DeferredOutcome, Outcomes
from mesh.spool.quota import Quota
from mesh.spool.ranges import Ranges
from mesh.spool.record import SpoolRecord
from mesh.spool.store import Store

if TYPE_CHECKING:
    from mesh.aio import AsyncClient

__all__ = ["Contract", "DeferredCalls"]

_log = logging.getLogger("mesh")

_QUEUE = "mesh.deferred"
"""Under which name the store keeps them."""
_LOCK = "deliver.lock"
_ID_OCTETS = 16
_PAUSE_MIN_S, _PAUSE_MAX_S = 0.1, 5.0
"""Pauses between the tries of one call grow from about the one to the other."""
_MEND_S = 5.0
"""How long to wait after an error of the disk before another try."""
_PAGE = 1000
_NOT_NOW = (Status.UNAVAILABLE, Status.RESOURCE_EXHAUSTED)
"""What a server says of itself and not of the call."""


class _Call(msgspec.Struct, frozen=True, array_like=True):
    """A call as it is kept."""

    id: str
    method: str
    frames: list[bytes]
    key: bytes
    metadata: dict[str, str]
    put_at: float
    expires_at: float | None


class Contract(msgspec.Struct, frozen=True):
    """What a deferred call has to know of its method."""

    repeats: bool
    """It may run again if it is unknown whether it has."""
    raw: bool
    """It answers with frames as they are; else with one value."""


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(_Call).decode


class _Open:
    """What is known of a call that has not ended; the call itself is on disk."""

    __slots__ = ("ended", "method", "name", "problem", "put_at", "seq", "tries")

    def __init__(self, name: str, seq: int, method: str, put_at: float) -> None:
        self.name = name
        self.seq = seq
        self.method = method
        self.put_at = put_at
        self.tries = 0
        self.problem = ""
        self.ended = asyncio.Event()


class DeferredCalls:
    """Makes deferred calls in the running loop; use it in an `async with` statement.

    Args:
        directory: A directory of its own, made if it is not there; one process at a time uses it.
        client: Makes the calls.
        look_up: Returns what is known of the method of a name. Raises NoServer while nobody is there who knows.
        calls_max: Calls that wait; one more raises SpoolFull.
        octets_max: Octets of them, and again of the outcomes that are kept.
        keep_s: Seconds for which outcomes are kept.
        at_once: Calls on their way at the same time.
        try_s: Seconds that one try may take; then the call is made again, or its outcome is unknown.
        drain_s: Seconds that calls under way which must not run twice have when it stops.
        clock: Tells the time in seconds since 1970.
    """

    def __init__(
        self,
        directory: Path,
        client: AsyncClient,
        look_up: Callable[[str], Awaitable[Contract]],
        *,
        calls_max: int = 100_000,
        octets_max: int = 1 << 30,
        keep_s: float = 86_400.0,
        at_once: int = 64,
        try_s: float = 300.0,
        drain_s: float = 10.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._directory = directory
        self._client = client
        self._look_up = look_up
        self._quota = Quota(calls_max, octets_max, "reject")
        self._octets_max = octets_max
        self._keep_s = keep_s
        self._at_once = at_once
        self._try_s = try_s
        self._drain_s = drain_s
        self._clock = clock
        self._rng = random.Random()
        self._open: dict[str, _Open] = {}
        self._begun: set[str] = set()
        """Calls that may have run."""
        self._due: asyncio.Queue[str] = asyncio.Queue()
        self._workers: set[asyncio.Task[None]] = set()
        self._making: dict[str, asyncio.Task[Any]] = {}
        """Calls that are with a server, or about to be, and who makes each."""
        self._accepting: set[asyncio.Task[str]] = set()
        self._stopping = False

    async def __aenter__(self) -> DeferredCalls:
        """Open the directory, and go on with what waits there.

        Raises:
            SpoolError: It cannot be opened, or another process uses it.
        """
        await asyncio.to_thread(self._load)
        for name in self._open:
            self._due.put_nowait(name)
        for _ in range(self._at_once):
            self._workers.add(asyncio.create_task(self._work()))
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Stop; what is on its way is made again when it is opened again, and what must not be may end before."""
        self._stopping = True
        once = [task for name, task in self._making.items() if name in self._begun]
        if once:
            await asyncio.wait(once, timeout=self._drain_s)
        for task in self._workers:
            task.cancel()
        await asyncio.gather(*self._workers, *self._accepting, return_exceptions=True)
        await asyncio.to_thread(self._close)

    async def put(
        self,
        method: str,
        frames: Sequence[bytes],
        *,
        key: bytes = b"",
        metadata: Mapping[str, str] | None = None,
        within_s: float | None = None,
    ) -> str:
        """Accept a call; return its id when it is on disk.

        Args:
            method: Full name, `service.method`.
            frames: Its body.
            key: Idempotency key for the servers; its id if none is given.
            metadata: Travels with the call.
            within_s: Seconds after which it is not begun any more. None: however late.

        Raises:
            SpoolFull: There is no room; it was not accepted.
            SpoolError: It was not accepted, or whether it is on disk is unknown.
        """
        name, now = secrets.token_hex(_ID_OCTETS), self._clock()
        expires_at = None if within_s is None else now + within_s
        accepting = asyncio.create_task(
            self._accept(_Call(name, method, list(frames), key, dict(metadata or {}), now, expires_at))
        )
        self._accepting.add(accepting)
        accepting.add_done_callback(self._accepting.discard)
        # Who hangs up cancels this, and what is on disk then is a call all the same.
        return await asyncio.shield(accepting)

    async def _accept(self, call: _Call) -> str:
        [seq] = await self._store.change_async(self._store.putting(_QUEUE, [_pack(call)], ""))
        self._open[call.id] = _Open(call.id, seq, call.method, call.put_at)
        self._due.put_nowait(call.id)
        return call.id

    async def outcome(self, name: str, within_s: float = 0.0) -> DeferredOutcome | None:
        """Return how the call of this id stands; None: there is none, or it is forgotten. Raises SpoolError.

        Args:
            name: Its id.
            within_s: Seconds to wait for its end.
        """
        call = self._open.get(name)
        if call is not None and within_s > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await call.ended.wait()
            call = self._open.get(name)
        if call is None:
            return await asyncio.to_thread(self._outcomes.find, name)
        return DeferredOutcome(
            id=name,
            method=call.method,
            state="running" if name in self._making else "waiting",
            put_at=call.put_at,
            tries=call.tries,
            problem=call.problem,
        )

    @property
    def waiting(self) -> int:
        """Calls that have not ended."""
        return len(self._open)

    def _load(self) -> None:
        self._store = Store(self._directory, self._quota, self._clock)
        self._lock = FileLock(self._directory, _LOCK)
        try:
            if not self._lock.take_if_free():
                raise SpoolError(
                    f"{self._directory} is in use by another process; give each its own directory",
                    path=str(self._directory),
                )
            self._outcomes = Outcomes(self._directory, self._keep_s, self._octets_max)
            try:
                self._take_up_all()
            except BaseException:
                self._outcomes.close()
                raise
        except BaseException:
            self._lock.close()
            self._store.close()
            raise

    def _take_up_all(self) -> None:
        """Remember the calls of a former process that have not ended."""
        self._begun = set(self._outcomes.begun())
        after = 0
        while records := self._store.fetch(_QUEUE, after, _PAGE):
            after = records[-1].seq
            ended = [record.seq for record in records if not self._take_up(record)]
            if ended:
                self._store.settle(_QUEUE, Ranges.of(ended))

    def _take_up(self, record: SpoolRecord) -> bool:
        """Remember a call unless it has ended; return whether it has not."""
        call = _unpack(record.body)
        if self._outcomes.has(call.id):
            return False
        self._open[call.id] = _Open(call.id, record.seq, call.method, call.put_at)
        return True

    def _close(self) -> None:
        self._outcomes.close()
        self._store.close()
        self._lock.close()

    async def _work(self) -> None:
        while not self._stopping:
            call = self._open[await self._due.get()]
            pause_s = _MEND_S
            try:
                await self._try(call)
                pause_s = delay(call.tries + 1, self._rng, _PAUSE_MIN_S, _PAUSE_MAX_S)
            except SpoolError as error:
                _log.warning("deferred call %s waits: %s", call.name, error)
            except Exception:
                _log.exception("deferred call %s could not be made, trying again", call.name)
            finally:
                self._making.pop(call.name, None)
            if call.name in self._open:
                asyncio.get_running_loop().call_later(pause_s, self._due.put_nowait, call.name)

    async def _try(self, opened: _Open) -> None:
        """Make a call, and end it unless it is to be made again. Raises SpoolError, ClosedError."""
        name = opened.name
        call = await asyncio.to_thread(self._read, opened.seq)
        if call is None:
            text = "it is damaged on disk, and was set aside"
            await self._end(opened, code=Status.DATA_LOSS.name, problem=text)
            return
        left_s = self._try_s if call.expires_at is None else call.expires_at - self._clock()
        if left_s <= 0 and name not in self._begun:
            text = f"no server could begin it in time. {opened.problem}".strip()
            await self._end(opened, code=Status.DEADLINE_EXCEEDED.name, problem=text)
            return
        try:
            contract = await self._look_up(call.method)
            maker = asyncio.current_task()
            assert maker is not None, "within a coroutine there is one"
            self._making[name] = maker
            if not contract.repeats:
                if name in self._begun:
                    await self._unknown(opened, "it had begun when the process that made it ended")
                    return
                await self._outcomes.begin(name)
                self._begun.add(name)
            opened.tries += 1
            timeout_s = min(self._try_s, left_s) if left_s > 0 else self._try_s
            reply = await self._client.request(
                call.method, call.frames, timeout_s, key=call.key or name, metadata=call.metadata
            )
        except (SpoolError, ClosedError):
            raise
        except MeshError as error:
            opened.problem = error.message if isinstance(error, CallError) else str(error)
            await self._failed(opened, error)
        else:
            await self._end(opened, frames=reply.frames, raw=contract.raw, peer_id=reply.peer_id)

    async def _failed(self, opened: _Open, error: MeshError) -> None:
        """A try has come to nothing: end the call if another one could not do better."""
        begun = opened.name in self._begun
        match error:
            case RemoteError() if error.code not in _NOT_NOW:
                await self._end(opened, code=error.code.name, type=error.type, problem=error.message)
            case LocalProtocolError():
                code, kind = Status.INVALID_ARGUMENT.name, type(error).__name__
                await self._end(opened, code=code, type=kind, problem=str(error))
            case NoServer() | Overloaded() | RemoteError():
                if begun:  # it has not run, or its server says that it is as if it had not
                    await self._outcomes.take_back(opened.name)
                    self._begun.discard(opened.name)
            case _ if begun or isinstance(error, OutcomeUnknown):
                await self._unknown(opened, opened.problem.rstrip("."))

    async def _unknown(self, opened: _Open, why: str) -> None:
        text = f"{why}; it may or may not have run, and must not run twice"
        await self._end(opened, code=Status.ABORTED.name, type=OutcomeUnknown.__name__, problem=text)

    async def _end(self, opened: _Open, *, code: str = "", **how: Any) -> None:
        """Keep the outcome, and only then let go of the call."""
        await self._outcomes.end(
            DeferredOutcome(
                id=opened.name,
                method=opened.method,
                state="failed" if code else "answered",
                put_at=opened.put_at,
                ended_at=self._clock(),
                tries=opened.tries,
                code=code,
                **how,
            )
        )
        self._begun.discard(opened.name)
        del self._open[opened.name]
        opened.ended.set()
        with contextlib.suppress(SpoolError):  # then it is removed when the directory is opened again
            await self._store.settle_async(_QUEUE, [(opened.seq, opened.seq)], {})

    def _read(self, seq: int) -> _Call | None:
        records = self._store.fetch(_QUEUE, seq - 1, 1)
        return _unpack(records[0].body) if records and records[0].seq == seq else None
