"""A spool for those who cannot be told that it failed: it waits for room, and opens it again after a failure."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from mesh.errors import ClosedError, SpoolError, SpoolFull
from mesh.spool.aio import AsyncSpool
from mesh.spool.record import SpoolRecord, SpoolStats
from mesh.workers.actions import Say

__all__ = ["Keeper"]

_ROOM_S = 0.1
"""How often to look whether there is room again."""
_LOOK_RECORDS = 50
_PAUSE_S, _PAUSE_MAX_S = 0.5, 30.0
"""Between a failure and the next try; it doubles until something can be stored again."""


class Keeper:
    """Keeps a spool open, and makes records durable however long that takes.

    A record whose commit ended in a failure of the disk may be there or not. It is put again, for nobody would learn
    that it is not; so there may be two of it then, and there is never none.

    Args:
        make: Makes a spool that is not open yet, with a policy other than `block`: the waiting is done here.
        tell: Is told when the spool is full, or fails, and when that is over.
    """

    def __init__(self, make: Callable[[], AsyncSpool], tell: Callable[[Say], None]) -> None:
        self._make = make
        self._tell = tell
        self._spool: AsyncSpool | None = None
        self._opening = asyncio.Lock()
        self._pause_s = _PAUSE_S
        self._full = False

    async def open(self) -> None:
        """Open it. Raises SpoolError, ConfigError."""
        self._spool = await self._make().open()

    async def put_many(self, method: str, bodies: Sequence[bytes], *, stream: str = "") -> Sequence[int]:
        """Return when all of them are durable; wait as long as there is no room, or the disk refuses.

        Raises:
            LocalProtocolError: They cannot be sent to any inbox.
            ClosedError: It was closed.
        """
        while True:
            spool = self._spool
            if spool is None:
                raise ClosedError("the spool is closed")
            try:
                seqs = await spool.put_many(method, bodies, stream=stream)
            except SpoolFull as error:
                if not self._full:
                    self._full = True
                    self._tell(Say("full", f"{error}; senders wait until there is room", trouble=True))
                await asyncio.sleep(_ROOM_S)
            except (SpoolError, ClosedError) as error:  # closed: another one has found out before, and opens it again
                await self._reopen(spool, error)
            else:
                if self._full or self._pause_s > _PAUSE_S:
                    self._full, self._pause_s = False, _PAUSE_S
                    self._tell(Say("stored", "records are stored again"))
                return seqs

    async def newest(self, limit: int) -> AsyncIterator[SpoolRecord]:
        """Yield the records that were put last, at most so many, as far as they still wait. Raises SpoolError."""
        if self._spool is None:
            raise ClosedError("the spool is closed")
        last = (await self._spool.stats()).put
        after = max(0, last - limit)
        # A few at a time, for they may be large; and not those that others put meanwhile, which may go on for ever.
        while after < last and (entries := await self._spool.peek(_LOOK_RECORDS, after=after)):
            for entry in entries:
                if entry.record is not None:
                    yield entry.record
            after = entries[-1].seq

    async def stats(self) -> SpoolStats | None:
        """Return how it stands; None if that cannot be told now."""
        try:
            return await self._spool.stats() if self._spool is not None else None
        except (SpoolError, ClosedError):
            return None

    async def close(self) -> None:
        """Close it; who waits raises ClosedError."""
        spool, self._spool = self._spool, None
        if spool is not None:
            await spool.close()

    async def _reopen(self, failed: AsyncSpool, why: Exception) -> None:
        async with self._opening:
            while self._spool is failed:
                self._tell(
                    Say(
                        "failed",
                        f"{why}; nothing is stored or acknowledged meanwhile; next try in {self._pause_s:g} s",
                        trouble=True,
                        facts={"retry_s": self._pause_s},
                    )
                )
                await asyncio.sleep(self._pause_s)
                self._pause_s = min(2 * self._pause_s, _PAUSE_MAX_S)
                await failed.close()
                fresh = self._make()
                try:
                    await fresh.open()
                except SpoolError as error:
                    why = error
                    continue
                if self._spool is failed:
                    self._spool = fresh
                else:  # it was closed meanwhile
                    await fresh.close()
