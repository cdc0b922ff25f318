"""Options that several commands have, and the client that follows from them."""

from __future__ import annotations

import argparse
import re
from typing import TYPE_CHECKING

from discovery import Browser
from mesh import Client
from mesh.cli.text import complain_to

if TYPE_CHECKING:
    from mesh.logs import JsonFormatter

__all__ = [
    "add_client_options",
    "add_log_option",
    "add_mesh_options",
    "begin_logs",
    "interfaces_of",
    "non_negative",
    "octets",
    "open_client",
    "positive",
]

_SIZE = re.compile(r"(\d+)([KMGT]?)(?:i?B)?", re.IGNORECASE)


def add_mesh_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command has: where to look, and for which mesh."""
    parser.add_argument(
        "--interface",
        action="append",
        metavar="NAME",
        help="network interface for discovery, by name or address; may be repeated (default: MESH_INTERFACE)",
    )
    parser.add_argument("--realm", help="name of the mesh (default: MESH_REALM, else 'default')")


def add_client_options(parser: argparse.ArgumentParser) -> None:
    """Add what every command has that talks to servers."""
    parser.add_argument(
        "--server",
        action="append",
        metavar="ENDPOINT",
        help="tcp://HOST:PORT of a server, or @FILE with one a line; may be repeated; nothing is discovered then "
        "(default: MESH_SERVERS)",
    )
    add_mesh_options(parser)


def add_log_option(parser: argparse.ArgumentParser) -> None:
    """Add what every command has that runs for long: see `begin_logs`."""
    parser.add_argument(
        "--log-format",
        choices=("text", "json"),
        default="text",
        help="standard error: text, or one JSON object a line, with the call that it is about (default: %(default)s)",
    )


def begin_logs(form: str, server: str = "") -> JsonFormatter | None:
    """Log in this form from now on; before the application is imported, and clients and servers are made.

    Args:
        form: `args.log_format`.
        server: Name that goes into each record; empty: none does, until the formatter that is returned is told one.
    """
    if form != "json":
        return None
    import logging

    from mesh.logs import write_json

    complain_to(logging.getLogger("mesh").warning)
    return write_json(server=server)


def interfaces_of(args: argparse.Namespace) -> list[str] | None:
    """Return the interfaces that were named, None for none."""
    return [name for given in args.interface or () for name in re.split(r"[,\s]+", given) if name] or None


def open_client(args: argparse.Namespace, browser: Browser | None = None) -> Client:
    """Return a client, to be closed by the caller, that finds servers by `browser`, by mDNS if there is none.

    Raises ConfigError, DiscoveryError.
    """
    return Client(args.server, not args.server, args.realm, interfaces_of(args), browser=browser)


def positive(text: str) -> int:
    """Read a number from 1 on."""
    try:
        number = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number") from None
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is less than 1")
    return number


def non_negative(text: str) -> float:
    """Read a finite number from 0 on."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number from 0 on")
    return number


def octets(text: str) -> int:
    """Read a size: octets, or with K, M, G, T in powers of 1024."""
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write 512M or 2G")
    return int(found[1]) << (10 * " KMGT".index(found[2].upper() or " "))
