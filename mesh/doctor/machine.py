"""What this host says of itself: interfaces, limits, who shares the port of mDNS, the rules of its firewall."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from discovery.interfaces import Interface, is_linked, present_interfaces, why_left_out
from mesh.doctor.firewall import iptables_suspects, nft_suspects
from mesh.doctor.observations import Firewall, Link, Machine
from mesh.io.descriptors import raise_descriptors

__all__ = ["neighbours", "observe_machine"]

_PORT: Final = 5353
_SIOCGIWNAME: Final = 0x8B01
_COMPLETE: Final = 0x2
"""An entry of the ARP table that has an answer (ATF_COM)."""
_RULES_S: Final = 2.0


def observe_machine(used: Sequence[Interface]) -> Machine:
    """Look at this host; `used` are the interfaces on which servers are looked for.

    What cannot be read, for want of rights or because the system has no such thing, is left empty.
    """
    names = {interface.name for interface in used}
    return Machine(
        links=tuple(_link(interface, interface.name in names) for interface in present_interfaces()),
        descriptors=raise_descriptors(),
        holders=tuple(_holders()),
        firewall=_firewall(),
        default_link=_default_link(),
        in_container=os.path.exists("/.dockerenv") or os.path.exists("/run/.containerenv"),
    )


def neighbours() -> dict[str, bool]:
    """Return which IPv4 hosts of our networks were looked for, and whether they answered (the ARP table)."""
    rows = [line.split() for line in _lines("/proc/net/arp")[1:]]
    return {row[0]: bool(int(row[2], 16) & _COMPLETE) for row in rows if len(row) >= 6}


def _link(interface: Interface, used: bool) -> Link:
    return Link(
        interface.name,
        interface.networks,
        used,
        "" if used else why_left_out(interface),
        is_linked(interface),
        _is_wireless(interface.name),
    )


def _is_wireless(name: str) -> bool:
    """Tell whether an interface is a radio (netdevice(7); drivers without this call have the usual name)."""
    if sys.platform == "linux":
        import fcntl  # there is none on every platform

        with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker:
            fcntl.ioctl(asker, _SIOCGIWNAME, struct.pack("16s16x", name.encode()[:15]))
            return True
    return name.startswith("wl")


def _holders() -> Iterator[str]:
    """Yield the programs that have UDP port 5353 open in this network namespace; of other users only root sees them."""
    wanted = set()
    for table in ("/proc/net/udp", "/proc/net/udp6"):
        for row in (line.split() for line in _lines(table)[1:]):
            if int(row[1].rpartition(":")[2], 16) == _PORT:
                wanted.add(f"socket:[{row[9]}]")
    if not wanted:
        return
    for pid in filter(str.isdecimal, os.listdir("/proc")):
        # It may have ended, or be another user's.
        with contextlib.suppress(OSError), os.scandir(f"/proc/{pid}/fd") as opened:
            if any(os.readlink(entry.path) in wanted for entry in opened):
                yield f"{''.join(_lines(f'/proc/{pid}/comm'))} (pid {pid})"


def _default_link() -> str:
    rows = (line.split() for line in _lines("/proc/net/route")[1:])
    return next((row[0] for row in rows if row[1] == row[7] == "00000000"), "")


def _firewall() -> Firewall:
    tool = next((tool for name, tool in (("ufw", "ufw"), ("firewall-cmd", "firewalld")) if shutil.which(name)), "")
    listed = _output("nft", "-nn", "list", "ruleset")
    if listed is not None:
        return Firewall(True, tuple(nft_suspects(listed)), tool)
    listed = _output("iptables-save", "-t", "filter")
    if listed is not None:
        return Firewall(True, tuple(iptables_suspects(listed)), tool)
    return Firewall(tool=tool)


def _output(*command: str) -> str | None:
    """Return what a command prints; None if it cannot be run, or may not do what it is asked to."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_RULES_S, check=False)
    except (OSError, subprocess.SubprocessError, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read().splitlines()
    except OSError:
        return []
