"""Try what multicast can do on each interface: send, hear ourselves, hear others.

With sockets of our own, made as those of a link are, because a Zeroconf tells neither who sent a packet nor over
which interface it came. Nothing is advertised.
"""

from __future__ import annotations

import contextlib
import secrets
import selectors
import socket
import struct
import time
from collections.abc import Sequence
from types import TracebackType
from typing import Final, Self

from zeroconf._dns import DNSPointer, DNSQuestion, DNSService
from zeroconf._protocol.incoming import DNSIncoming
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.const import (
    _CLASS_IN,
    _FLAGS_QR_QUERY,
    _MDNS_ADDR,
    _MDNS_ADDR6,
    _MDNS_PORT,
    _TYPE_PTR,
    _TYPE_SRV,
)

from ..hearing import Hearing, Told
from ..interfaces import Interface
from .link import transports
from .names import SERVICE_TYPE, check_service_type

__all__ = ["probe"]

_EVERYTHING: Final = "_services._dns-sd._udp.local."
"""Whoever advertises anything answers to this (RFC 6763 section 9)."""
_TIMES: Final = 2
"""How often it is asked: a packet may be lost, and a record be multicast only once a second (RFC 6762 section 6)."""
_OCTETS: Final = 9000
"""Longest packet (RFC 6762 section 17)."""
_PACKETS_MAX: Final = 1000
"""Packets that are read of one interface; a flood is not to be listened to the end."""
_IP_MULTICAST_ALL: Final = 49
_IPV6_MULTICAST_ALL: Final = 29
"""As in Linux; the socket module does not name them."""


def probe(
    interfaces: Sequence[Interface],
    labels: Sequence[str] = (),
    service_type: str = SERVICE_TYPE,
    listen_s: float = 2.0,
) -> list[Hearing]:
    """Ask on each interface, listen for `listen_s` seconds, and return what was heard, for IPv4 and IPv6 apart.

    It is asked who is there; with `labels`, who answers for these instances. What cannot be done is part of the
    result. Raises DiscoveryValueError if the service type is none.
    """
    kind = check_service_type(service_type)
    questions = [DNSQuestion(f"{label}.{kind}", _TYPE_SRV, _CLASS_IN) for label in labels] or [
        DNSQuestion(name, _TYPE_PTR, _CLASS_IN) for name in (kind, _EVERYTHING)
    ]
    begin = time.monotonic()
    with contextlib.ExitStack() as stack:
        selector = stack.enter_context(selectors.DefaultSelector())
        channels = [
            stack.enter_context(_Channel(interface, address, kind))
            for interface in interfaces
            for address in transports([interface])
        ]
        for channel in channels:
            channel.open(selector)
        for turn in range(_TIMES):
            for channel in channels:
                channel.ask(questions)
            _listen(selector, begin + listen_s * (turn + 1) / _TIMES)
        return [channel.hearing() for channel in channels]


def _listen(selector: selectors.BaseSelector, until: float) -> None:
    while (left_s := until - time.monotonic()) > 0:
        for key, _ in selector.select(left_s):
            channel, sock = key.data, key.fileobj
            assert isinstance(channel, _Channel)
            assert isinstance(sock, socket.socket)
            channel.read(sock)


