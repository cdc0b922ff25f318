"""`mesh stats`: how servers do, in their own figures, once or again and again with rates."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mesh import Client, ServerView
from mesh.cli.exits import Exit, UsageError
from mesh.cli.options import add_client_options, non_negative, open_client, positive
from mesh.cli.servers import Answer, add_answer_option, add_server_arguments, ask_all, chosen_servers, known_servers
from mesh.cli.text import compact, complain, milliseconds, printable
from mesh.cli.told import Told
from mesh.signals import StopSignals
from mesh.top.figures import age_text, octets_text, rate_text

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["add_arguments", "run"]

_WORDS = ("SERVER", "STATE", "METHOD", "LAST ERROR")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Tell how every server, or those named, have done since their start. Of each server: calls, errors, calls "
        "that are open of those it admits, calls refused for want of room (SHED), dropped because their caller had "
        "given up (EXPIRED), answered from memory because of their key (DUP), processor time and memory of its "
        "process. Of each method: calls, errors and the last one, and the time within which 50, 95 and 99 of 100 "
        "handlers ended."
    )
    add_server_arguments(parser)
    parser.add_argument(
        "-d", "--delay", type=non_negative, metavar="SECONDS", help="again after so long, until Ctrl-C, with rates"
    )
    parser.add_argument("-n", "--count", type=positive, metavar="N", help="with --delay: only N times")
    add_answer_option(parser)
    add_client_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each server")


def run(args: argparse.Namespace) -> int:
    """Ask and tell; return the exit code, 1 if an answer is missing."""
    if args.count and args.delay is None:
        raise UsageError("--count is for looking again and again; say how often with --delay")
    with open_client(args) as client:
        servers = chosen_servers(client, args)
        if args.delay is None:
            return _tell(ask_all(client, servers, "mesh.stats", args.timeout), {}, args)
        with StopSignals() as signals:
            return _repeat(client, servers, args, signals)


def _repeat(client: Client, servers: Sequence[ServerView], args: argparse.Namespace, signals: StopSignals) -> int:
    before: dict[str, Told] = {}
    number = 0
    while True:
        began = time.monotonic()
        answers = ask_all(client, servers, "mesh.stats", args.timeout)
        if not args.json:
            print(time.strftime("%H:%M:%S"))
        code = _tell(answers, before, args)
        sys.stdout.flush()
        before = {answer.server.peer_id: answer.told for answer in answers}
        number += 1
        if number == args.count or signals.wait(max(0.0, began + args.delay - time.monotonic())):
            return code
        servers = known_servers(client, args.names)  # some may have come, left, or restarted
        if not args.json:
            print()


def _tell(answers: Sequence[Answer], before: Mapping[str, Told], args: argparse.Namespace) -> int:
    """Print the answers, with rates since those before where there were any."""
    rates = {answer.server.peer_id: _rates(before.get(answer.server.peer_id), answer.told) for answer in answers}
    if args.json:
        for answer in answers:
            server = answer.server
            who = {"name": server.name, "peer_id": server.peer_id, "state": server.state, "address": server.address}
            told = {
                "stats": answer.told.raw or None,
                "calls_per_s": rates[server.peer_id],
                "error": answer.problem or None,
            }
            print(compact({**who, **told}))
    else:
        _draw([answer for answer in answers if not answer.error], rates)
        for answer in answers:
            if answer.problem:
                complain(answer.problem)
    return Exit.FAILED if any(answer.error for answer in answers) else Exit.OK


def _rates(before: Told | None, now: Told) -> dict[str, float]:
    """Return the calls a second of each method between two answers of one process."""
    if before is None:
        return {}
    elapsed_s = (now.number("uptime_s") or 0.0) - (before.number("uptime_s") or 0.0)
    if elapsed_s <= 0:
        return {}
    counted = {method.text("subject"): method.count("num_requests") for method in before.parts("endpoints")}
    return {
        name: max(0, method.count("num_requests") - counted[name]) / elapsed_s
        for method in now.parts("endpoints")
        if (name := method.text("subject")) in counted
    }


def _draw(answers: Sequence[Answer], rates: Mapping[str, Mapping[str, float]]) -> None:
    from mesh.cli.tables import draw, state_text

    watched = any(rates.values())
    servers: list[dict[str, str | Text]] = [
        {
            "SERVER": printable(answer.server.name),
            "STATE": state_text(answer.server.state),
            **_of_server(answer.told, rates[answer.server.peer_id], watched),
        }
        for answer in answers
    ]
    methods = [
        (printable(answer.server.name), method, rates[answer.server.peer_id])
        for answer in answers
        for method in answer.told.parts("endpoints")
    ]
    if servers:
        draw(servers, words=_WORDS)
    if methods:
        print()
        draw([{"SERVER": name, **_of_method(method, known, watched)} for name, method, known in methods], words=_WORDS)
    failed = [(name, method) for name, method, _ in methods if method.text("last_error")]
    if failed:
        print()
        draw(
            [
                {"SERVER": name, "METHOD": method.text("subject"), "LAST ERROR": method.text("last_error")}
                for name, method in failed
            ],
            words=_WORDS,
        )


def _of_server(told: Told, rates: Mapping[str, float], watched: bool) -> dict[str, str]:
    if not told.raw:  # it is foreign, and was not asked
        return {}
    methods = told.parts("endpoints")
    memory = told.number("memory")
    return {
        "UP": age_text(told.number("uptime_s")),
        "CALLS": str(sum(method.count("num_requests") for method in methods)),
        **({"CALLS/S": rate_text(sum(rates.values()) if rates else None)} if watched else {}),
        "ERRORS": str(sum(method.count("num_errors") for method in methods)),
        "OPEN": f"{told.count('in_flight')}/{told.count('capacity')}",
        "SHED": str(told.count("num_shed")),
        "EXPIRED": str(told.count("num_expired")),
        "DUP": str(told.count("num_duplicates")),
        "CPU": age_text(told.number("cpu_s")),
        "MEM": octets_text(None if memory is None else int(memory)),
    }


def _of_method(method: Told, rates: Mapping[str, float], watched: bool) -> dict[str, str]:
    name, calls = method.text("subject"), method.count("num_requests")
    spread = {f"P{share}": method.number(f"p{share}_ns") if calls else None for share in (50, 95, 99)}
    return {
        "METHOD": name,
        "CALLS": str(calls),
        **({"CALLS/S": rate_text(rates.get(name))} if watched else {}),
        "ERRORS": str(method.count("num_errors")),
        **{title: milliseconds(None if value is None else value / 1e9) for title, value in spread.items()},
    }
