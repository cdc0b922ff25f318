"""A thousand false advertisements a second, while a client that discovers its servers calls them."""

from __future__ import annotations

import contextlib
import itertools
import random
import secrets
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from scripts.hostile_client import Caller, Villain, calling, mute
from scripts.hostile_server import Felt
from scripts.pace import percentile
from tests.helpers.process import spawn
from tests.helpers.rogue import Mark, Multicast, Rogue, storm

__all__ = ["Flood", "flood"]

_PERIOD_S = 3.0
_PREPARED = 4000
"""Packets that are made beforehand: making them would compete with the client for the processor."""

_Period = tuple[bool, float, float]
"""Whether it was an attack, and when it began and ended."""


@dataclass
class Flood:
    """What a flood of advertisements did."""

    felt: Felt = field(default_factory=Felt)
    packets: int = 0
    p50_ms: tuple[float, float] = (0.0, 0.0)
    """Of the calls in calm periods, and under attack."""
    p99_ms: tuple[float, float] = (0.0, 0.0)
    p99_ratio: float = 0.0
    """Median over the pairs of neighbouring periods of p99 under attack by p99 in calm."""
    servers_known: int = 0
    """What the client took for servers, at the end."""
    healthy_alive: int = 0
    """How many of the three healthy servers were alive at the end."""
    healthy_used: int = 0
    """How many of them answered calls under attack."""
    rogue_dials: int = 0
    """Connections to the rogue that listens and says nothing."""
    rogue_calls: int = 0
    """Calls that it was given."""


def flood(seconds: float, rate: float, seed: int, tell: Callable[[float], None] = lambda done: None) -> Flood:
    """Attack for `seconds` altogether, in periods between which the same packets go where nobody listens."""
    result = Flood()
    realm = f"hostile-{secrets.token_hex(4)}"
    with contextlib.ExitStack() as stack:
        for _ in range(3):
            server = stack.enter_context(spawn([sys.executable, "-m", "scripts.hostile_prey", "sync", realm]))
            server.wait_line("^tcp://", 20.0)
        villain = stack.enter_context(Villain(mute, seed))
        caller = stack.enter_context(calling(realm))
        multicast = stack.enter_context(Multicast())
        marks = [Mark(*_split(line)) for line in caller.alive]
        rng = random.Random(seed)
        packets = itertools.cycle(list(itertools.islice(storm(Rogue(rng, realm, marks, villain.port), rng), _PREPARED)))
        time.sleep(0.5)
        periods: list[_Period] = []
        period_s = min(_PERIOD_S, seconds)
        for number in range(2 * max(1, round(seconds / _PERIOD_S))):
            heard = number % 2 == 1
            began = time.monotonic()
            for sent in range(int(period_s * rate)):
                ahead_s = began + sent / rate - time.monotonic()
                if ahead_s > 0.001:
                    time.sleep(ahead_s)
                multicast.send(next(packets), heard=heard)
                result.packets += heard
            periods.append((heard, began, time.monotonic()))
            caller.look()
            tell(sum(heard for heard, *_ in periods) * period_s)
        caller.end()
        result.rogue_dials, result.rogue_calls = villain.dials, villain.calls
    result.felt = caller.felt
    result.felt.seconds = round(sum(ended - began for _, began, ended in periods), 1)
    healthy = {mark.peer_id for mark in marks}
    result.servers_known = len(caller.servers)
    result.healthy_alive = sum(caller.servers.get(peer_id) == "alive" for peer_id in healthy)
    _judge(result, caller, periods, healthy)
    return result


def _judge(result: Flood, caller: Caller, periods: list[_Period], healthy: set[str]) -> None:
    def during(*chosen: _Period) -> list[float]:
        return [took_s * 1000 for at, took_s, *_ in caller.calls if any(since <= at < to for _, since, to in chosen)]

    attacks = [period for period in periods if period[0]]
    calms = [period for period in periods if not period[0]]
    used = {who for at, _, who, _ in caller.calls if any(since <= at < to for _, since, to in attacks)}
    result.healthy_used = len(used & healthy)
    calm, attacked = during(*calms), during(*attacks)
    result.p50_ms = round(percentile(calm, 0.5), 2), round(percentile(attacked, 0.5), 2)
    result.p99_ms = round(percentile(calm, 0.99), 2), round(percentile(attacked, 0.99), 2)
    ratios = [
        percentile(during(attack), 0.99) / max(percentile(during(before), 0.99), 1e-9)
        for before, attack in zip(calms, attacks, strict=True)
    ]
    result.p99_ratio = round(statistics.median(ratios), 2)


def _split(line: str) -> tuple[str, str, str, int]:
    """Return name, id, host and port of what a client says of a server."""
    name, peer_id, address = line.split()
    host, _, port = address.removeprefix("tcp://").rpartition(":")
    return name, peer_id, host, int(port)
