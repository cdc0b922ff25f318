"""`mesh serve`: serve the services of a Python file or module until told to stop."""

from __future__ import annotations

import argparse

from mesh.cli.exits import Exit
from mesh.cli.hosting import add_server_options, serve
from mesh.cli.options import begin_logs
from mesh.cli.workers import add_worker_options, check_no_worker_options, supervise

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
    add_server_options(
        parser,
        name="the first service's name and a part of the server's id",
        as_json="say what is served as one JSON object; with --workers, all that happens",
    )
    add_worker_options(parser)


def run(args: argparse.Namespace) -> int:
    """Serve; return when it was told to stop and has done so."""
    logs = begin_logs(args.log_format)
    if args.workers is not None:
        return supervise(args)
    check_no_worker_options(args)
    from mesh.cli.targets import services_of  # a supervisor, which serves nothing itself, needs none of this

    services = [service for target in args.targets for service in services_of(target)]
    serve(args, services, name=args.name, logs=logs)
    return Exit.OK
