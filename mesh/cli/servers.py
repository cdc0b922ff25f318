"""The servers that a command is about, and asking all of them at the same time."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mesh import Client, ServerView
from mesh.cli.options import non_negative
from mesh.cli.sightings import POLL_S, settled
from mesh.cli.text import complain

__all__ = ["add_answer_option", "ask_each", "chosen_servers", "is_foreign"]

T = TypeVar("T")

_AT_ONCE = 16
_FOREIGN = ("flp", "rep")


def add_answer_option(parser: argparse.ArgumentParser) -> None:
    """Add how long to wait for the answer of a server."""
    parser.add_argument(
        "--timeout", type=non_negative, default=2.0, metavar="SECONDS", help="for each answer (default: %(default)g)"
    )


def is_foreign(server: ServerView) -> bool:
    """Tell whether it speaks a protocol without methods of ours, such as 10/FLP."""
    return server.proto in _FOREIGN


def chosen_servers(client: Client, names: Sequence[str], timeout_s: float, what: str) -> list[ServerView]:
    """Return the servers of this mesh that have one of these names or ids; without names, all that are seen.

    Args:
        client: Knows them.
        names: What the user wrote.
        timeout_s: Longest time to wait for the first server, or for the one that is missing, in seconds.
        what: What cannot be done with a foreign server, `pinged`; they are named and left out. Empty: they are not.

    Raises:
        NoServer: There is no such server; says who is there.
    """
    found = _named(client, names, timeout_s) if names else _seen(client)
    if what:
        for server in filter(is_foreign, found):
            remedy = "call one of its methods with --raw"
            complain(f"note: {server.name} speaks {server.proto} and cannot be {what}; {remedy}")
        found = [server for server in found if not is_foreign(server)]
    return found or ([] if names else client.wait_for(1, timeout=max(timeout_s, POLL_S)))


def ask_each(servers: Sequence[ServerView], ask: Callable[[ServerView], T]) -> list[T]:
    """Return what `ask` makes of each server, in their order; several are asked at the same time."""
    if not servers:
        return []
    with ThreadPoolExecutor(min(_AT_ONCE, len(servers))) as pool:
        return list(pool.map(ask, servers))


def _seen(client: Client) -> list[ServerView]:
    return [server for server in settled(client, None) if server.state != "ignored"]


def _named(client: Client, names: Sequence[str], timeout_s: float) -> list[ServerView]:
    give_up_at = time.monotonic() + timeout_s
    while True:
        servers = [server for server in client.servers() if server.state != "ignored"]
        missing = [name for name in names if not any(name in (server.name, server.peer_id) for server in servers)]
        if not missing or time.monotonic() >= give_up_at:
            break
        time.sleep(POLL_S)
    if missing:
        client.request("mesh.ping", peer=missing[0], timeout=POLL_S)  # raises what says who is there
    return [server for server in servers if server.name in names or server.peer_id in names]
