"""`mesh ls`: list the servers that are there, once or as they come and go."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence

from mesh import Client, ServerView
from mesh.cli.completers import complete_services
from mesh.cli.exits import Exit
from mesh.cli.options import add_client_options, non_negative, open_client
from mesh.cli.sightings import changes, settled
from mesh.cli.text import compact, complain, milliseconds, printable
from mesh.signals import StopSignals

__all__ = ["add_arguments", "run"]

_WATCH_S = 0.05
_EVENTS = {"+": "added", "=": "changed", "-": "removed"}
_TITLES = ("NAME", "STATE", "SERVICES", "ADDRESS", "RTT", "LEARNT", "VERSION", "NOTE")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = "List the servers that are there, with what they offer and how they are."
    complete_services(parser.add_argument("--service", help="only servers that offer this service"))
    parser.add_argument("--all", action="store_true", help="also servers of other realms that were discovered")
    parser.add_argument(
        "--wait",
        type=non_negative,
        metavar="SECONDS",
        help="how long to listen (default: until nothing new came for half a second, at most 3)",
    )
    parser.add_argument(
        "--watch", action="store_true", help="go on until Ctrl-C: + for a server that came, = that changed, - that left"
    )
    add_client_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """List them; return the exit code."""
    if args.watch:
        with StopSignals() as signals, open_client(args) as client:
            _watch(client, signals, args)
        return Exit.OK
    with open_client(args) as client:
        servers = _wanted(settled(client, args.wait, discovers=not args.server), args)
    if args.json:
        for server in servers:
            print(compact(dataclasses.asdict(server)))
    elif servers:
        _draw(servers)
    else:
        which = f"no server that offers {args.service!r}" if args.service else "no server"
        complain(f"{which} was seen; start one with 'mesh serve', or listen longer with --wait")
    return Exit.OK


def _watch(client: Client, signals: StopSignals, args: argparse.Namespace) -> None:
    before: list[ServerView] = []
    while True:
        after = _wanted(client.servers(), args)
        for sign, server in changes(before, after):
            if args.json:
                print(compact({"event": _EVENTS[sign], **dataclasses.asdict(server)}), flush=True)
            else:
                print(sign, " ".join(filter(None, _cells(server))), flush=True)
        before = after
        if signals.wait(_WATCH_S):
            return


def _wanted(servers: Sequence[ServerView], args: argparse.Namespace) -> list[ServerView]:
    return [
        server
        for server in servers
        if (args.service is None or args.service in server.services)
        and (args.all or server.state != "ignored" or server.sources != ("mdns",))
    ]


def _draw(servers: Sequence[ServerView]) -> None:
    from mesh.cli.tables import draw, state_text

    titles = _TITLES if any(server.note for server in servers) else _TITLES[:-1]
    rows = [dict(zip(titles, _cells(server), strict=False)) | {"STATE": state_text(server.state)} for server in servers]
    draw(rows, words=set(titles) - {"RTT"})


def _cells(server: ServerView) -> list[str]:
    rtt, learnt = milliseconds(server.rtt_s), "+".join(server.sources)
    told = (
        server.name,
        server.state,
        ",".join(server.services),
        server.address,
        rtt,
        learnt,
        server.version,
        server.note,
    )
    return [printable(cell) for cell in told]
