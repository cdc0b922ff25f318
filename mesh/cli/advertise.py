"""`mesh advertise`: put a server that does not speak mDNS on the mesh until told to stop."""

from __future__ import annotations

import argparse
import ipaddress
import secrets
import socket

from discovery import Address, MdnsAdvertiser, Peer
from mesh import chosen_interfaces, chosen_realm
from mesh.cli.exits import Exit, UsageError
from mesh.cli.options import add_mesh_options, interfaces_of
from mesh.cli.text import compact, printable
from mesh.signals import StopSignals

__all__ = ["add_arguments", "run"]

_PROTOCOLS = {"mesh": "mesh/1", "flp": "flp", "rep": "rep"}
_SCHEME = "tcp://"
_ANY_HOST = ("*", "0.0.0.0", "::")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments."""
    parser.description = (
        "Put a server that does not speak mDNS on the mesh until Ctrl-C or SIGTERM: a ROUTER that speaks the Freelance "
        "Protocol (10/FLP), a REP socket, or a server of this mesh under another address."
    )
    parser.add_argument(
        "endpoint", metavar="ENDPOINT", help="where it listens: tcp://HOST:PORT; tcp://*:PORT for this host"
    )
    parser.add_argument("--proto", required=True, choices=_PROTOCOLS, help="what it speaks")
    parser.add_argument(
        "--service", required=True, action="append", metavar="NAME", help="what it offers; may be repeated"
    )
    parser.add_argument("--name", help="for people (default: the first service's name and a part of an id)")
    add_mesh_options(parser)
    parser.add_argument("--json", action="store_true", help="say what is advertised as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Advertise; return when it was told to stop and the goodbye was sent."""
    if not args.endpoint.startswith(_SCHEME):
        raise UsageError(f"{args.endpoint!r} is no endpoint; write tcp://HOST:PORT")
    peer_id = secrets.token_hex(8)
    realm = chosen_realm(args.realm)
    peer = Peer(
        peer_id=peer_id,
        name=args.name if args.name is not None else f"{args.service[0]}-{peer_id[:4]}",
        services=tuple(args.service),
        addresses=_numeric(Address.parse(args.endpoint.removeprefix(_SCHEME))),
        properties={"proto": _PROTOCOLS[args.proto], **({} if realm == "default" else {"realm": realm})},
    )
    with StopSignals() as signals, MdnsAdvertiser(chosen_interfaces(interfaces_of(args))) as advertiser:
        advertiser.start(peer)
        if args.json:
            endpoints = [f"tcp://{address}" for address in peer.addresses]
            said = {"name": peer.name, "peer_id": peer_id, "services": peer.services, "endpoints": endpoints}
            print(compact(said | {"proto": peer.properties["proto"]}), flush=True)
        else:
            where = f"{args.endpoint} ({peer.properties['proto']})"
            print(f"advertising {', '.join(peer.services)} as {printable(peer.name)} on {where}", flush=True)
        signals.wait()
    return Exit.OK


def _numeric(address: Address) -> tuple[Address, ...]:
    """Return the addresses of a host: mDNS has no way to say the name of one that is elsewhere. Raises UsageError."""
    if address.host in _ANY_HOST:
        return (address,)
    try:
        ipaddress.ip_address(address.host)
    except ValueError:
        pass
    else:
        return (address,)
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # the second for a label that DNS cannot hold
        reason = getattr(error, "strerror", None) or error
        raise UsageError(f"host {address.host!r} cannot be resolved ({reason}); give its numeric address") from None
    return tuple(dict.fromkeys(Address(str(entry[4][0]), address.port) for entry in found))