class _Channel:
    """One interface, over IPv4 or IPv6: a socket in the group, which is heard by all, and one that is answered to."""

    def __init__(self, interface: Interface, address: str, kind: str) -> None:
        self._interface = interface
        self._address = address
        self._kind = kind.lower()
        self._suffix = f".{kind}"
        self._is_six = ":" in address
        # Two, for a responder takes the same octets for the same question, and answers it once.
        self._ids = {True: secrets.randbelow(0x7FFF) + 1, False: secrets.randbelow(0x7FFF) + 0x8000}
        """What marks the questions to which the group is to listen (True), and those which are answered to us alone."""
        self._sockets = contextlib.ExitStack()
        self._member: socket.socket | None = None
        self._asker: socket.socket | None = None
        self._step, self._error, self._sent = "", 0, False
        self._hears_itself = False
        self._heard: dict[bool, dict[str, None]] = {True: {}, False: {}}
        """Hosts whose packets came to the group (True), or to us alone."""
        self._told: dict[Told, None] = {}
        self._left = _PACKETS_MAX

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close the sockets."""
        self._sockets.close()

    def open(self, selector: selectors.BaseSelector) -> None:
        """Open the sockets, as far as that can be done."""
        self._step = "open"
        try:
            # Bound to the group, so that no packet that is meant for another program on this port comes here.
            self._member = self._bound(_MDNS_ADDR6 if self._is_six else _MDNS_ADDR, _MDNS_PORT)
            self._asker = self._bound(self._address, 0)
            self._step = "join"
            self._join(self._member)
        except OSError as error:
            self._error = error.errno or 0
            return
        self._step = ""
        for sock in (self._member, self._asker):
            selector.register(sock, selectors.EVENT_READ, self)

    def ask(self, questions: Sequence[DNSQuestion]) -> None:
        """Send the questions from both sockets; the last failure counts, unless something was sent."""
        if self._step in ("open", "join"):
            return
        target = (_MDNS_ADDR6, _MDNS_PORT, 0, self._interface.index) if self._is_six else (_MDNS_ADDR, _MDNS_PORT)
        for sock in (self._member, self._asker):
            assert sock is not None
            to_group = sock is self._member
            out = DNSOutgoing(_FLAGS_QR_QUERY, multicast=to_group)
            for question in questions:
                out.add_question(question)
            for packet in out.packets():
                # python-zeroconf writes 0, as RFC 6762 section 18.1 has it; by the number we know what is ours.
                numbered = self._ids[to_group].to_bytes(2, "big") + packet[2:]
                try:
                    sock.sendto(numbered, target)
                except BlockingIOError:
                    pass
                except OSError as error:
                    if not self._sent:
                        self._step, self._error = "send", error.errno or 0
                else:
                    self._sent, self._step, self._error = True, "", 0

    def read(self, sock: socket.socket) -> None:
        """Take a packet that has come."""
        try:
            packet, sender = sock.recvfrom(_OCTETS)
        except OSError:  # a word of the network about what was sent
            return
        if self._left == 0:
            return
        self._left -= 1
        message = DNSIncoming(packet, sender)
        if not message.valid:
            return
        host = str(sender[0])
        to_group = sock is self._member
        if (
            to_group
            and message.is_query()
            and host.partition("%")[0] == self._address
            and message.id in self._ids.values()
        ):
            self._hears_itself = True
            return
        self._heard[to_group][host] = None
        for label in self._labels(message):
            self._told[Told(host, label, message.is_query())] = None

    def hearing(self) -> Hearing:
        """Return what was heard."""
        return Hearing(
            self._interface.name,
            self._address,
            self._step,
            self._error,
            self._hears_itself,
            tuple(self._heard[True]),
            tuple(self._heard[False]),
            tuple(self._told),
        )

    def _labels(self, message: DNSIncoming) -> list[str]:
        """Return the instances of our type that a packet speaks of, without those it says goodbye for."""
        names = [
            record.alias if isinstance(record, DNSPointer) else record.name
            for record in message.answers()
            if record.ttl > 0
            and (isinstance(record, DNSService) or (isinstance(record, DNSPointer) and record.key == self._kind))
        ]
        return [name.removesuffix(self._suffix) for name in names if name.endswith(self._suffix)]

    def _bound(self, host: str, port: int) -> socket.socket:
        sock = self._sockets.enter_context(
            socket.socket(socket.AF_INET6 if self._is_six else socket.AF_INET, socket.SOCK_DGRAM)
        )
        sock.setblocking(False)
        index = self._interface.index
        if self._is_six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        else:
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(self._address))
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        if port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with contextlib.suppress(AttributeError, OSError):  # not every system has it
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port, 0, index) if self._is_six else (host, port))
        return sock

    def _join(self, member: socket.socket) -> None:
        """Join the group on this interface, and hear nothing of groups that others have joined elsewhere."""
        index = struct.pack("@I", self._interface.index)
        if self._is_six:
            group = socket.inet_pton(socket.AF_INET6, _MDNS_ADDR6) + index
            member.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group)
        else:
            group = socket.inet_aton(_MDNS_ADDR) + socket.inet_aton(self._address)
            member.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        level, option = (
            (socket.IPPROTO_IPV6, _IPV6_MULTICAST_ALL) if self._is_six else (socket.IPPROTO_IP, _IP_MULTICAST_ALL)
        )
        with contextlib.suppress(OSError):  # elsewhere a socket hears only what it has joined anyway
            member.setsockopt(level, option, 0)
