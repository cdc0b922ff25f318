"""`mesh bench`: put load on a method of live servers, and tell how they bear it."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import math
import selectors
import shutil
import signal
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from mesh import AsyncClient, CallError, Counters, Reply
from mesh.cli.completers import complete_methods, complete_servers
from mesh.cli.exits import Exit, UsageError, exit_code
from mesh.cli.latencies import Latencies
from mesh.cli.load import Load, Plan
from mesh.cli.options import add_client_options, interfaces_of, non_negative, octets, positive
from mesh.cli.progress import progress
from mesh.cli.text import ascii_only, compact, complain, milliseconds, printable
from mesh.cli.values import raw_frames, typed_arguments

__all__ = ["add_arguments", "run"]

_DURATION_S = 10.0
_OPEN_MAX = 1000
_SHARES = (0.5, 0.9, 0.95, 0.99, 0.999)
_BARS_MAX = 12
_BAR_WIDTH = 40
_SERVERS_MAX = 16
_SETTLE_S, _SETTLE_NAMED_S = 0.5, 0.1
"""Until the servers beside the first one are found as well, and connected to; those that were named are known."""
_REFRESH_S = 0.2
_BUSY = 0.9
"""A client that uses so much of a processor may be what is measured."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Call one method again and again, and tell how long the answers took, how many calls failed, and which server "
        "answered how many. Without --rate, as many callers as --concurrency says call one after the other. With "
        "--rate, calls begin at that pace whether or not earlier ones were answered, and latencies count from when "
        "each should have begun. One call is made before, to see that it can be answered, and not counted. The method "
        "is really run: choose one that may be. Ctrl-C ends it with the figures so far."
    )
    complete_methods(parser.add_argument("method", metavar="METHOD", help="full name, SERVICE.METHOD"))
    parser.add_argument("arguments", nargs="*", default=[], metavar="ARG", help="as for mesh call")
    parser.add_argument("--raw", action="store_true", help="send each ARG, or all of standard input, as one frame")
    parser.add_argument(
        "--size", type=octets, metavar="SIZE", help="send one frame of so many octets, such as 64K, to a raw method"
    )
    parser.add_argument(
        "-c",
        "--concurrency",
        type=positive,
        metavar="N",
        help=f"callers (default: 1); with --rate, calls that may be open at the same time (default: {_OPEN_MAX})",
    )
    parser.add_argument(
        "-r",
        "--rate",
        type=non_negative,
        default=0.0,
        metavar="R",
        help="begin R calls a second, whatever becomes of them",
    )
    parser.add_argument(
        "-d", "--duration", type=non_negative, metavar="SECONDS", help=f"how long (default: {_DURATION_S:g})"
    )
    parser.add_argument("-n", "--count", type=positive, metavar="N", help="so many calls (default: no limit)")
    parser.add_argument("--timeout", type=float, metavar="SECONDS", help="for each call (default: 5)")
    add_client_options(parser)
    complete_servers(parser.add_argument("--peer", metavar="NAME", help="only at the server of this name or id"))
    parser.add_argument("--json", action="store_true", help="print the figures as one JSON object")


@dataclass(frozen=True, slots=True)
class _Result:
    """What is to be told when it is over."""

    load: Load
    names: dict[str, str]
    """Names of servers by their ids."""
    counters: Counters
    """What the client counted."""
    cpu: float
    """Share of one processor that this process used."""


def run(args: argparse.Namespace) -> int:
    """Put the load on; return the exit code, 1 if a call failed."""
    ask = _question(args)
    # select() takes microseconds where epoll rounds up to milliseconds: calls begin when they are due.
    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())) as runner:
        try:
            result = runner.run(_bench(ask, _plan(args), args))
        except CallError as error:  # of the call before
            complain(str(error))
            return exit_code(error)
    if args.json:
        print(compact(_as_json(result, args)))
    else:
        _draw(result, args)
    if result.load.stopped:
        return Exit.INTERRUPTED
    return Exit.FAILED if result.load.tally.failed or result.load.missed else Exit.OK


def _question(args: argparse.Namespace) -> Callable[[AsyncClient], Awaitable[Reply]]:
    """Return what makes one call."""
    options = {"timeout": args.timeout, "peer": args.peer}
    if args.size is not None:
        if args.arguments:
            raise UsageError("--size makes the body; leave the arguments out")
        body = bytes(args.size)
        return lambda client: client.request(args.method, body, **options)
    if args.raw:
        frames = raw_frames(args.arguments)
        return lambda client: client.request(args.method, frames, **options)
    given, named = typed_arguments(args.arguments)
    return lambda client: client.invoke(args.method, given, named, **options)


def _plan(args: argparse.Namespace) -> Plan:
    if args.duration == 0:
        raise UsageError("--duration is 0; give seconds, more than 0")
    endless = math.inf if args.count is not None else _DURATION_S
    return Plan(
        concurrency=args.concurrency or (_OPEN_MAX if args.rate else 1),
        rate=args.rate,
        duration_s=endless if args.duration is None else args.duration,
        count=args.count,
    )


