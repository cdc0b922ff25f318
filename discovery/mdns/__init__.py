"""Peers on the local network by multicast DNS (RFC 6762) and DNS-SD (RFC 6763).

The only place that knows python-zeroconf.
"""

from __future__ import annotations

from .advertiser import MdnsAdvertiser
from .browser import MdnsBrowser
from .names import SERVICE_TYPE

__all__ = ["SERVICE_TYPE", "MdnsAdvertiser", "MdnsBrowser"]
