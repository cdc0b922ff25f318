"""`mesh spool run`: listen for records, and deliver them, until told to stop."""

from __future__ import annotations

import argparse
import asyncio
import os
from typing import TYPE_CHECKING

from mesh import AsyncSpool
from mesh.cli.completers import complete_methods
from mesh.cli.exits import Exit, UsageError
from mesh.cli.metrics import add_metrics_options, check_metrics_options, open_metrics
from mesh.cli.options import add_client_options, add_log_option, begin_logs, interfaces_of
from mesh.cli.spool import add_directory, add_quota_options, method_name
from mesh.cli.workers import Teller
from mesh.notify import Notifier
from mesh.signals import StopSignals
from mesh.spool.daemon import Complaints, Daemon, Listener
from mesh.spool.keeper import Keeper
from mesh.workers.actions import Say

if TYPE_CHECKING:
    from mesh.metrics import MetricsEndpoint

__all__ = ["add_arguments", "run"]

_RECORDS_MIN, _OCTETS_MIN = 1000, 4 << 20
"""So much is put at once at the most."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Deliver what is in a spool to whichever server offers the inbox, however long it takes, and listen for more. "
        "What was acknowledged is on disk. Stops in good order at Ctrl-C or SIGTERM; a second signal exits at once."
    )
    add_directory(parser)
    listening = parser.add_argument_group("listening", "Each option may be repeated. HOST may be * for all of IPv4.")
    listening.add_argument(
        "--syslog",
        action="append",
        default=[],
        metavar="udp://HOST:PORT",
        help="take syslog from datagrams; tcp://HOST:PORT: from connections",
    )
    listening.add_argument("--radius", action="append", default=[], metavar="HOST:PORT", help="take RADIUS accounting")
    listening.add_argument(
        "--listen", action="append", default=[], metavar="ipc://PATH", help="take records from local ZeroMQ clients"
    )
    complete_methods(
        parser.add_argument(
            "--to", type=method_name, metavar="METHOD", help="the inbox for syslog and RADIUS, such as warehouse.ingest"
        )
    )
    parser.add_argument(
        "--secret-file", metavar="FILE", help="RADIUS clients: a line with ADDRESS SECRET for each; mode 0600"
    )
    parser.add_argument(
        "--dictionary",
        action="append",
        default=[],
        metavar="FILE",
        help="RADIUS attributes beside those of the RFCs, in the format of FreeRADIUS; may be repeated",
    )
    add_quota_options(parser, ("block", "drop-oldest"))
    parser.add_argument("--live-first", action="store_true", help="deliver new records before those that wait for long")
    add_client_options(parser)
    add_log_option(parser)
    add_metrics_options(parser)
    parser.add_argument("--json", action="store_true", help="say what happens as one JSON object a line")


def run(args: argparse.Namespace) -> int:
    """Listen and deliver; return the exit code when it was told to stop and has done so."""
    _check(args)
    check_metrics_options(args)
    begin_logs(args.log_format)
    notifier = Notifier(os.environ)
    try:
        with (
            StopSignals() as signals,
            Teller(args.json, args.log_format == "json") as teller,
            open_metrics(args) as metrics,
        ):
            asyncio.run(_run(args, signals, teller, notifier, metrics))
    except ExceptionGroup as group:  # of a listener or two: the first is the reason
        raise group.exceptions[0] from None
    finally:
        notifier.close()
    return Exit.OK


def _check(args: argparse.Namespace) -> None:
    if (args.syslog or args.radius) and not args.to:
        raise UsageError("--syslog and --radius need to know where records go; give --to SERVICE.METHOD")
    if bool(args.radius) != bool(args.secret_file):
        raise UsageError("--radius HOST:PORT and --secret-file FILE go together; give both")
    if args.max_records < _RECORDS_MIN or args.max_size < _OCTETS_MIN:
        raise UsageError(f"a spool that listens needs some room; give at least {_RECORDS_MIN} records and 4M")


async def _run(
    args: argparse.Namespace,
    signals: StopSignals,
    teller: Teller,
    notifier: Notifier,
    metrics: MetricsEndpoint | None,
) -> None:
    def make() -> AsyncSpool:
        return AsyncSpool(
            args.dir,
            servers=args.server,
            discover=not args.server,
            realm=args.realm,
            interfaces=interfaces_of(args),
            records_max=args.max_records,
            octets_max=args.max_size,
            when_full="reject" if args.when_full == "block" else args.when_full,
            live_first=args.live_first,
        )

    keeper = Keeper(make, teller.say)
    if metrics is not None:
        from mesh.metrics import SpoolCollector

        metrics.registry.register(SpoolCollector(keeper))
        teller.say(Say("metrics", f"metrics at {metrics.url}", facts={"url": metrics.url}))
    daemon = Daemon(keeper, _listeners(args, keeper, Complaints(teller.say)), notifier, teller.say)

    def on_signal() -> None:
        signals.read()
        daemon.stop()

    loop = asyncio.get_running_loop()
    loop.add_reader(signals.descriptor, on_signal)
    try:
        await daemon.run()
    finally:
        loop.remove_reader(signals.descriptor)


def _listeners(args: argparse.Namespace, keeper: Keeper, complaints: Complaints) -> list[Listener]:
    # Each of them is imported where it is asked for: RADIUS needs a library that is an extra.
    listeners: list[Listener] = []
    for endpoint in args.syslog:
        from mesh.spool.listen.sockets import parse_where
        from mesh.spool.listen.tcp import TcpSyslog
        from mesh.spool.listen.udp import UdpSyslog

        scheme, _, where = endpoint.rpartition("://")
        kinds = {"udp": UdpSyslog, "tcp": TcpSyslog}
        if scheme not in kinds:
            raise UsageError(f"--syslog {endpoint} does not parse; write udp://HOST:PORT or tcp://HOST:PORT")
        listeners.append(kinds[scheme](parse_where(where), keeper, args.to))
    for where in args.radius:
        from mesh.spool.listen.attributes import Attributes
        from mesh.spool.listen.radius import Radius
        from mesh.spool.listen.secrets import read_secrets
        from mesh.spool.listen.sockets import parse_where

        secrets, attributes = read_secrets(args.secret_file), Attributes(args.dictionary)
        listeners.append(
            Radius(parse_where(where), keeper, args.to, secrets, attributes, keeper.newest, on_trouble=complaints)
        )
    for endpoint in args.listen:
        from mesh.spool.listen.ipc import Ipc

        listeners.append(Ipc(endpoint, keeper))
    return listeners
