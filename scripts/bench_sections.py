"""The sections of `scripts.bench`: what is measured, what it is compared with, and what it has to reach."""

from __future__ import annotations

from collections.abc import Callable

from scripts.bench_calls import Calls, Idle, Servers
from scripts.bench_core import core_section
from scripts.bench_failover import failover_section
from scripts.bench_figures import Effort, Limit, Ratio, Section
from scripts.bench_peers import PEERS
from scripts.bench_start import start_section

__all__ = ["PEERS_SECTION", "SECTIONS"]

PEERS_SECTION = "peers"
"""Name of the section that is measured only if somebody asks for it."""
_REP = (Servers("raw.rep"),)
_ROUTER = (Servers("raw.router"),)
_MESH = (Servers("mesh.inline"),)
_LEAST = (Servers("floor.router"),)
_BASE = "raw DEALER, 64 in flight"
"""What the limits of throughput are relative to, whatever is in flight."""
_RAW_CALL = "raw REQ-REP"


def _sync(effort: Effort) -> Section:
    request, typed, floor = "Client.request", "Client.call, typed", "floor, sync"
    return Section(
        "sync",
        (
            Calls("raw.req", _REP).contender(_RAW_CALL, effort),
            Calls("mesh.sync", _MESH).contender(request, effort),
            Calls("mesh.typed", _MESH).contender(typed, effort),
            Calls("floor.sync", _LEAST).contender(floor, effort),
        ),
        (
            Ratio(request, _RAW_CALL, "p50_us", Limit(at_most=1.15)),
            Ratio(floor, _RAW_CALL, "p50_us"),
            Ratio(request, _RAW_CALL, "p99_us", base_key="p50_us"),
            Ratio(typed, _RAW_CALL, "p50_us"),
        ),
    )


def _async(effort: Effort) -> Section:
    request, loop, floor = "AsyncClient.request", "raw DEALER of zmq.asyncio", "floor, asyncio"
    return Section(
        "async",
        (
            Calls("raw.req", _REP).contender(_RAW_CALL, effort),
            Calls("raw.loop", _ROUTER).contender(loop, effort),
            Calls("mesh.async", _MESH).contender(request, effort),
            Calls("floor.async", _LEAST).contender(floor, effort),
        ),
        (
            Ratio(request, _RAW_CALL, "p50_us", Limit(at_most=1.35)),
            Ratio(floor, _RAW_CALL, "p50_us"),
            Ratio(request, _RAW_CALL, "p99_us", base_key="p50_us"),
            Ratio(request, loop, "p50_us"),
        ),
    )


def _flight(effort: Effort) -> Section:
    numbers = (1, 8, 64, 256, 1024)
    raw = {number: f"raw DEALER, {number} in flight" for number in numbers}
    ours = {number: f"AsyncClient, {number} in flight" for number in numbers}
    lean = "raw DEALER, 64 in flight, single frames"
    floors = {number: f"floor, {number} in flight" for number in (64, 256)}
    limits = {64: Limit(at_least=1.0), 256: Limit(at_least=1.6)}
    return Section(
        "flight",
        (
            *(Calls("raw.dealer", _ROUTER, number).contender(raw[number], effort) for number in numbers),
            Calls("raw.lean-dealer", _ROUTER, 64).contender(lean, effort),
            *(Calls("mesh.async", _MESH, number).contender(ours[number], effort) for number in numbers),
            *(Calls("floor.async", _LEAST, number).contender(floor, effort) for number, floor in floors.items()),
        ),
        (
            *(Ratio(ours[number], _BASE, "rate", limits.get(number)) for number in numbers),
            *(Ratio(floor, _BASE, "rate") for floor in floors.values()),
            *(Ratio(ours[number], raw[number], "rate") for number in numbers if number != 64),
            Ratio(lean, _BASE, "rate"),
        ),
    )


def _handlers(effort: Effort) -> Section:
    kinds = {
        "inline": "mesh.inline",
        "coroutine, AsyncServer": "mesh.coroutine",
        "coroutine, Server": "mesh.coroutine-thread",
        "threaded": "mesh.threaded",
    }
    limits = {("coroutine, AsyncServer", 256): Limit(at_least=0.9)}
    names = {(kind, number): f"{kind}, {number} in flight" for number in (64, 256) for kind in kinds}
    return Section(
        "handlers",
        (
            Calls("raw.dealer", _ROUTER, 64).contender(_BASE, effort),
            *(
                Calls("mesh.async", (Servers(kinds[kind]),), number).contender(name, effort)
                for (kind, number), name in names.items()
            ),
        ),
        tuple(Ratio(name, _BASE, "rate", limits.get(which)) for which, name in names.items()),
    )


def _servers(effort: Effort) -> Section:
    numbers = (1, 2, 4, 8)
    names = {number: f"{number} server{'s' * (number > 1)}, 256 in flight" for number in numbers}
    floors = {number: f"floor, {names[number]}" for number in (1, 4)}
    return Section(
        "servers",
        (
            *(
                Calls("mesh.async", (Servers("mesh.inline", number),), 256).contender(name, effort)
                for number, name in names.items()
            ),
            *(
                Calls("floor.async", (Servers("floor.router", number),), 256).contender(floor, effort)
                for number, floor in floors.items()
            ),
        ),
        (
            *(
                Ratio(names[number], names[1], "rate", Limit(at_least=0.8) if number == 4 else None)
                for number in numbers[1:]
            ),
            Ratio(floors[4], floors[1], "rate"),
        ),
    )


