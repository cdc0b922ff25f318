"""`mesh info`: what servers are and offer, in their own words."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Sequence

from mesh.cli.exits import Exit
from mesh.cli.options import add_client_options, open_client
from mesh.cli.servers import Answer, add_answer_option, add_server_arguments, ask_all, chosen_servers, is_foreign
from mesh.cli.text import compact, complain, milliseconds, printable

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Tell what every server, or those named, are and offer: services and methods, process and host, addresses, "
        "realm. Of servers that know no methods of the mesh it tells what is known without asking."
    )
    add_server_arguments(parser)
    add_answer_option(parser)
    add_client_options(parser)
    parser.add_argument("--json", action="store_true", help="one JSON object a line for each server")


def run(args: argparse.Namespace) -> int:
    """Ask and tell; return the exit code, 1 if an answer is missing."""
    with open_client(args) as client:
        servers = chosen_servers(client, args)
        answers = ask_all(client, servers, "mesh.info", args.timeout)
    if args.json:
        for answer in answers:
            told = {"info": answer.told.raw or None, "error": answer.problem or None}
            print(compact({**dataclasses.asdict(answer.server), **told}))
    else:
        _draw(answers)
    return Exit.FAILED if any(answer.error for answer in answers) else Exit.OK


def _draw(answers: Sequence[Answer]) -> None:
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    from mesh.cli.tables import new_console

    console = new_console()
    for number, answer in enumerate(answers):
        if number:
            console.print()
        console.print(Text(printable(answer.server.name), style="bold"))
        grid = Table.grid(padding=(0, 2))
        grid.add_column()
        grid.add_column(overflow="fold")
        for key, value in _facts(answer):
            grid.add_row(Text(key, style="dim"), Text(value))
        console.print(Padding(grid, (0, 0, 0, 2), expand=False))
    for answer in answers:
        if answer.problem:
            complain(answer.problem)


def _facts(answer: Answer) -> Iterator[tuple[str, str]]:
    """Yield what is known of a server, with its title; what is empty is left out."""
    server, told = answer.server, answer.told
    rtt = f", answers in {milliseconds(server.rtt_s)}" if server.rtt_s is not None else ""
    note = f"; {server.note}" if server.note else ""
    yield "state", printable(f"{server.state}{rtt}{note}")
    others = [address for address in server.addresses if address != server.address]
    yield "address", printable(", ".join([server.address or "none", *others]))
    yield "learnt", printable(", ".join(server.sources)) or "not advertised; it answers"
    yield "id", printable(server.peer_id)
    if told.raw:
        yield "process", f"{told.count('pid')} on host {told.text('host')}"
        yield "realm", told.text("realm")
    version = f", version {printable(server.version)}" if server.version else ""
    yield "speaks", f"{printable(server.proto)}{version}{'; it cannot tell more' if is_foreign(server) else ''}"
    metadata = told.part("metadata")
    if metadata.raw:
        yield (
            "metadata",
            ", ".join(f"{printable(str(key))}={printable(str(value))}" for key, value in metadata.raw.items()),
        )
    if told.text("default_method"):
        yield "default", f"{told.text('default_method')} for callers that name no method"
    yield from _services(answer)


def _services(answer: Answer) -> Iterator[tuple[str, str]]:
    services = answer.told.parts("services")
    if not services:
        yield "services", printable(", ".join(answer.server.services)) or "none"
    for service in services:
        name, description = service.text("name"), service.text("description")
        yield "service", f"{name} {service.text('version')}{f': {description}' if description else ''}"
        methods = [
            method.text("name") for method in answer.told.parts("endpoints") if method.text("queue_group") == name
        ]
        yield "methods", ", ".join(methods)
