"""What a spool tells of the records that it keeps."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Iterator
from typing import Protocol

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from mesh.errors import ClosedError, SpoolError
from mesh.metrics.families import counter, gauge
from mesh.spool.record import SpoolStats

__all__ = ["SpoolCollector"]

_READ_S = 1.0
_COUNTED = (
    ("put", "Records put since the file was made."),
    ("delivered", "Records delivered since the file was made."),
    ("dropped", "Records purged, or dropped for want of room, since the file was made."),
)


class _Kept(Protocol):
    def stats(self) -> SpoolStats | Awaitable[SpoolStats | None] | None: ...


class SpoolCollector(Collector):
    """Tells of a spool when it is scraped; one that is closed, or fails, tells nothing.

    Args:
        spool: A `Spool`; or an `AsyncSpool`, then this is made in its loop, and scraped from another thread.
    """

    def __init__(self, spool: _Kept) -> None:
        self._spool = spool
        try:
            self._loop: asyncio.AbstractEventLoop | None = asyncio.get_running_loop()
        except RuntimeError:
            self._loop = None

    def describe(self) -> list[Metric]:
        """Return nothing: a registry that asks at registration would have the file read for nothing."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield everything there is to tell."""
        try:
            stats = self._read()
        except (ClosedError, SpoolError, TimeoutError, RuntimeError):  # the last one: its loop is closed
            return
        if stats is None:
            return
        records = gauge("mesh_spool_records", "Records that are kept, by what becomes of them.", "state")
        records.add(stats.ready - stats.in_flight, "waiting")
        records.add(stats.in_flight, "in_flight")
        records.add(stats.quarantined, "quarantined")
        octets = gauge("mesh_spool_bytes", "Octets of all these records.")
        octets.add(stats.octets)
        oldest = gauge("mesh_spool_oldest_age_seconds", "Since the oldest record that waits was put; 0 if none waits.")
        oldest.add(stats.oldest_age_s or 0.0)
        for family in (records, octets, oldest):
            yield family.metric()
        for name, text in _COUNTED:
            counted = counter(f"mesh_spool_{name}", text)
            counted.add(getattr(stats, name))
            yield counted.metric()

    def _read(self) -> SpoolStats | None:
        if self._loop is not None and self._loop.is_closed():
            return None
        if self._loop is not None:
            return asyncio.run_coroutine_threadsafe(self._stats(), self._loop).result(_READ_S)
        told = self._spool.stats()
        assert not inspect.isawaitable(told), "the collector of an AsyncSpool is made in its loop"
        return told

    async def _stats(self) -> SpoolStats | None:
        told = self._spool.stats()
        return await told if inspect.isawaitable(told) else told
