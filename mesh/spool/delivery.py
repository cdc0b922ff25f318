"""Delivers what is in a store: performs what the couriers decide, one for each method, in a loop on its own thread.

Of several processes that share a spool one delivers at a time; when it ends, however that may be, the next one does.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from mesh.errors import (
    CallError,
    CallTimeout,
    ClosedError,
    ConfigError,
    LocalProtocolError,
    MeshError,
    NoServer,
    OutcomeUnknown,
    RemoteError,
    SpoolError,
    Status,
)
from mesh.spool.batch import pack_batch, unpack_receipt
from mesh.spool.courier import Courier
from mesh.spool.letters import (
    Action,
    Answered,
    AskNewest,
    Event,
    Failed,
    Failure,
    Fetch,
    Fetched,
    Letter,
    Newest,
    Put,
    Send,
    Settle,
    Tick,
)
from mesh.spool.locks import FileLock
from mesh.spool.ranges import Ranges
from mesh.spool.record import producer_of
from mesh.spool.store import Store

if TYPE_CHECKING:
    from mesh.aio import AsyncClient

__all__ = ["Delivery"]

_log = logging.getLogger("mesh")

_LOCK = "deliver.lock"
_TURN_S = 0.2
"""How often to look whether it is our turn to deliver."""
_LOOK_S = 0.05
"""How often to look for what other processes have put."""
_GATHER_S = 0.02
"""Shortest time between two looks for what this process has put: with 5 ms, groups of 100 go half as fast."""
_SETTLE_S = 0.05
"""How long what is delivered stays in the store, so that one transaction removes much."""
_MEND_S = 5.0
"""How long to wait after an error of the disk or of the network before another try."""
_LAST_ANSWERS_S = 0.3
"""How long the answers to what is on its way are waited for at the end."""
_UNSETTLED_MAX = 100_000
"""Records that are delivered and cannot be removed: no more are sent then."""

_INVALID = (Status.INVALID_ARGUMENT, Status.UNKNOWN, Status.INTERNAL, Status.OUT_OF_RANGE, Status.ALREADY_EXISTS)
"""Answers that are about what was sent; any other one is about who has it."""


class Delivery:
    """Delivers from its own thread until it is stopped.

    Args:
        store: Where the records are.
        connect: Makes the client; called in the loop of that thread.
        window: Batches of one method on their way at the same time.
        live_first: Whether new records go before those that wait since long.
    """

    def __init__(self, store: Store, connect: Callable[[], AsyncClient], *, window: int, live_first: bool) -> None:
        self._store = store
        self._connect = connect
        self._window = window
        self._live_first = live_first
        self._lanes: dict[str, _Lane] = {}
        self._thread = threading.Thread(target=self._run, name="mesh-spool-delivery", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begun = threading.Event()
        self._refusal: ConfigError | None = None
        self._woken = False
        self._looks_at = 0.0
        self._stopping = asyncio.Event()

    @property
    def in_flight(self) -> int:
        """Records sent and not acknowledged yet."""
        return sum(lane.courier.in_flight for lane in list(self._lanes.values()))

    def start(self) -> None:
        """Begin. Raises ConfigError: no client can be made with these settings."""
        self._thread.start()
        self._begun.wait()
        if self._refusal is not None:
            self._thread.join()
            raise self._refusal

    def stop(self) -> None:
        """End within a second; what is on its way then is sent again next time."""
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended by itself
                loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        finally:
            self._begun.set()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await self._try_settings()
        except ConfigError as error:
            self._refusal = error
            return
        self._begun.set()
        lock = FileLock(self._store.directory, _LOCK)
        try:
            while not lock.take_if_free():
                if await self._stopped_within(_TURN_S):
                    return
            while not self._stopping.is_set():
                try:
                    await self._deliver()
                except Exception as error:
                    # The rest of the program goes on putting, so that delivering must go on, too.
                    where = self._store.directory
                    known = isinstance(error, MeshError | OSError)
                    _log.error("%s: delivery failed, trying again: %s", where, error, exc_info=not known)
                    await self._stopped_within(_MEND_S)
        finally:
            lock.close()

    async def _try_settings(self) -> None:
        try:
            client = self._connect()
        except ConfigError:
            raise
        except Exception:  # such as a network that cannot be used yet: records are taken all the same
            return
        await client.close()

    async def _stopped_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        return self._stopping.is_set()

    async def _deliver(self) -> None:
        unlisten = self._store.listen(self._wake)
        self._store.delivers = True
        try:
            async with self._connect() as client:
                self._client = client
                self._look()
                while not await self._stopped_within(_LOOK_S):
                    if self._store.changed():
                        self._look()
                    for lane in self._lanes.values():
                        if lane.fault is not None:
                            raise lane.fault
                await asyncio.gather(*(lane.close() for lane in self._lanes.values()))
        finally:
            unlisten()
            self._store.delivers = False
            self._lanes.clear()

    def _wake(self) -> None:
        """Have the loop look soon; from any thread, often."""
        loop = self._loop
        if not self._woken and loop is not None:
            self._woken = True
            with contextlib.suppress(RuntimeError):  # the loop is closed: it is over
                loop.call_soon_threadsafe(self._look)

    def _look(self) -> None:
        """Tell the couriers that something was put; not too often, for whoever puts wants the processor too."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if now < self._looks_at:
            self._woken = True
            loop.call_at(self._looks_at, self._look)
            return
        self._woken = False
        self._looks_at = now + _GATHER_S
        if self._stopping.is_set():
            return
        try:
            methods = self._store.methods()
        except (SpoolError, ClosedError) as error:
            _log.error("%s", error)
            return
        for method in methods:
            lane = self._lanes.get(method)
            if lane is None:
                courier = Courier(random.Random(), window=self._window, live_first=self._live_first)
                lane = self._lanes[method] = _Lane(method, courier, self._store, self._client)
            lane.feed(Put())


