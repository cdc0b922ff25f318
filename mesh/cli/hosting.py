"""Serving until told to stop, which `mesh serve` and `mesh warehouse` do."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from mesh import Service
from mesh.cli.metrics import add_metrics_options, check_metrics_options, open_metrics
from mesh.cli.options import add_log_option, add_mesh_options, interfaces_of
from mesh.cli.text import compact, printable
from mesh.notify import Notifier
from mesh.signals import StopSignals

if TYPE_CHECKING:
    from mesh.logs import JsonFormatter

__all__ = ["add_server_options", "serve"]


def add_server_options(parser: argparse.ArgumentParser, name: str, as_json: str) -> None:
    """Add where a server listens, what it is called, and how it is made known.

    Args:
        parser: Gets them.
        name: What it is called if nothing is said.
        as_json: What `--json` does.
    """
    parser.add_argument("--name", help=f"for people (default: {name})")
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
    parser.add_argument("--json", action="store_true", help=as_json)
    add_log_option(parser)
    add_metrics_options(parser)


def serve(
    args: argparse.Namespace,
    services: Sequence[Service],
    *,
    name: str | None,
    logs: JsonFormatter | None,
    every_s: float | None = None,
    tell: Callable[[], None] = lambda: None,
) -> None:
    """Serve; return when it was told to stop and has done so.

    Args:
        args: Those of `add_server_options`.
        services: What is served.
        name: The server's, for people.
        logs: What `begin_logs` has returned.
        every_s: How often to call `tell`. None: never.
        tell: Says how it goes.
    """
    from mesh.cli.pulse import PulsingServer  # a supervisor, which serves nothing itself, needs none of this

    check_metrics_options(args)
    server = PulsingServer(
        *services,
        bind=args.bind,
        name=name,
        advertise=args.advertise or not args.no_advertise,
        realm=args.realm,
        interfaces=interfaces_of(args),
    )
    if logs is not None:
        logs.server = server.name
    notifier = Notifier(os.environ)
    pause_s = min((s for s in (notifier.watchdog_s, every_s) if s is not None), default=None)
    with StopSignals() as signals, open_metrics(args) as metrics, server:
        if metrics is not None:
            from mesh.metrics import ServerCollector

            metrics.registry.register(ServerCollector(server))
        names = [service.name for service in services]
        if args.json:
            said = {"name": server.name, "peer_id": server.peer_id, "services": names, "endpoints": server.endpoints}
            said["methods"] = [method for service in services for method in service.methods]
            if metrics is not None:
                said["metrics"] = metrics.url
            print(compact(said), flush=True)
        else:
            where = ", ".join(server.endpoints) + (f", metrics at {metrics.url}" if metrics is not None else "")
            print(f"serving {', '.join(names)} as {printable(server.name)} on {where}", flush=True)
        notifier.ready(f"serving {', '.join(names)}")
        while not signals.wait(pause_s):
            server.soon(notifier.watchdog)
            if every_s is not None:
                tell()
        notifier.stopping("draining")
    notifier.close()
