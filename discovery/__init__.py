"""Peers on a local network: who offers what, where, and what changed.

Values, rules and the fixed list are here at once. What touches the machine is imported when it is first used:
python-zeroconf alone takes a tenth of a second, which nobody should pay who names their servers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .base import Advertiser, Browser, OnChange
from .merged import Discovery
from .model import (
    Address,
    Change,
    DiscoveryError,
    DiscoveryValueError,
    Peer,
    PeerAdded,
    PeerRemoved,
    PeerUpdated,
)
from .static import StaticBrowser, parse_servers, read_servers, static_peers
from .table import PeerTable

if TYPE_CHECKING:
    from .cache import PeerCache, Sighting
    from .interfaces import Interface, choose_interfaces, rank_addresses
    from .mdns import SERVICE_TYPE, MdnsAdvertiser, MdnsBrowser
    from .memory import MemoryHub
    from .warm import WarmBrowser

__all__ = [
    "SERVICE_TYPE",
    "Address",
    "Advertiser",
    "Browser",
    "Change",
    "Discovery",
    "DiscoveryError",
    "DiscoveryValueError",
    "Interface",
    "MdnsAdvertiser",
    "MdnsBrowser",
    "MemoryHub",
    "OnChange",
    "Peer",
    "PeerAdded",
    "PeerCache",
    "PeerRemoved",
    "PeerTable",
    "PeerUpdated",
    "Sighting",
    "StaticBrowser",
    "WarmBrowser",
    "choose_interfaces",
    "parse_servers",
    "rank_addresses",
    "read_servers",
    "static_peers",
]


if not TYPE_CHECKING:  # a type checker that sees it takes any name for one of ours

    def __getattr__(name: str) -> object:
        """Import what is not here yet when it is first used."""
        if name in ("SERVICE_TYPE", "MdnsAdvertiser", "MdnsBrowser"):
            from . import mdns

            return getattr(mdns, name)
        if name in ("Interface", "choose_interfaces", "rank_addresses"):
            from . import interfaces

            return getattr(interfaces, name)
        if name in ("PeerCache", "Sighting"):
            from . import cache

            return getattr(cache, name)
        if name == "WarmBrowser":
            from .warm import WarmBrowser

            return WarmBrowser
        if name == "MemoryHub":
            from .memory import MemoryHub

            return MemoryHub
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
