"""`mesh describe`: signatures and documentation of live methods."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mesh import CallError, Client, RemoteError, ServerView, Status
from mesh.cli.completers import complete_names
from mesh.cli.exits import Exit
from mesh.cli.options import add_client_options, open_client
from mesh.cli.servers import Answer, add_answer_option, ask_all, is_foreign, seen_servers
from mesh.cli.text import compact, complain, printable
from mesh.cli.told import Told

__all__ = ["add_arguments", "run"]


@dataclass(frozen=True, slots=True)
class _Method:
    """One method as some servers have it; others may have it differently."""

    service: str
    version: str
    about: str
    """What its service is."""
    told: Told
    """The entry of `mesh.info`."""
    servers: list[ServerView] = field(default_factory=list)

    @property
    def name(self) -> str:
        return self.told.text("subject")

    @property
    def signature(self) -> str:
        return self.told.part("metadata").text("signature") or self.name

    def flag(self, name: str) -> bool:
        return self.told.part("metadata").text(name) == "true"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Print signatures and documentation of the methods that live servers offer. Where servers offer different "
        "versions, each is printed, with the servers that have it."
    )
    complete_names(
        parser.add_argument(
            "names",
            nargs="*",
            metavar="NAME",
            default=[],
            help="a service, or the full name of a method, SERVICE.METHOD (default: everything)",
        )
    )
    add_answer_option(parser)
    add_client_options(parser)
    parser.add_argument(
        "--json", action="store_true", help="one JSON object a line for each method, with JSON Schema of its arguments"
    )


def run(args: argparse.Namespace) -> int:
    """Ask and print; return the exit code. Raises NoServer and RemoteError for a name that nobody has."""
    with open_client(args) as client:
        services = {name.partition(".")[0] for name in args.names}
        servers = seen_servers(client, args)
        for service in sorted(services - {name for server in servers for name in server.services}):
            client.wait_for(1, service=service, timeout=max(args.timeout, 0.001))  # raises what says who is there
        asked = [server for server in servers if services.intersection(server.services) or not services]
        answers = ask_all(
            client, asked or client.wait_for(1, timeout=max(args.timeout, 0.001)), "mesh.info", args.timeout
        )
        methods = list(_wanted(_methods(answers), args.names))
        if args.json:
            for method in methods:
                print(compact(_as_json(method, _schema(client, method, args.timeout))))
    if not args.json:
        _draw(methods)
    for answer in answers:
        if answer.problem:
            complain(answer.problem)
        elif is_foreign(answer.server):
            complain(f"note: {answer.server.name} speaks {answer.server.proto} and cannot tell its methods")
    return Exit.FAILED if any(answer.error for answer in answers) else Exit.OK


def _methods(answers: Sequence[Answer]) -> list[_Method]:
    """Return the methods of all servers in order; those that are the same at several servers once."""
    found: dict[tuple[str, str, str], _Method] = {}
    for answer in answers:
        services = {service.text("name"): service for service in answer.told.parts("services")}
        for told in filter(lambda told: told.text("subject"), answer.told.parts("endpoints")):
            name = told.text("queue_group")
            service = services.get(name, Told(None))
            method = _Method(name, service.text("version"), service.text("description"), told)
            method = found.setdefault((name, method.version, repr(told.raw)), method)
            method.servers.append(answer.server)
    return sorted(found.values(), key=lambda method: (method.service, method.version))


def _wanted(methods: Sequence[_Method], names: Sequence[str]) -> Iterator[_Method]:
    known = sorted({method.name for method in methods})
    for name in names:
        service, _, rest = name.partition(".")
        if rest and name not in known and any(method.service == service for method in methods):
            near = difflib.get_close_matches(name, known, n=3) or [
                one for one in known if one.startswith(f"{service}.")
            ]
            text = f"unknown method {name}; nearest: {', '.join(near)}"
            raise RemoteError(text, code=Status.UNIMPLEMENTED)
    for method in methods:
        if not names or method.service in names or method.name in names:
            yield method


def _schema(client: Client, method: _Method, timeout_s: float) -> object:
    """Return JSON Schema of a method, None where its servers do not tell it."""
    try:
        told = Told(client.call("mesh.describe", method.name, peer=method.servers[0].peer_id, timeout=timeout_s))
    except CallError as error:
        complain(f"note: no schema of {method.name}: {error.message}")
        return None
    return told.raw.get("schema")


def _as_json(method: _Method, schema: object) -> dict[str, object]:
    return {
        "method": method.name,
        "service": method.service,
        "version": method.version,
        "signature": method.signature,
        "description": "\n".join(method.told.part("metadata").lines("description")),
        "raw": method.flag("raw"),
        "idempotent": method.flag("idempotent"),
        "read_only": method.flag("read_only"),
        "lane": method.told.part("metadata").text("lane"),
        "servers": [{"name": server.name, "peer_id": server.peer_id} for server in method.servers],
        "schema": schema,
    }


def _draw(methods: Sequence[_Method]) -> None:
    from rich.padding import Padding
    from rich.text import Text

    from mesh.cli.tables import new_console

    console = new_console()
    before = None
    for method in methods:
        head = (method.service, method.version)
        if head != before:
            if before is not None:
                console.print()
            title = Text.assemble(
                (f"{method.service} {method.version}", "bold"), f"  {method.about}" if method.about else ""
            )
            console.print(title)
        before = head
        console.print()
        console.print(Padding(Text(method.signature, style="cyan"), (0, 0, 0, 2), expand=False))
        for line in _remarks(method, methods):
            console.print(Padding(Text(line or " "), (0, 0, 0, 6), expand=False))


def _remarks(method: _Method, methods: Sequence[_Method]) -> Iterator[str]:
    yield from method.told.part("metadata").lines("description")
    if method.flag("raw"):
        yield "Takes frames as they are: mesh call --raw."
    if method.flag("read_only"):
        yield "Changes nothing."
    if not method.flag("idempotent"):
        yield "Must not run twice."
    if sum(other.name == method.name for other in methods) > 1:
        yield f"At {', '.join(printable(server.name) for server in method.servers)}; others have it differently."
