"""`mesh serve`: serve the services of a Python file or module until told to stop."""

from __future__ import annotations

import argparse
import os
from typing import TYPE_CHECKING

from mesh.cli.exits import Exit
from mesh.cli.options import add_log_option, add_mesh_options, begin_logs, interfaces_of
from mesh.cli.text import compact, printable
from mesh.cli.workers import add_worker_options, check_no_worker_options, supervise
from mesh.notify import Notifier
from mesh.signals import StopSignals

if TYPE_CHECKING:
    from mesh.logs import JsonFormatter

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Serve until Ctrl-C or SIGTERM; then stop advertising, finish the calls that run, and exit. "
        "A second signal exits at once."
    )
    parser.add_argument(
        "targets",
        nargs="+",
        metavar="TARGET",
        help="FILE.py (every Service at its top level), FILE.py:NAME, MODULE:NAME, or the built-in 'echo'",
    )
    parser.add_argument("--name", help="for people (default: the first service's name and a part of the server's id)")
    parser.add_argument(
        "--bind",
        default="tcp://*:0",
        metavar="ENDPOINT",
        help="tcp://HOST:PORT; port 0 is any free one (default: %(default)s)",
    )
    advertise = parser.add_mutually_exclusive_group()
    advertise.add_argument("--no-advertise", action="store_true", help="do not make it known by mDNS")
    advertise.add_argument(
        "--advertise", metavar="ENDPOINT", help="where others reach it, if that is not what it binds"
    )
    add_mesh_options(parser)
    parser.add_argument(
        "--json", action="store_true", help="say what is served as one JSON object; with --workers, all that happens"
    )
    add_log_option(parser)
    add_worker_options(parser)


def run(args: argparse.Namespace) -> int:
    """Serve; return when it was told to stop and has done so."""
    logs = begin_logs(args.log_format)
    if args.workers is not None:
        return supervise(args)
    check_no_worker_options(args)
    return _serve(args, logs)


def _serve(args: argparse.Namespace, logs: JsonFormatter | None) -> int:
    # A supervisor, which serves nothing itself, needs none of this.
    from mesh.cli.pulse import PulsingServer
    from mesh.cli.targets import services_of

    services = [service for target in args.targets for service in services_of(target)]
    server = PulsingServer(
        *services,
        bind=args.bind,
        name=args.name,
        advertise=args.advertise or not args.no_advertise,
        realm=args.realm,
        interfaces=interfaces_of(args),
    )
    if logs is not None:
        logs.server = server.name
    notifier = Notifier(os.environ)
    with StopSignals() as signals, server:
        names = [service.name for service in services]
        if args.json:
            said = {"name": server.name, "peer_id": server.peer_id, "services": names, "endpoints": server.endpoints}
            said["methods"] = [method for service in services for method in service.methods]
            print(compact(said), flush=True)
        else:
            where = ", ".join(server.endpoints)
            print(f"serving {', '.join(names)} as {printable(server.name)} on {where}", flush=True)
        notifier.ready(f"serving {', '.join(names)}")
        while not signals.wait(notifier.watchdog_s):
            server.soon(notifier.watchdog)
        notifier.stopping("draining")
    notifier.close()
    return Exit.OK
