"""`mesh ping`: ask servers for a sign of life, and print how long it took."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from mesh import CallError, Client, ServerView
from mesh.cli.exits import Exit
from mesh.cli.options import add_client_options, open_client, positive
from mesh.cli.servers import add_answer_option, add_server_arguments, ask_each, chosen_servers
from mesh.cli.text import compact, complain, milliseconds, printable, say

__all__ = ["add_arguments", "run"]

_METHOD = "mesh.ping"
_PAUSE_S = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Ask every server, or those named, for a sign of life; the loop that runs their methods gives it."
    )
    add_server_arguments(parser)
    parser.add_argument(
        "--count", type=positive, default=1, metavar="N", help="how often, five times a second (default: 1)"
    )
    add_answer_option(parser)
    add_client_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object for each server, with all round trips")


def run(args: argparse.Namespace) -> int:
    """Ping; return the exit code, 1 if an answer is missing."""
    with open_client(args) as client:
        servers = chosen_servers(client, args, "pinged")
        missing = ask_each(servers, lambda server: _ping(client, server, args))
    return Exit.FAILED if any(missing) else Exit.OK


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
