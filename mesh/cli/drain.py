"""`mesh drain`: have servers finish the calls that they have and take no more, and take that back."""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

from mesh import CallError, Client, ServerView
from mesh.cli.completers import complete_servers
from mesh.cli.exits import Exit, exit_code
from mesh.cli.options import add_client_options, non_negative, open_client
from mesh.cli.servers import ask_each, chosen_servers
from mesh.cli.text import compact, complain, printable, say
from mesh.cli.told import Told

__all__ = ["add_arguments", "run"]

_ANSWER_S = 2.0
_WAIT_S = 60.0
_POLL_S = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Take servers out of service: each finishes the calls that it has and takes no more, and its clients call "
        "the others. It does not end: it stays on the mesh, draining, until --undo or until it is stopped where it "
        "runs (by a signal; a worker of mesh serve --workers also by a reload, and its successor serves)."
    )
    complete_servers(parser.add_argument("names", nargs="+", metavar="SERVER", help="name or id of a server"))
    parser.add_argument("--undo", action="store_true", help="have them take calls again")
    parser.add_argument("--wait", action="store_true", help="return when they have answered the calls that they had")
    parser.add_argument(
        "--timeout",
        type=non_negative,
        metavar="SECONDS",
        help=f"for everything (default: {_ANSWER_S:g}; with --wait {_WAIT_S:g})",
    )
    add_client_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object for each server")


def run(args: argparse.Namespace) -> int:
    """Drain, or undo it; return the exit code: that of the first server that did not do it."""
    wait = args.wait and not args.undo
    timeout_s = args.timeout if args.timeout is not None else _WAIT_S if wait else _ANSWER_S
    give_up_at = time.monotonic() + timeout_s
    with open_client(args) as client:
        servers = chosen_servers(client, args, "drained", min(timeout_s, _ANSWER_S))
        told = ask_each(servers, lambda server: _tell(client, server, args, give_up_at))
        if not args.undo and not args.json:
            _note_unserved(client, servers)
        if wait:
            done = [server for server, code in zip(servers, told, strict=True) if not code]
            told += ask_each(done, lambda server: _wait(client, server, args, give_up_at))
    return next((code for code in told if code), Exit.OK) if servers else Exit.FAILED


def _tell(client: Client, server: ServerView, args: argparse.Namespace, give_up_at: float) -> int:
    method = "mesh.resume" if args.undo else "mesh.drain"
    try:
        answer = Told(client.call(method, peer=server.peer_id, timeout=_left(give_up_at)))
    except CallError as error:
        return _failed(server, error, args)
    if args.json and not args.wait:
        _say_json(server, answer)
    elif not args.json:
        say(f"{printable(server.name)} {'takes calls again' if args.undo else f'drains: {_calls(answer)}'}")
    return Exit.OK


def _wait(client: Client, server: ServerView, args: argparse.Namespace, give_up_at: float) -> int:
    """Return when a server has no call any more."""
    while True:
        try:
            answer = Told(client.call("mesh.stats", peer=server.peer_id, timeout=min(_ANSWER_S, _left(give_up_at))))
        except CallError as error:
            return _failed(server, error, args)
        drains, left = answer.text("state") == "DRAINING", answer.count("in_flight")
        if not drains or not left or time.monotonic() + _POLL_S >= give_up_at:
            break
        time.sleep(_POLL_S)
    if args.json:
        _say_json(server, answer)
    elif not drains:
        complain(f"{server.name} takes calls again: somebody else has undone the drain")
    elif left:
        complain(f"{server.name} still drains: {_calls(answer)}; wait on with a longer --timeout")
    else:
        say(f"{printable(server.name)} has drained")
    if not drains:
        return Exit.FAILED
    return Exit.TIMEOUT if left else Exit.OK


def _note_unserved(client: Client, drained: Sequence[ServerView]) -> None:
    """Say so if nobody is left who offers what the drained servers do."""
    ids = [server.peer_id for server in drained]
    others = [server for server in client.servers() if server.peer_id not in ids]
    for service in dict.fromkeys(service for server in drained for service in server.services):
        if not any(server.takes(service) for server in others):
            complain(f"note: nobody else offers {service!r} now; its callers wait, and fail at their deadlines")


def _failed(server: ServerView, error: CallError, args: argparse.Namespace) -> int:
    if args.json:
        who = {"name": server.name, "peer_id": server.peer_id, "address": server.address}
        say(compact({"ok": False, **who, "error": {"type": type(error).__name__, "message": error.message}}))
    else:
        complain(f"{server.name} ({server.address}): {error.message}")
    return exit_code(error)


def _say_json(server: ServerView, answer: Told) -> None:
    who = {"name": server.name, "peer_id": server.peer_id, "address": server.address}
    say(compact({"ok": True, **who, "state": answer.text("state"), "in_flight": answer.count("in_flight")}))


def _calls(answer: Told) -> str:
    left = answer.count("in_flight")
    return "no calls left" if not left else f"{left} call{'' if left == 1 else 's'} left"


def _left(give_up_at: float) -> float:
    return max(0.001, give_up_at - time.monotonic())
