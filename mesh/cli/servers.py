"""The servers that a command is about, and asking all of them at the same time."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from mesh import CallError, Client, NoServer, ServerView
from mesh.cli.completers import complete_servers
from mesh.cli.options import non_negative
from mesh.cli.sightings import POLL_S, settled
from mesh.cli.text import complain
from mesh.cli.told import Told

__all__ = [
    "Answer",
    "add_answer_option",
    "add_server_arguments",
    "ask_all",
    "ask_each",
    "chosen_servers",
    "is_foreign",
    "known_servers",
    "seen_servers",
]

T = TypeVar("T")

_AT_ONCE = 16
_FOREIGN = ("flp", "rep")


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the names of the servers that are meant."""
    complete_servers(
        parser.add_argument(
            "names", nargs="*", metavar="SERVER", default=[], help="name or id of a server (default: all that are seen)"
        )
    )


def add_answer_option(parser: argparse.ArgumentParser) -> None:
    """Add how long to wait for the answer of a server."""
    parser.add_argument(
        "--timeout", type=non_negative, default=2.0, metavar="SECONDS", help="for each answer (default: %(default)g)"
    )


def is_foreign(server: ServerView) -> bool:
    """Tell whether it speaks a protocol without methods of ours, such as 10/FLP."""
    return server.proto in _FOREIGN


def seen_servers(client: Client, args: argparse.Namespace) -> list[ServerView]:
    """Return the servers of this mesh that are there, when it has become quiet."""
    return [server for server in settled(client, None, discovers=not args.server) if server.state != "ignored"]


def _now(client: Client, before: ServerView) -> ServerView:
    """Return a server as it is seen now: one that was found a moment ago has meanwhile said who it is."""
    for server in client.servers():
        if server.peer_id == before.peer_id or (server.address and server.address == before.address):
            return server
    return before


def known_servers(client: Client, names: Sequence[str]) -> list[ServerView]:
    """Return the servers of this mesh that are known now; only those whose name or id is given, if any is."""
    servers = [server for server in client.servers() if server.state != "ignored"]
    wanted = [server for server in servers if not names or server.name in names or server.peer_id in names]
    return sorted(wanted, key=lambda server: (server.name, server.peer_id))


def chosen_servers(
    client: Client, args: argparse.Namespace, what: str = "", timeout_s: float | None = None
) -> list[ServerView]:
    """Return the servers of this mesh whose name or id is one of `args.names`; without names, all that are seen.

    Args:
        client: Knows them.
        args: What the user wrote.
        what: What cannot be done with a foreign server, `pinged`; they are named and left out. Empty: they are not.
        timeout_s: Longest time to wait for the servers. None: `args.timeout`.

    Raises:
        NoServer: There is no such server; says who is there.
    """
    timeout_s = args.timeout if timeout_s is None else timeout_s
    found = _named(client, args.names, timeout_s) if args.names else seen_servers(client, args)
    if what:
        for server in filter(is_foreign, found):
            remedy = "call one of its methods with --raw"
            complain(f"note: {server.name} speaks {server.proto} and cannot be {what}; {remedy}")
        found = [server for server in found if not is_foreign(server)]
    return found or ([] if args.names else client.wait_for(1, timeout=max(timeout_s, POLL_S)))


def ask_each(servers: Sequence[ServerView], ask: Callable[[ServerView], T]) -> list[T]:
    """Return what `ask` makes of each server, in their order; several are asked at the same time."""
    if not servers:
        return []
    with ThreadPoolExecutor(min(_AT_ONCE, len(servers))) as pool:
        return list(pool.map(ask, servers))


@dataclass(frozen=True, slots=True)
class Answer:
    """What one server said when it was asked."""

    server: ServerView
    told: Told
    """Empty if it was not asked, for it is foreign, or did not answer."""
    error: CallError | None = None
    """Why it did not answer."""

    @property
    def problem(self) -> str:
        """Why it did not answer, in one sentence; empty if it did."""
        return "" if self.error is None else f"{self.server.name} ({self.server.address}): {self.error.message}"


def ask_all(client: Client, servers: Sequence[ServerView], method: str, timeout_s: float) -> list[Answer]:
    """Call a reserved method of each server but the foreign ones."""

    def ask(server: ServerView) -> Answer:
        if is_foreign(server):
            return Answer(server, Told(None))
        try:
            told = client.call(method, peer=server.peer_id, timeout=timeout_s)
        except CallError as error:
            return Answer(_now(client, server), Told(None), error)
        return Answer(_now(client, server), Told(told))

    return ask_each(servers, ask)


def _named(client: Client, names: Sequence[str], timeout_s: float) -> list[ServerView]:
    give_up_at = time.monotonic() + timeout_s
    while True:
        found = known_servers(client, names)
        missing = [name for name in names if not any(name in (server.name, server.peer_id) for server in found)]
        if not missing or time.monotonic() >= give_up_at:
            break
        time.sleep(POLL_S)
    if missing:
        _say_who_is_there(client, missing[0])
    return found


def _say_who_is_there(client: Client, missing: str) -> None:
    """Raise NoServer with what a call to somebody who is not there says of those who are."""
    try:
        client.request("mesh.ping", peer=missing, timeout=POLL_S)
    except NoServer as error:
        _, _, seen = error.message.partition(" s. ")  # without the method, and the moment that it was waited for
        raise NoServer(seen or error.message) from None
