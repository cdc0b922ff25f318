"""Where a command that makes one call looks first: at the servers that mDNS has shown to commands before it."""

from __future__ import annotations

import argparse
import os

import discovery
from discovery import Peer, PeerCache, WarmBrowser
from mesh import chosen_interfaces, chosen_realm
from mesh.cli.options import interfaces_of

__all__ = ["add_cache_option", "warm_browser"]

_FOLDER = "freelance-mesh"
_EVERYBODYS = "mesh"
"""The service that every server offers."""


def add_cache_option(parser: argparse.ArgumentParser) -> None:
    """Add the switch."""
    parser.add_argument(
        "--no-cache",
        action="store_true",
        help="look for servers by mDNS alone, and remember none; otherwise those that were seen in the last 75 minutes "
        "are dialled at once (default: MESH_NO_CACHE)",
    )


def warm_browser(args: argparse.Namespace) -> WarmBrowser | None:
    """Return a browser that first proposes servers for a call, or None if there is nothing to find or to remember.

    Raises ConfigError.
    """
    folder = _folder()
    if args.server or args.no_cache or os.environ.get("MESH_NO_CACHE", "") not in ("", "0") or not folder:
        return None
    realm, interfaces = chosen_realm(args.realm), chosen_interfaces(interfaces_of(args))
    service = args.method.partition(".")[0]

    def belongs(peer: Peer) -> bool:
        return peer.properties.get("realm", "") in ("", realm)

    def is_wanted(peer: Peer) -> bool:
        return (service == _EVERYBODYS or service in peer.services) and args.peer in (None, peer.name, peer.peer_id)

    cache = PeerCache(folder, " ".join([realm, *sorted(interfaces or ())]))
    return WarmBrowser(lambda: discovery.MdnsBrowser(interfaces), cache, belongs, is_wanted)


def _folder() -> str:
    """Return where caches are (XDG base directory specification), empty if nobody says where that is."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if not os.path.isabs(base):
        base = os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(base, _FOLDER) if os.path.isabs(base) else ""