async def _bench(ask: Callable[[AsyncClient], Awaitable[Reply]], plan: Plan, args: argparse.Namespace) -> _Result:
    async with AsyncClient(args.server, not args.server, args.realm, interfaces_of(args)) as client:
        await ask(client)
        await asyncio.sleep(_SETTLE_NAMED_S if args.server else _SETTLE_S)
        load = Load(lambda: ask(client), plan)
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, load.stop)
        names: dict[str, str] = {}
        began_at, cpu_s = time.monotonic(), time.process_time()
        running = asyncio.create_task(load.run())
        with progress(1.0) as show:
            while not running.done():
                names |= {view.peer_id: view.name for view in client.servers()}
                await asyncio.wait([running], timeout=_REFRESH_S)
                seconds = time.monotonic() - began_at
                tally = load.tally
                show(load.done(), f"{tally.calls} calls, {tally.calls / seconds:.0f}/s, {tally.failed} failed")
        cpu = (time.process_time() - cpu_s) / (time.monotonic() - began_at)
        running.result()
        return _Result(load, names, client.counters(), cpu)


def _as_json(result: _Result, args: argparse.Namespace) -> dict[str, object]:
    load, tally, latencies = result.load, result.load.tally, result.load.tally.latencies
    plan = dataclasses.asdict(load.plan)
    return {
        "method": args.method,
        "plan": plan | {"duration_s": None if math.isinf(load.plan.duration_s) else load.plan.duration_s},
        "stopped": load.stopped,
        "calls": tally.calls,
        "failed": tally.failed,
        "missed": load.missed,
        "elapsed_s": tally.elapsed_s,
        "rate_per_s": tally.rate_per_s,
        "latency_s": {
            "least": latencies.least_s if latencies.count else None,
            "mean": latencies.mean_s(),
            **{f"p{share * 100:g}": latencies.percentile_s(share) for share in _SHARES},
            "most": latencies.percentile_s(1.0),
        },
        "late_s": {f"p{share * 100:g}": load.lateness.percentile_s(share) for share in _SHARES},
        "errors": dict(tally.errors),
        "first_error": tally.first_error,
        "histogram": [dataclasses.asdict(bar) for bar in latencies.histogram(_BARS_MAX)],
        "servers": [
            {"name": result.names.get(peer_id, ""), "peer_id": peer_id, "answers": answers}
            for peer_id, answers in load.servers.most_common()
        ],
        "moved": result.counters.moved,
        "hedged": result.counters.hedged,
        "client_cpu": result.cpu,
    }


def _draw(result: _Result, args: argparse.Namespace) -> None:
    from mesh.cli.tables import draw

    load, tally = result.load, result.load.tally
    ended = f"{tally.calls} calls in {tally.elapsed_s:.1f} s, {tally.rate_per_s:.1f}/s, {tally.failed} failed"
    print(f"{printable(args.method)}: {ended}\n{_asked(load)}")
    latencies = tally.latencies
    if latencies.count:
        spread = {f"P{share * 100:g}": milliseconds(latencies.percentile_s(share)) for share in _SHARES}
        least, mean = milliseconds(latencies.least_s), milliseconds(latencies.mean_s())
        print()
        draw([{"LEAST": least, "MEAN": mean, **spread, "MOST": milliseconds(latencies.most_s)}], words=())
        print()
        draw(_bars(latencies), words=[""])
        print()
        draw(_shares(result), words=["SERVER"])
    if tally.failed:
        print()
        draw([{"ERROR": kind, "CALLS": str(calls)} for kind, calls in tally.errors.most_common()], words=["ERROR"])
        complain(f"{tally.failed} of {tally.calls} calls failed; the first: {tally.first_error}")
    if load.missed:
        why = (
            f"{load.plan.concurrency} were open, and more may not be; the servers do not keep this pace"
            if load.full
            else "this client gets too little processor time to keep this pace; run several"
        )
        complain(f"{load.missed} calls that were due were never made: {why}")
    if result.counters.moved:
        complain(f"note: {result.counters.moved} times a call was taken from a server and given to another")
    if result.counters.hedged:
        complain(f"note: {result.counters.hedged} times a second server was asked as well, for the first was late")
    if result.cpu > _BUSY:
        complain(f"note: this client used {result.cpu:.0%} of a processor, and may be the limit itself; run several")


def _asked(load: Load) -> str:
    """Say how the calls were made."""
    plan = load.plan
    if plan.rate:
        late = ", ".join(f"P{share * 100:g} {milliseconds(load.lateness.percentile_s(share))}" for share in (0.5, 0.99))
        return f"{plan.rate:g} due each second, at most {plan.concurrency} open; they began late by {late}"
    return f"{plan.concurrency} caller{'' if plan.concurrency == 1 else 's'}, one call after the other"


def _bars(latencies: Latencies) -> list[dict[str, str]]:
    bars = latencies.histogram(_BARS_MAX)
    most = max(bar.count for bar in bars)
    width = max(10, min(_BAR_WIDTH, shutil.get_terminal_size().columns - _BAR_WIDTH))
    return [
        {
            "FROM": milliseconds(bar.from_s),
            "TO": milliseconds(bar.to_s),
            "CALLS": str(bar.count),
            "SHARE": f"{bar.count / latencies.count:.1%}",
            "": ("#" if ascii_only() else "█") * math.ceil(width * bar.count / most),
        }
        for bar in bars
    ]


def _shares(result: _Result) -> list[dict[str, str]]:
    """Return how many calls each server answered; the least busy of many servers together."""
    answered = result.load.servers.most_common()
    shown = [(printable(result.names.get(peer_id, peer_id)), count) for peer_id, count in answered[:_SERVERS_MAX]]
    if others := answered[_SERVERS_MAX:]:
        shown.append((f"{len(others)} others", sum(count for _, count in others)))
    whole = result.load.tally.latencies.count
    return [{"SERVER": name, "ANSWERS": str(count), "SHARE": f"{count / whole:.1%}"} for name, count in shown]
