"""Sockets to listen on."""

from __future__ import annotations

import contextlib
import errno
import re
import socket
import struct
from typing import TypeAlias

from mesh.errors import ConfigError
from mesh.spool.listen.entry import place

__all__ = ["Where", "kernel_drops", "open_tcp", "open_udp", "parse_where", "peer_of"]

Where: TypeAlias = tuple[str, int]
"""An address and a port."""

_WHERE = re.compile(r"(\[[^\[\]\s]+\]|[^\[\]:\s]+):(\d{1,5})", re.ASCII)
_BUFFER_OCTETS = 8 << 20
"""What the kernel is asked to keep of datagrams that are not read yet: a few seconds of them."""
_SO_RCVBUFFORCE = 33
_SO_MEMINFO, _DROPS_AT = 55, 8 * 4
"""socket(7) on Linux: nine numbers of 32 bits, the last one counts the datagrams for which there was no room."""
_BACKLOG = 1024
_DEAD_AFTER = (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))


def parse_where(text: str) -> Where:
    """Read HOST:PORT; `*` stands for every IPv4 address of this host, port 0 for any free one. Raises ConfigError."""
    found = _WHERE.fullmatch(text)
    if found is None or int(found[2]) > 65535:
        raise ConfigError(f"cannot listen on {text!r}: it does not parse; write HOST:PORT, for example 127.0.0.1:1514")
    host = found[1].strip("[]")
    return ("0.0.0.0" if host == "*" else host), int(found[2])


def open_udp(where: Where) -> socket.socket:
    """Return a bound socket with much room for what is not read yet. Raises ConfigError."""
    sock = _bound(where, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER_OCTETS)
    except OSError:  # only root may have more than net.core.rmem_max
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER_OCTETS)
    return sock


def open_tcp(where: Where) -> socket.socket:
    """Return a socket that listens. Raises ConfigError."""
    sock = _bound(where, socket.SOCK_STREAM)
    sock.listen(_BACKLOG)
    # Connections inherit it: a sender that vanished without a word is noticed after two minutes.
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in _DEAD_AFTER:
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
    return sock


def kernel_drops(sock: socket.socket) -> int:
    """Return how many datagrams the kernel had no room for; 0 where it does not tell."""
    try:
        memory = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _DROPS_AT + 4)
        return int(struct.unpack_from("=I", memory, _DROPS_AT)[0])
    except (OSError, struct.error):
        return 0


def peer_of(address: tuple[str, int] | tuple[str, int, int, int]) -> Where:
    """Return the address and port of a sender, as `recvfrom` and `accept` name it."""
    return address[0], address[1]


def _bound(where: Where, kind: socket.SocketKind) -> socket.socket:
    try:
        family, _, _, _, address = socket.getaddrinfo(*where, type=kind, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot listen on {place(where)}: {_reason(error)}; give an address of this host") from None
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if kind is socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
    except OSError as error:
        sock.close()
        raise ConfigError(f"cannot listen on {place(where)}: {_problem(error)}") from None
    return sock


def _problem(error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return "the port is in use; choose another one, or stop who has it (ss -lntup shows who)"
    if error.errno == errno.EACCES:
        return "ports below 1024 need privileges; choose a higher one, or give the service CAP_NET_BIND_SERVICE"
    if error.errno == errno.EADDRNOTAVAIL:
        return "this host has no such address; give one of its own, or * for all of them"
    return f"{_reason(error)}; give another address"


def _reason(error: OSError | UnicodeError) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
