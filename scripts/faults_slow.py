"""Servers that answer, but late, or with nothing but errors."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from scripts.faults_report import Finding, Report, ms, tail
from scripts.fleet import Fleet
from scripts.pace import AsyncPace, Done, LoopClient, percentile, steady

__all__ = ["Errors", "Slowness", "all_slow", "flapping", "overload", "slow_one"]

_NAMES = ("s1", "s2", "s3")


@dataclass
class Slowness:
    """What calls felt of slow servers, and how often they were tried."""

    normal_ms: list[float]
    """What each call took in the last second before."""
    during_ms: list[float]
    """What each call took while servers were slow."""
    attempts: int
    """Attempts that the clients count for those."""
    arrived: int
    """Calls that the servers count, run or discarded, before and during."""
    calls: int
    """Calls that were made, before and during."""
    errors: list[str]
    answered_by: dict[str, int]
    """Calls that each server answered while servers were slow."""
    tail: bool
    """Whether the slowest calls are promised something: another server could have answered them."""

    def report(self) -> Report:
        """Hold the attempts against the retry budget, and the slowest calls against the hedge where there is one."""
        findings = [
            Finding("attempts per call, counted by the servers", round(self.arrived / self.calls, 3), 1.2),
            Finding("attempts per slow call, counted by callers", round(self.attempts / len(self.during_ms), 3), 1.2),
        ]
        if self.tail:
            findings = [
                Finding("calls failed", len(self.errors), 0, why=f"of {self.calls}"),
                tail(self.normal_ms, self.during_ms, "p99 while one server is slow"),
                *findings,
            ]
        notes = {
            "calls": self.calls,
            "failed": len(self.errors),
            "normal p50": f"{percentile(self.normal_ms, 0.5):.1f} ms",
            "normal p99": f"{percentile(self.normal_ms, 0.99):.1f} ms",
            "p50 during": f"{percentile(self.during_ms, 0.5):.1f} ms",
            "p99 during": f"{percentile(self.during_ms, 0.99):.1f} ms",
            "answered by": self.answered_by,
        }
        return Report(tuple(findings), notes)


@dataclass
class Errors:
    """What calls felt of a server that fails each of them at once."""

    failed_first: list[int] = field(default_factory=list)
    """Calls that failed until the server had been failing for a second, for each fault."""
    rate_later: list[float] = field(default_factory=list)
    """Share of the calls that failed after that."""
    back_s: list[float] = field(default_factory=list)
    """Seconds from the server's recovery to its first answer; infinity for never."""
    errors: Counter[str] = field(default_factory=Counter)

    def report(self) -> Report:
        """Hold the errors against what an ejected server may cause."""
        findings = (
            Finding(
                "calls failed in the first second", max(self.failed_first), 50, why="some tens until it is ejected"
            ),
            Finding("share of calls failed after that", round(max(self.rate_later), 4), 0.01),
        )
        return Report(findings, {"back in use after (s)": self.back_s, "errors": dict(self.errors.most_common(3))})


@contextmanager
def _three() -> Iterator[LoopClient]:
    with Fleet() as fleet, LoopClient(**fleet.settings) as client:
        fleet.start(*_NAMES)
        client.wait_for(len(_NAMES), service="work")
        yield client


def _arrived(client: LoopClient) -> int:
    """Return how many calls of `work` the servers have had, those included that they dropped."""
    total = 0
    for name in _NAMES:
        stats = client.call("mesh.stats", peer=name)
        total += stats["num_expired"] + stats["num_shed"]
        total += sum(one["num_requests"] for one in stats["endpoints"] if one["name"] != "behave")
    return total


def _slowness(
    slow: tuple[str, ...],
    factor: float,
    method: str,
    rate: float,
    hold_s: float,
    normal_s: float,
    slow_s: float,
    timeout_s: float = 5.0,
    *,
    tail: bool = False,
) -> Slowness:
    with _three() as client:
        with AsyncPace(client, rate, steady(method, hold_s), timeout_s) as pace:
            time.sleep(normal_s)
            at = time.monotonic()
            for name in slow:
                client.call("work.behave", factor, peer=name)
            time.sleep(slow_s)
        arrived = _arrived(client)
    during = [one for one in pace.done if one.started_at >= at]
    return Slowness(
        normal_ms=[ms(one.took_s) for one in pace.done if at - 1.0 <= one.finished_at < at],
        during_ms=[ms(one.took_s) for one in during],
        # An attempt that was given up and then refused stands there twice.
        attempts=sum(len({(attempt.name, attempt.started_s) for attempt in one.attempts}) for one in during),
        arrived=arrived,
        calls=len(pace.done),
        errors=[one.error for one in pace.done if one.error],
        answered_by=dict(Counter(one.server for one in during if one.server)),
        tail=tail,
    )


def slow_one(seconds: float = 4.0) -> Slowness:
    """Have one of three servers take 20 times as long, at 1000 calls a second."""
    return _slowness(("s1",), 20.0, "work.nap", 1000.0, 0.005, 2.0, seconds, tail=True)


def all_slow(seconds: float = 8.0) -> Slowness:
    """Have all servers take 10 times as long, 0.3 s, at 500 calls a second."""
    return _slowness(_NAMES, 10.0, "work.nap", 500.0, 0.03, 1.5, seconds)


def overload(seconds: float = 6.0) -> Slowness:
    """Ask for twice what three servers can do one after the other; most calls wait until their deadline of 1 s."""
    return _slowness(_NAMES, 10.0, "work.echo", 300.0, 0.002, 1.0, seconds, 1.0)


def flapping(codes: tuple[str, ...] = ("UNAVAILABLE", "INTERNAL"), seconds: float = 4.0) -> Errors:
    """Have one of three servers fail each call at once, which makes it look the quickest; then let it recover."""
    result = Errors()
    with _three() as client:
        for name, code in zip(_NAMES, codes, strict=False):
            with AsyncPace(client, 300.0, steady("work.nap", 0.005)) as pace:
                time.sleep(1.0)
                client.call("work.behave", 1.0, code, peer=name)
                failing_at = time.monotonic()
                time.sleep(seconds)
                client.call("work.behave", peer=name)
                healed_at = time.monotonic()
                back_at = _first_answer(pace, name, healed_at)
            _count(result, [one for one in pace.done if failing_at <= one.started_at < healed_at], failing_at)
            result.back_s.append(round(back_at - healed_at, 2))
    return result


def _first_answer(pace: AsyncPace, name: str, since: float, patience_s: float = 12.0) -> float:
    """Wait until a server answers again; return when it did, infinity if not in time."""
    seen = len(pace.done)
    while time.monotonic() < since + patience_s:
        time.sleep(0.02)
        done = pace.done[seen:]
        seen += len(done)
        for one in done:
            if one.server == name and one.started_at >= since:
                return one.finished_at
    return float("inf")


def _count(result: Errors, done: list[Done], failing_at: float) -> None:
    failed = [one for one in done if one.error]
    first = [one for one in failed if one.started_at < failing_at + 1.0]
    result.errors.update(one.error for one in failed)
    result.failed_first.append(len(first))
    result.rate_later.append((len(failed) - len(first)) / sum(one.started_at >= failing_at + 1.0 for one in done))
