"""Has the kernel drop what some senders send (packet(7), linux/filter.h): it costs this process nothing."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import socket
import struct
import sys
from collections.abc import Iterable
from typing import Final, NamedTuple

__all__ = ["SOURCES_MAX", "Source", "sift"]

SOURCES_MAX: Final = 100
"""How many sources can be dropped at once: a jump in a filter reaches no further than 255 lines."""
_SOL_SOCKET, _SO_ATTACH_FILTER, _SO_DETACH_FILTER = 1, 26, 27
"""As in Linux; the socket module does not name them all."""
_LOAD_WORD, _LOAD_OCTET, _IF_EQUAL, _IF_SET, _RETURN = 0x20, 0x30, 0x15, 0x45, 0x06
"""Instructions of the kernel's packet filter."""
_SENDER: Final = 2**32 - 0x100000 + 12
"""Where a filter finds the IPv4 address of the sender: from the beginning of the network header."""
_FLAGS: Final = 8 + 2
"""Where it finds the flags of a DNS message: behind the UDP header."""
_ANSWER: Final = 0x80
_ALL: Final = 2**32 - 1

_Line = tuple[int, int, int, int]


class Source(NamedTuple):
    """What one host sends of one kind: one program on it may flood with answers, and another ask honest questions."""

    host: str
    is_answer: bool

    @classmethod
    def of(cls, host: str, octets: bytes) -> Source:
        """Return the source of a packet."""
        return cls(host, len(octets) > 2 and bool(octets[2] & _ANSWER))


def sift(sockets: Iterable[socket.socket], dropped: Iterable[Source]) -> None:
    """Have the kernel drop what comes from these sources and no others; only Linux can, and only for IPv4."""
    if sys.platform != "linux":
        return
    program = _program(dropped)
    for sock in sockets:
        with contextlib.suppress(OSError):  # it is closed, or the kernel has no such filters: we drop all ourselves
            if program is None:
                sock.setsockopt(_SOL_SOCKET, _SO_DETACH_FILTER, 0)
            else:
                lines = ctypes.create_string_buffer(program, len(program))
                fprog = struct.pack("HP", len(program) // 8, ctypes.addressof(lines))
                sock.setsockopt(_SOL_SOCKET, _SO_ATTACH_FILTER, fprog)


def _program(dropped: Iterable[Source]) -> bytes | None:
    """Return a program for the kernel that drops the packets of these sources; None if there is none to be dropped."""
    numbers: dict[bool, list[int]] = {True: [], False: []}
    for host, is_answer in dropped:
        address = ipaddress.ip_address(host.partition("%")[0].removeprefix("::ffff:"))
        if address.version == 4:
            numbers[is_answer].append(int(address))
    answers, questions = _unless(numbers[True]), _unless(numbers[False])
    if not (numbers[True] or numbers[False]):
        return None
    lines = [(_LOAD_OCTET, 0, 0, _FLAGS), (_IF_SET, 0, len(answers), _ANSWER), *answers, *questions]
    return b"".join(struct.pack("HBBI", *line) for line in lines)


def _unless(numbers: list[int]) -> list[_Line]:
    """Return lines that end a program: drop the packet if its sender has one of these addresses, else take it."""
    tests = [(_IF_EQUAL, len(numbers) - index, 0, number) for index, number in enumerate(numbers)]
    return [(_LOAD_WORD, 0, 0, _SENDER), *tests, (_RETURN, 0, 0, _ALL), (_RETURN, 0, 0, 0)]
