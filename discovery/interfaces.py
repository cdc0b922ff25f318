"""Which network interfaces to use, and which of a peer's addresses to try first."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import ifaddr

from .model import Address, DiscoveryError, DiscoveryValueError

__all__ = ["Interface", "choose_interfaces", "is_linked", "present_interfaces", "rank_addresses", "why_left_out"]

_SKIPPED: Final = (
    "docker",
    "veth",
    "br-",
    "virbr",
    "cni",
    "flannel",
    "tun",
    "tap",
    "wg",
    "utun",
)
"""Names of interfaces that lead to containers, virtual machines and tunnels, not to this network."""
_SIOCGIFFLAGS: Final = 0x8913
_FLAG_UP: Final = 0x1
_FLAG_RUNNING: Final = 0x40
_FLAG_MULTICAST: Final = 0x1000
_IPV6_ADDRESSES: Final = "/proc/net/if_inet6"
_TENTATIVE: Final = 0x40


@dataclass(frozen=True, order=True, slots=True)
class Interface:
    """A network interface and those of its addresses that are to be used."""

    name: str
    """Its name in the system: ``eth0``."""
    index: int
    """Its number in the system; scopes link-local IPv6 addresses."""
    networks: tuple[str, ...]
    """Address and prefix of each: ``10.0.0.7/24``, ``fe80::1/64``."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """The addresses without their prefixes."""
        return tuple(network.partition("/")[0] for network in self.networks)


def choose_interfaces(names: Sequence[str] | None = None) -> list[Interface]:
    """Return the interfaces to use, by name (``eth0``) or by address (``127.0.0.1``, ``::1``).

    Without names: all that are up and can do multicast, and loopback, so that peers of the same host are
    seen; but not those of containers, virtual machines and tunnels, and not those that have link-local
    addresses only, unless there are no others. Raises DiscoveryError if nothing is left, and
    DiscoveryValueError, which lists what there is, for a name that is unknown.
    """
    present = present_interfaces()
    if names:
        return _named(names, present)
    useful = [interface for interface in present if not why_left_out(interface)]
    routable = [interface for interface in useful if not _is_link_local_only(interface)]
    chosen = routable if any(not _is_loopback(interface) for interface in routable) else useful
    if not chosen:
        raise DiscoveryError("this host", "has no network interface that is up", "bring one up, or loopback")
    return chosen


def present_interfaces() -> list[Interface]:
    """Return the interfaces that are up, with their addresses, in order of their numbers."""
    present = []
    tentative = _tentative()
    for adapter in ifaddr.get_adapters():
        hosts = ((ip.ip if isinstance(ip.ip, str) else ip.ip[0], ip.network_prefix) for ip in adapter.ips)
        networks = tuple(f"{host}/{prefix}" for host, prefix in hosts if (adapter.name, host) not in tentative)
        if networks and _flags(adapter.name) & _FLAG_UP:
            present.append(Interface(adapter.name, adapter.index or 0, networks))
    return sorted(present, key=lambda interface: interface.index)


def why_left_out(interface: Interface) -> str:
    """Say why an interface is not used unless it is named, or return an empty string: ``cannot do multicast``."""
    if interface.name.startswith(_SKIPPED):
        return "leads to containers, virtual machines or through a tunnel"
    if _is_loopback(interface) or _flags(interface.name) & _FLAG_MULTICAST:
        return ""
    return "cannot do multicast"


def is_linked(interface: Interface) -> bool:
    """Tell whether an interface has a carrier: its cable is in, or its radio has joined a network."""
    return bool(_flags(interface.name) & _FLAG_RUNNING)


def rank_addresses(addresses: Iterable[Address], interfaces: Sequence[Interface]) -> list[Address]:
    """Order addresses by how likely they lead to their peer, the most likely first.

    Our own subnets, then our loopback, then any other, then link-local ones, then a loopback that is not
    ours. A link-local IPv6 address without a scope leads nowhere and is left out. Equals keep their order.
    """
    own = [ipaddress.ip_network(network, strict=False) for each in interfaces for network in each.networks]

    def rank(address: Address) -> int:
        try:
            ip = ipaddress.ip_address(address.host)
        except ValueError:
            return 2  # a host name may be anywhere
        near = any(ip in network for network in own)
        if ip.is_loopback:
            return 1 if near else 4
        if ip.is_link_local:
            return 3
        return 0 if near else 2

    return sorted((address for address in addresses if not _leads_nowhere(address.host)), key=rank)


def _named(names: Sequence[str], present: Sequence[Interface]) -> list[Interface]:
    chosen: dict[str, Interface] = {}
    for name in names:
        for interface in present:
            if name == interface.name:
                chosen[name] = interface
                break
            networks = tuple(net for net in interface.networks if net.partition("/")[0] == name.partition("%")[0])
            if networks:
                before = chosen[interface.name].networks if interface.name in chosen else ()
                both = tuple(dict.fromkeys(before + networks))
                chosen[interface.name] = Interface(interface.name, interface.index, both)
                break
        else:
            known = ", ".join(f"{interface.name} ({' '.join(interface.addresses)})" for interface in present)
            problem = "is neither a network interface that is up nor one of its addresses"
            raise DiscoveryValueError(name, problem, f"choose one of: {known}")
    return list(chosen.values())


def _tentative() -> set[tuple[str, str]]:
    """Return the names and IPv6 addresses that nothing may use for the first second or two (RFC 4862 section 5.4)."""
    try:
        with open(_IPV6_ADDRESSES, encoding="ascii") as table:
            rows = [line.split() for line in table]
    except OSError:  # no IPv6 here, or another system
        return set()
    return {
        (name, str(ipaddress.IPv6Address(int(digits, 16))))
        for digits, _index, _prefix, _scope, flags, name in rows
        if int(flags, 16) & _TENTATIVE
    }


def _flags(name: str) -> int:
    """Return the flags of an interface, 0 if it has gone (netdevice(7)); where we cannot ask, it is up."""
    if sys.platform != "linux":
        return _FLAG_UP | _FLAG_RUNNING | _FLAG_MULTICAST
    import fcntl  # there is none on every platform

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
        try:
            answer = fcntl.ioctl(asker, _SIOCGIFFLAGS, struct.pack("16sH14x", name.encode()[:15], 0))
        except OSError:
            return 0
    return int(struct.unpack("16sH14x", answer)[1])


def _is_loopback(interface: Interface) -> bool:
    return all(ipaddress.ip_address(address).is_loopback for address in interface.addresses)


def _is_link_local_only(interface: Interface) -> bool:
    return all(ipaddress.ip_address(address).is_link_local for address in interface.addresses)


def _leads_nowhere(host: str) -> bool:
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return False
    return isinstance(ip, ipaddress.IPv6Address) and ip.is_link_local and ip.scope_id is None