class _Done:
    """Records that are delivered, or set aside, and perhaps still in the store."""

    def __init__(self) -> None:
        self.delivered = Ranges()
        self.quarantined: dict[int, str] = {}
        self.records = 0

    def add(self, delivered: Iterable[tuple[int, int]], quarantined: Mapping[int, str]) -> None:
        """Add records that are not among them yet."""
        for first, last in delivered:
            self.delivered.add(first, last)
            self.records += last - first + 1
        self.quarantined |= quarantined
        self.records += len(quarantined)

    def sifted(self, letters: Iterable[Letter]) -> list[Letter]:
        """Return what of these letters is not among them."""
        if not self.records:
            return list(letters)
        rows = Ranges(self.delivered)
        for row in self.quarantined:
            rows.add(row, row)
        return [letter.part(*run) for letter in letters for run in rows.gaps(letter.row, letter.last)]


class _Lane:
    """Performs what the courier of one method decides."""

    def __init__(self, method: str, courier: Courier, store: Store, client: AsyncClient) -> None:
        self.courier = courier
        self.fault: Exception | None = None
        """What has stopped it: all begins anew, and what was on its way goes once more."""
        self._method = method
        self._store = store
        self._client = client
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._calls: set[asyncio.Task[None]] = set()
        self._settling: asyncio.Task[None] | None = None
        self._done = _Done()
        self._writing = _Done()
        """What is being written down."""
        self._floor = 0
        """No smaller number is sent again."""
        self._problem = ""
        self._closed = False

    def feed(self, event: Event) -> None:
        """Have the courier decide, and do that."""
        if self._closed and not isinstance(event, Answered):
            return
        try:
            self._decide(event)
        except Exception as error:
            self.fault = error
            self._closed = True
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        due_at = self.courier.deadline()
        if due_at is not None and not self._closed:
            self._timer = self._loop.call_at(due_at, self.feed, Tick())

    def _decide(self, event: Event) -> None:
        now = self._loop.time()
        events = [event]
        while events:
            for action in self.courier.handle(events.pop(0), now):
                following = self._perform(action)
                if following is not None:
                    events.append(following)

    async def close(self) -> None:
        """Send nothing more, wait a moment for answers, and write down what they say."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._calls and not self.courier.away:
            await asyncio.wait(self._calls, timeout=_LAST_ANSWERS_S)
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        if self._settling is not None:
            await self._settling

    def _perform(self, action: Action) -> Event | None:
        match action:
            case Fetch():
                return self._fetch(action)
            case AskNewest():
                return Newest(self._store.newest())
            case Send() if not self._closed:
                call = self._loop.create_task(self._call(action))
                self._calls.add(call)
                call.add_done_callback(self._calls.discard)
            case Settle():
                self._settle(action.delivered, action.quarantined)
            case _:
                pass
        return None

    def _fetch(self, action: Fetch) -> Fetched:
        letters: list[Letter] = []
        read = 0
        if not self._closed and self._done.records + self._writing.records < _UNSETTLED_MAX:
            try:
                rows = self._store.letters(self._method, action.after, action.limit, action.octets_max)
            except SpoolError as error:
                self._say(str(error))
                self._loop.call_later(_MEND_S, self.feed, Put())
            else:
                read = len(rows)
                letters = self._done.sifted(self._writing.sifted(rows))
                if read and not letters:
                    return self._fetch(Fetch(rows[-1].last, action.limit, action.octets_max, action.live))
        return Fetched(letters, not read, action.live)

    def _settle(self, delivered: Sequence[tuple[int, int]], quarantined: Mapping[int, str]) -> None:
        for seq, reason in quarantined.items():
            _log.warning("record %d for %s is set aside: %s", seq, self._method, reason)
        self._done.add(delivered, quarantined)
        if self._settling is None:
            self._settling = self._loop.create_task(self._settle_all())

    async def _settle_all(self) -> None:
        """Write down what has become of records, in as few transactions as the disk is quick."""
        try:
            while self._done.records:
                if not self._closed:
                    await asyncio.sleep(_SETTLE_S)
                self._writing, self._done = self._done, _Done()
                try:
                    await self._store.settle_async(self._method, self._writing.delivered, self._writing.quarantined)
                except SpoolError as error:
                    self._say(str(error))
                    self._done.add(self._writing.delivered, self._writing.quarantined)
                    self._writing = _Done()
                    if self._closed:
                        return  # they go once more next time, and are recognised
                    await asyncio.sleep(_MEND_S)
                else:
                    self._writing = _Done()
                    self._floor = self._store.floor()
        finally:
            self._settling = None

    async def _call(self, send: Send) -> None:
        try:
            event = await self._ask(send)
        except ClosedError:
            return
        except Exception as error:
            _log.exception("%s: a batch could not be sent", self._method)
            event = Failed(send.parcel, Failure.NOT_NOW, f"{type(error).__name__}: {error}")
        if isinstance(event, Failed):
            self._say(event.reason)
        elif self._problem:
            self._problem = ""
            _log.info("records for %s are delivered again", self._method)
        self.feed(event)

    async def _ask(self, send: Send) -> Answered | Failed:
        """Return what became of a parcel."""
        floors = {producer_of(send.letters[0].packed): self._floor}  # nearly always of all of them
        body = pack_batch([letter.packed for letter in send.letters], floors)
        try:
            # Not to be repeated elsewhere: only who had it knows whether it is stored, and the courier decides.
            reply = await self._client.request(
                self._method, body, timeout=send.within_s, idempotent=False, peer=send.peer or None
            )
            receipt = unpack_receipt(reply.body, self._method)
        except (NoServer, OutcomeUnknown, CallTimeout, RemoteError, LocalProtocolError) as error:
            failure, peer = _meaning(error)
            return Failed(send.parcel, failure, _sentence(error), peer)
        except ClosedError:
            raise
        except MeshError as error:
            return Failed(send.parcel, Failure.NOT_NOW, _sentence(error))
        return Answered(send.parcel, receipt.durable, receipt.refused)

    def _say(self, problem: str) -> None:
        """Log a problem once, and not each time that it is met again."""
        if problem != self._problem:
            self._problem = problem
            _log.warning("records for %s wait: %s", self._method, problem)


def _sentence(error: MeshError) -> str:
    return error.message if isinstance(error, CallError) else str(error)


def _meaning(error: MeshError) -> tuple[Failure, str]:
    """Return what an error says of a parcel, and the name of the warehouse that may have stored it all the same."""
    match error:
        case NoServer():
            return Failure.NOBODY, ""
        case LocalProtocolError():
            return Failure.INVALID, ""
        case RemoteError():
            return Failure.INVALID if error.code in _INVALID else Failure.NOT_NOW, ""
        case CallError() if error.attempts:
            return Failure.UNKNOWN, error.attempts[-1].name
        case _:
            return Failure.NOT_NOW, ""
