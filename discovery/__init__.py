"""Peers on a local network: who offers what, where, and what changed.

The mDNS half is `discovery.mdns`; it is not imported here, because it takes tens of milliseconds.
"""

from __future__ import annotations

from .base import Advertiser, Browser, OnChange
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

__all__ = [
    "Address",
    "Advertiser",
    "Browser",
    "Change",
    "DiscoveryError",
    "DiscoveryValueError",
    "OnChange",
    "Peer",
    "PeerAdded",
    "PeerRemoved",
    "PeerUpdated",
]
