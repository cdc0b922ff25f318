"""What a spool tells when it is scraped."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from prometheus_client.registry import Collector

from mesh import AsyncSpool, Spool
from mesh.metrics import SpoolCollector

Scrape = Callable[[Collector], dict[tuple[str, tuple[str, ...]], float]]


def test_a_spool_tells_how_it_stands_as_long_as_it_is_open(tmp_path: Path, samples: Scrape) -> None:
    with Spool(tmp_path, deliver=False) as spool:
        collector = SpoolCollector(spool)
        assert samples(collector)["mesh_spool_oldest_age_seconds", ()] == 0
        first, _, _ = spool.put_many("store.in", [b"a", b"b", b"c"])
        spool.quarantine([first], "a test wants it")
        told = samples(collector)
    records = {labels[0]: value for (name, labels), value in told.items() if name == "mesh_spool_records"}
    assert records == {"waiting": 2, "in_flight": 0, "quarantined": 1}
    assert told["mesh_spool_put_total", ()] == 3
    assert told["mesh_spool_delivered_total", ()] == told["mesh_spool_dropped_total", ()] == 0
    assert told["mesh_spool_bytes", ()] > 3
    assert 0 <= told["mesh_spool_oldest_age_seconds", ()] < 60
    assert samples(collector) == {}


async def _told(path: Path, samples: Scrape) -> SpoolCollector:
    async with AsyncSpool(path, deliver=False) as spool:
        collector = SpoolCollector(spool)
        await spool.put("store.in", b"a")
        told = await asyncio.to_thread(samples, collector)
    assert told["mesh_spool_put_total", ()] == 1
    assert await asyncio.to_thread(samples, collector) == {}
    return collector


def test_a_spool_of_a_loop_is_scraped_from_threads(tmp_path: Path, samples: Scrape) -> None:
    collector = asyncio.run(_told(tmp_path, samples))
    assert samples(collector) == {}, "the loop is closed"
