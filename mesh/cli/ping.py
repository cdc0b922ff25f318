"""`mesh ping`: ask servers for a sign of life, and print how long it took."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from mesh import CallError, Client, ServerView
from mesh.cli.exits import Exit
from mesh.cli.options import add_client_options, non_negative, open_client, positive
from mesh.cli.sightings import POLL_S, settled
from mesh.cli.text import compact, complain, milliseconds, printable, say

__all__ = ["add_arguments", "run"]

_METHOD = "mesh.ping"
_PAUSE_S = 0.2
_AT_ONCE = 16
_PLAIN = ("flp", "rep")
"""Servers that know no methods of ours."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Ask every server, or the one named, for a sign of life; the loop that runs its methods gives it."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="name or id of a server (default: all that are seen)")
    parser.add_argument(
        "--count", type=positive, default=1, metavar="N", help="how often, five times a second (default: 1)"
    )
    parser.add_argument(
        "--timeout", type=non_negative, default=2.0, metavar="SECONDS", help="for each answer (default: %(default)g)"
    )
    add_client_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object for each server, with all round trips")


def run(args: argparse.Namespace) -> int:
    """Ping; return the exit code, 1 if an answer is missing."""
    with open_client(args) as client:
        servers = _named(client, args.name, args.timeout) if args.name else _all(client, args.timeout)
        with ThreadPoolExecutor(min(_AT_ONCE, len(servers))) as pool:
            missing = list(pool.map(lambda server: _ping(client, server, args), servers))
    return Exit.FAILED if any(missing) else Exit.OK


def _all(client: Client, timeout_s: float) -> list[ServerView]:
    """Return the servers of this mesh that can be asked. Raises NoServer."""
    servers = [server for server in settled(client, None) if server.state != "ignored"]
    for server in servers:
        if server.proto in _PLAIN:
            complain(
                f"note: {server.name} speaks {server.proto} and cannot be pinged; call one of its methods with --raw"
            )
    return [server for server in servers if server.proto not in _PLAIN] or client.wait_for(1, timeout=timeout_s)


def _named(client: Client, name: str, timeout_s: float) -> list[ServerView]:
    """Return the servers of this mesh that have this name or id. Raises NoServer, which says who is there."""
    give_up_at = time.monotonic() + timeout_s
    while True:
        servers = [server for server in client.servers() if server.state != "ignored"]
        found = [server for server in servers if name in (server.name, server.peer_id)]
        if found or time.monotonic() >= give_up_at:
            break
        time.sleep(POLL_S)
    if not found:
        client.request(_METHOD, peer=name, timeout=POLL_S)
    return found


def _ping(client: Client, server: ServerView, args: argparse.Namespace) -> int:
    """Ping one server `args.count` times and print what came of it; return how many answers are missing."""
    round_trips_s: list[float] = []
    for number in range(args.count):
        if number:
            time.sleep(_PAUSE_S)
        try:
            reply = client.request(_METHOD, peer=server.peer_id, timeout=args.timeout)
        except CallError as error:
            if not args.json:
                complain(f"{server.name} ({server.address}) did not answer: {error.message}")
            continue
        round_trips_s.append(reply.elapsed_s)
        if not args.json:
            say(f"{printable(server.name)} ({server.address}) answered in {milliseconds(reply.elapsed_s)}")
    if args.json:
        say(compact(_summary(server, args.count, round_trips_s)))
    elif args.count > 1 and round_trips_s:
        spread = f"least {milliseconds(min(round_trips_s))}, most {milliseconds(max(round_trips_s))}"
        say(f"{printable(server.name)}: {len(round_trips_s)} of {args.count} answered, {spread}")
    return int(args.count) - len(round_trips_s)


def _summary(server: ServerView, sent: int, round_trips_s: Sequence[float]) -> dict[str, object]:
    return {
        "name": server.name,
        "peer_id": server.peer_id,
        "address": server.address,
        "sent": sent,
        "answered": len(round_trips_s),
        "round_trips_s": round_trips_s,
    }
