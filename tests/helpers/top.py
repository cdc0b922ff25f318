"""Samples for the tests of mesh-top."""

from __future__ import annotations

import dataclasses
from typing import Any

from mesh import ServerView
from mesh.top.board import Snapshot
from mesh.top.rows import Stats

__all__ = ["answer", "snapshot", "stats", "view"]

_VIEW = ServerView(
    name="calc-1",
    peer_id="id-1",
    state="alive",
    services=("calc",),
    address="tcp://127.0.0.1:5001",
    addresses=("tcp://127.0.0.1:5001",),
    sources=("mdns",),
    proto="mesh/1",
    version="1.0.0",
    rtt_s=0.00042,
    latency_p50_s=0.0,
    latency_p99_s=0.0,
    in_flight=0,
    window=512,
    load=0,
    answered=0,
    errors=0,
    last_seen_s=0.1,
    note="",
)
_STATS = Stats(
    told_at=0.0,
    rtt_s=0.0004,
    uptime_s=10.0,
    cpu_s=1.0,
    memory=48 << 20,
    calls=0,
    errors=0,
    in_flight=0,
    capacity=4096,
    p50_s=0.001,
    p95_s=0.002,
    p99_s=0.003,
    methods=(),
)


def view(**fields: Any) -> ServerView:
    """Return a live server, but for these fields."""
    return dataclasses.replace(_VIEW, **fields)


def stats(**fields: Any) -> Stats:
    """Return what a server of ten seconds and no call says, but for these fields."""
    return dataclasses.replace(_STATS, **fields)


def answer(**fields: Any) -> dict[str, Any]:
    """Return the bare answer to mesh.stats, with these fields."""
    return {"uptime_s": 1.0, "endpoints": [], **fields}


def snapshot(at: float, *servers: ServerView, said: dict[str, Stats] | None = None) -> Snapshot:
    """Return a look at these servers, `at` seconds after ten o'clock."""
    clock = f"10:{int(at) // 60:02}:{int(at) % 60:02}"
    return Snapshot(at, clock, f"2026-07-01T{clock}.000+00:00", servers, said or {})
