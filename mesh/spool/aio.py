"""`AsyncSpool` for asyncio. `mesh.spool.sync` has the same for threads: same methods, same order."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mesh.config import ClientConfig
from mesh.errors import SpoolFull
from mesh.spool.opening import Settings, opened, unopened
from mesh.spool.quota import WhenFull
from mesh.spool.record import SpoolStats
from mesh.spool.schema import State
from mesh.spool.store import SpoolReport, Store
from mesh.spool.view import SpoolEntry
from mesh.spool.waiting import AsyncChanges

if TYPE_CHECKING:
    from mesh.spool.delivery import Delivery

__all__ = ["AsyncSpool"]


class AsyncSpool:
    """Keeps records on disk until they are delivered; any number of threads and processes may put into one.

    What `put` has returned for is on disk, and is delivered to an inbox of whichever server offers its method, now or
    when one is back. The inbox stores it once, however often it is sent. Use it in an `async with` statement, or call
    `open` and `close`.

    After the disk is full, or failed, nothing is put any more by this object: each put raises SpoolError until
    another one is made. A forked child opens it again.

    Args:
        path: The spool's directory; made if it is not there.
        deliver: Whether to deliver too. Of several processes that do, one at a time delivers.
        servers: As `Client` takes them; so are the next four.
        discover: See there.
        realm: See there.
        interfaces: See there.
        config: See there.
        records_max: Most records it takes, waiting and in quarantine.
        octets_max: Most octets of records, 48 and the names of method and stream for each besides its body. The file
            may take a quarter more.
        when_full: `block`: put waits for room; `reject`: it raises SpoolFull; `drop-oldest`: the oldest make room.
        live_first: Whether new records go before those that wait since long.
        window: Batches of up to 1000 records on their way at the same time.
        clock: Tells the time in seconds since 1970.

    Raises:
        ConfigError: A setting cannot be used.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        deliver: bool = True,
        servers: Iterable[str] | None = None,
        discover: bool = True,
        realm: str | None = None,
        interfaces: Sequence[str] | None = None,
        config: ClientConfig | None = None,
        records_max: int = 10_000_000,
        octets_max: int = 8 << 30,
        when_full: WhenFull = "block",
        live_first: bool = False,
        window: int = 4,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = Settings(
            path,
            deliver,
            servers,
            discover,
            realm,
            interfaces,
            config,
            records_max,
            octets_max,
            when_full,
            live_first,
            window,
            clock,
        )
        self._store: Store | None = None
        self._delivery: Delivery | None = None

    async def open(self) -> Self:
        """Open the file, and begin to deliver.

        Takes some seconds for each GB that waits: the first process that opens the file looks whether it is in order.

        Raises:
            SpoolError: It cannot be opened.
            ClosedError: It was opened before.
        """
        unopened(self._store)
        self._store = store = await asyncio.to_thread(self._settings.open)
        if self._settings.deliver:
            try:
                self._delivery = self._settings.start_delivery(store)
            except BaseException:
                await asyncio.to_thread(store.close)
                raise
        return self

    async def put(self, method: str, body: bytes, *, stream: str = "", timeout: float | None = None) -> int:
        """Keep a record; return its number when it is on disk.

        Args:
            method: Full name of the inbox method that takes it, `service.method`.
            body: What it is.
            stream: Records of one stream are delivered in the order in which they were put; "" has no order.
            timeout: Seconds to wait for room where that is the policy. None: for ever.

        Raises:
            SpoolFull: There is no room for it; it was not put.
            SpoolError: It was not put, or whether it is on disk is unknown.
            LocalProtocolError: What was given cannot be sent.
            ClosedError: The spool is closed.
        """
        return (await self.put_many(method, (body,), stream=stream, timeout=timeout))[0]

    async def put_many(
        self, method: str, bodies: Iterable[bytes], *, stream: str = "", timeout: float | None = None
    ) -> list[int]:
        """Keep records, all or none; return their numbers when all are on disk. Takes and raises what `put` does."""
        store = opened(self._store)
        settings = self._settings
        settings.check_names(method, stream)
        checked = settings.checked(bodies)
        if not checked:
            return []
        work = store.putting(method, checked, stream)
        try:
            return await store.change_async(work, len(checked))
        except SpoolFull:
            if not settings.waits_for_room(store, method, stream, checked):
                raise
        with AsyncChanges(store, timeout) as changes:
            while True:
                try:
                    return await store.change_async(work, len(checked))
                except SpoolFull:
                    if not await changes.wait():
                        raise

    async def flush(self, timeout: float | None = None) -> bool:
        """Wait until all is delivered or in quarantine; return False if that takes more than `timeout` seconds."""
        store = opened(self._store)
        with AsyncChanges(store, timeout) as changes:
            while await asyncio.to_thread(store.ready):
                if not await changes.wait():
                    return False
        return True

    async def stats(self) -> SpoolStats:
        """Return how it stands; the rates are those since the last time."""
        in_flight = self._delivery.in_flight if self._delivery is not None else 0
        return await asyncio.to_thread(opened(self._store).stats, in_flight)

    async def peek(self, limit: int = 10, *, state: State = "ready", after: int = 0) -> list[SpoolEntry]:
        """Return records that wait, or that are `quarantined`, oldest first.

        Args:
            limit: How many at the most.
            state: Which ones.
            after: Only those with a greater number.
        """
        return await asyncio.to_thread(opened(self._store).entries, limit, state, after)

    async def quarantine(self, seqs: Iterable[int], why: str) -> int:
        """Set records aside, so that they are not delivered; return how many waited."""
        store = opened(self._store)
        reasons = dict.fromkeys(await asyncio.to_thread(store.keys, seqs), why)
        return await store.change_async(lambda transaction: transaction.quarantine(reasons), len(reasons))

    async def replay(self, seqs: Iterable[int] | None = None) -> int:
        """Have records in quarantine delivered after all, every one if none are named; return how many there were."""
        store = opened(self._store)
        keys = None if seqs is None else await asyncio.to_thread(store.keys, seqs)
        return await store.change_async(lambda transaction: transaction.replay(keys))

    async def purge(self, seqs: Iterable[int] | None = None, *, state: State = "quarantined") -> int:
        """Remove records for good, all in that state if none are named; return how many there were."""
        store = opened(self._store)
        keys = None if seqs is None else await asyncio.to_thread(store.keys, seqs)
        return await store.change_async(lambda transaction: transaction.purge(state, keys))

    async def verify(self, progress: Callable[[int], None] | None = None) -> SpoolReport:
        """Look at every page and every record, save what can be saved of what is damaged, and return what was found.

        Args:
            progress: Told how many records were looked at, again and again, in whichever thread.
        """
        return await asyncio.to_thread(opened(self._store).verify, progress)

    async def close(self) -> None:
        """Stop delivering and let go of the file; a second time does nothing. What waits to put raises ClosedError."""
        if self._store is not None:
            self._store.check_process()
            if self._delivery is not None:
                await asyncio.to_thread(self._delivery.stop)
            await asyncio.to_thread(self._store.close)

    async def __aenter__(self) -> Self:
        """Open."""
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()
