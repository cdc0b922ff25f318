"""`mesh gateway`: answer HTTP from whichever server lives."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal

from mesh import AsyncClient, ClientConfig
from mesh.cli.exits import Exit, UsageError
from mesh.cli.options import (
    add_client_options,
    add_log_option,
    begin_logs,
    interfaces_of,
    non_negative,
    octets,
    positive,
)
from mesh.cli.text import compact, complain
from mesh.notify import Notifier

__all__ = ["add_arguments", "run"]

_EXTRA = ("starlette", "uvicorn", "httptools", "prometheus_client")
_LISTEN = re.compile(r"(?P<host>\[[0-9A-Fa-f:.%\w]+\]|[^:\[\]\s]+):(?P<port>\d{1,5})")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Answer HTTP: POST /v1/call/SERVICE/METHOD calls a method of whichever server lives, and / shows the mesh. "
        "Beyond this machine it listens only with tokens or certificates of clients."
    )
    parser.add_argument(
        "--listen",
        type=_listen,
        default=("127.0.0.1", 8080),
        metavar="HOST:PORT",
        help="where to listen; port 0 is any free one (default: 127.0.0.1:8080)",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="ask for a bearer token; the file has one on each line, and mode 0600",
    )
    parser.add_argument("--cert", default="", metavar="FILE", help="certificate chain in PEM: HTTPS instead of HTTP")
    parser.add_argument("--key", default="", metavar="FILE", help="its private key (default: in the same file)")
    parser.add_argument(
        "--client-ca", default="", metavar="FILE", help="ask for certificates of clients that one of these has signed"
    )
    parser.add_argument(
        "--host",
        action="append",
        default=[],
        metavar="NAME",
        help="a name under which it is reached, beside localhost and the name of this host; may be repeated",
    )
    parser.add_argument(
        "--allow",
        action="append",
        metavar="PATTERN",
        help="methods that may be called, with * and ?; may be repeated (default: all but those that begin with mesh.)",
    )
    parser.add_argument(
        "--timeout", type=non_negative, default=5.0, metavar="SECONDS", help="of a call that gives none (default: 5)"
    )
    parser.add_argument(
        "--spool",
        default="",
        metavar="DIR",
        help="keep calls with 'Prefer: respond-async' in this directory until they are answered; it is of no other use",
    )
    parser.add_argument(
        "--max-body", type=octets, metavar="SIZE", help="longest body of a request, such as 64M (default: 16M)"
    )
    parser.add_argument(
        "--max-connections", type=positive, metavar="N", help="connections at the same time (default: 1000)"
    )
    add_client_options(parser)
    parser.add_argument("--json", action="store_true", help="say where it listens as one JSON object")
    add_log_option(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code. Raises ConfigError, DiscoveryError, UsageError."""
    begin_logs(args.log_format)
    try:
        asyncio.run(_run(args))
    except ImportError as error:
        if error.name not in _EXTRA:
            raise
        raise UsageError(f"{error.name} is not installed; pip install 'freelance-mesh[gateway]'") from None
    return Exit.OK


async def _run(args: argparse.Namespace) -> None:
    from mesh.gateway.metrics import metrics_route
    from mesh.gateway.server import bind, serve
    from mesh.gateway.settings import GatewaySettings
    from mesh.gateway.tokens import read_tokens

    host, port = args.listen
    bounds = {"body_max": args.max_body, "connections_max": args.max_connections}
    settings = GatewaySettings(
        host=host,
        port=port,
        tokens=read_tokens(args.token_file) if args.token_file else (),
        certificate=args.cert,
        certificate_key=args.key,
        client_authority=args.client_ca,
        hosts=tuple(args.host),
        allow=tuple(args.allow or ["*"]),
        spool=args.spool,
        **{name: value for name, value in bounds.items() if value is not None},
    )
    config = ClientConfig(timeout_s=args.timeout)
    stopped = _stopped_by_signal()
    notifier = Notifier(os.environ)
    with bind(settings) as listening:
        async with (
            AsyncClient(args.server, not args.server, args.realm, interfaces_of(args), config) as client,
            serve(client, settings, listening, [metrics_route(client)]),
        ):
            url = settings.url(listening.getsockname()[1])
            if settings.tokens and not settings.certificate and not settings.is_loopback:
                complain("note: tokens and answers can be read on their way; give --cert and --key for HTTPS")
            print(compact({"url": url}) if args.json else f"answering on {url}", flush=True)
            notifier.ready(f"answering on {url}")
            while not stopped.is_set():
                try:
                    async with asyncio.timeout(notifier.watchdog_s):
                        await stopped.wait()
                except TimeoutError:
                    notifier.watchdog()
            notifier.stopping("draining")
    notifier.close()


def _stopped_by_signal() -> asyncio.Event:
    """Return what is set at the first SIGINT or SIGTERM; a second one ends the process at once."""
    stopped = asyncio.Event()

    def on_signal(number: int) -> None:
        if stopped.is_set():
            os._exit(128 + number)
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, on_signal, number)
    return stopped


def _listen(text: str) -> tuple[str, int]:
    found = _LISTEN.fullmatch(text)
    if found is None or int(found["port"]) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r}: write HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080")
    return found["host"].strip("[]"), int(found["port"])
