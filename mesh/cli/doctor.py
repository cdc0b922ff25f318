"""`mesh doctor`: say why a server is not seen."""

from __future__ import annotations

import argparse
from collections.abc import Iterable

from mesh.cli.completers import complete_servers
from mesh.cli.exits import Exit, UsageError
from mesh.cli.options import add_client_options, interfaces_of, non_negative
from mesh.cli.text import compact, printable
from mesh.doctor.findings import Diagnosis

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Say why a server is not seen or not reached: what multicast does on each interface, who advertises which "
        "addresses, which of them answer a PING, and what to do about the others. Nothing is changed, and none of your "
        "methods is run. As root it also looks at the rules of the firewall. The exit code is 0 if all that is asked "
        "about answers, 1 if only a part does or there is a problem, 3 if nobody takes calls, and 8 if that is because "
        "discovery fails on this host."
    )
    complete_servers(
        parser.add_argument(
            "target",
            nargs="?",
            default="",
            metavar="SERVER|SERVICE",
            help="the server (name or id) or service that is missed",
        )
    )
    parser.add_argument(
        "--timeout",
        type=non_negative,
        default=2.0,
        metavar="SECONDS",
        help="how long to listen, and how long to wait for each answer (default: %(default)g)",
    )
    add_client_options(parser)
    parser.add_argument(
        "--json",
        action="store_true",
        help="one JSON object: usable, findings, interfaces, servers with their addresses",
    )


def run(args: argparse.Namespace) -> int:
    """Examine; return the exit code."""
    if not args.timeout:
        raise UsageError("--timeout 0 leaves no time to listen; give seconds, such as 2")
    from rich.console import Console

    from mesh.doctor.examine import Order, examine
    from mesh.doctor.findings import diagnose
    from mesh.doctor.report import as_json, report

    order = Order(args.target, args.server, args.realm, interfaces_of(args), args.timeout)
    with Console(stderr=True).status("") as status:
        observations = examine(order, lambda doing: status.update(f"{doing} …"))
    diagnosis = diagnose(observations)
    if args.json:
        print(compact(as_json(observations, diagnosis)))
    else:
        _print((line.head, line.style, line.text) for line in report(observations, diagnosis))
    return _exit_code(diagnosis)


def _print(lines: Iterable[tuple[str, str, str]]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console()
    for head, style, text in lines:
        # No wrapping by us: a terminal wraps, and commands can be copied from it whole.
        console.print(Text.assemble((printable(head), style), printable(text)), soft_wrap=True)


def _exit_code(diagnosis: Diagnosis) -> Exit:
    if not diagnosis.usable:
        return Exit.NETWORK if diagnosis.network_fails else Exit.NO_SERVER
    return Exit.OK if diagnosis.healthy else Exit.FAILED