def _threads(effort: Effort) -> Section:
    raw, ours, floor = "raw background thread, 16 threads", "Client, 16 threads", "floor, 16 threads"
    return Section(
        "threads",
        (
            Calls("raw.threads", _ROUTER, 16).contender(raw, effort),
            Calls("mesh.sync", _MESH, 16).contender(ours, effort),
            Calls("floor.threads", _LEAST, 16).contender(floor, effort),
        ),
        (Ratio(ours, raw, "rate", Limit(at_least=1.2)), Ratio(floor, raw, "rate")),
    )


def _bodies(effort: Effort) -> Section:
    sizes = {"64 KiB": (65536, 0.85), "1 MiB": (1 << 20, 0.8)}
    raw = {size: f"raw DEALER, 64 of {size}" for size in sizes}
    ours = {size: f"AsyncClient, 64 of {size}" for size in sizes}
    return Section(
        "bodies",
        tuple(
            contender
            for size, (octets, _) in sizes.items()
            for contender in (
                Calls("raw.dealer", _ROUTER, 64, octets).contender(raw[size], effort),
                Calls("mesh.async", _MESH, 64, octets).contender(ours[size], effort),
            )
        ),
        tuple(Ratio(ours[size], raw[size], "rate", Limit(at_least=limit)) for size, (_, limit) in sizes.items()),
    )


def _memory(effort: Effort) -> Section:
    numbers = (1, 100, effort.many)
    kinds = {
        ("raw DEALER", "Client"): ("raw.dealer", "mesh.sync", numbers),
        ("raw DEALER of zmq.asyncio", "AsyncClient"): ("raw.loop", "mesh.async", (100,)),
    }
    contenders, ratios = [], []
    for (base, ours), (base_client, client, counts) in kinds.items():
        for count in counts:
            servers = f"{count} server{'s' * (count > 1)}"
            contenders.append(Idle(base_client, Servers("raw.router", each=count)).contender(f"{base}, {servers}"))
            contenders.append(Idle(client, Servers("mesh.many", each=count)).contender(f"{ours}, {servers}"))
            limit = Limit(at_most=1.4) if count == 100 else None
            ratios.append(Ratio(f"{ours}, {servers}", f"{base}, {servers}", "rss_mib", limit))
    return Section("memory", tuple(contenders), tuple(ratios))


def _known(effort: Effort) -> Section:
    called = 10
    many = f"{effort.many} servers known, {called} called"
    fleets = {
        "1 server": (Servers("mesh.many"),),
        f"{called} servers": (Servers("mesh.many", each=called),),
        many: (Servers("mesh.many", each=called), Servers("mesh.others", each=effort.many - called)),
    }
    contenders, ratios = [], []
    for in_flight in (1, 64):
        names = {fleet: f"{fleet}, {in_flight} in flight" for fleet in fleets}
        contenders += [
            Calls("mesh.async", fleets[fleet], in_flight).contender(names[fleet], effort) for fleet in fleets
        ]
        one, few, all_ = names.values()
        ratios.append(Ratio(few, one, "client_cpu_us"))
        ratios.append(Ratio(all_, one, "client_cpu_us", Limit(at_most=1.3)))
        ratios.append(Ratio(all_, few, "client_cpu_us"))
        floors = {
            each: f"floor, {fleet}, {in_flight} in flight" for each, fleet in zip((1, called), fleets, strict=False)
        }
        contenders += [
            Calls("floor.async", (Servers("floor.router", each=each),), in_flight).contender(floor, effort)
            for each, floor in floors.items()
        ]
        ratios.append(Ratio(floors[called], floors[1], "client_cpu_us"))
    return Section("known", tuple(contenders), tuple(ratios))


def _peers(effort: Effort) -> Section:
    ours = "AsyncClient, 64 in flight"
    contenders, ratios, skipped = [Calls("mesh.async", _MESH, 64).contender(ours, effort)], [], []
    for kind, peer in PEERS.items():
        if why := peer.missing():
            skipped.append(why)
            continue
        name = f"{peer.name}, 64 in flight"
        contenders.append(Calls(f"peers.{kind}", (Servers(f"peers.{kind}"),), 64).contender(name, effort))
        ratios.append(Ratio(ours, name, "rate", Limit(at_least=peer.at_least) if peer.at_least else None))
    return Section("peers", tuple(contenders), tuple(ratios), tuple(skipped))


SECTIONS: dict[str, Callable[[Effort], Section]] = {
    "sync": _sync,
    "async": _async,
    "flight": _flight,
    "handlers": _handlers,
    "servers": _servers,
    "threads": _threads,
    "bodies": _bodies,
    "memory": _memory,
    "known": _known,
    "start": start_section,
    "failover": failover_section,
    "core": core_section,
    PEERS_SECTION: _peers,
}
"""Each makes its section."""
