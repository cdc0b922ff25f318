"""Ask once, from a port of our own: the fastest way to what is there already.

The answer to a query from a port other than 5353 comes back to that port at once (RFC 6762 section 6.7). A
question that asks for a unicast answer to port 5353 (section 5.4) is of no use where several programs share
that port: the system gives the answer to any one of them. A multicast answer waits up to 120 ms, and a
second more if the records were announced just before (section 6). So this comes first, and the usual
queries follow.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import Callable, Sequence
from typing import Final

from zeroconf import Zeroconf
from zeroconf._dns import DNSQuestion
from zeroconf._protocol.incoming import DNSIncoming
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.const import _CLASS_IN, _FLAGS_QR_QUERY, _MDNS_ADDR, _MDNS_PORT, _TYPE_PTR

from ..interfaces import Interface

__all__ = ["OneShot"]

_WAIT_S: Final = 1.0
"""How long answers are taken."""
_TIMES: Final = 2
"""How often it is asked: a switch may take its time before it forwards what comes from a cable that was just put in."""
_RECEIVE_OCTETS: Final = 1 << 20


class OneShot(asyncio.DatagramProtocol):
    """One question on every interface that has IPv4; the answers go where multicast ones go.

    Each is taken by `pace`, which calls what it is given when it is time: who heard the question may send too many.
    """

    def __init__(self, zeroconf: Zeroconf, service_type: str, pace: Callable[[Callable[[], None]], None]) -> None:
        self._zeroconf = zeroconf
        self._pace = pace
        self._id = secrets.randbelow(0xFFFF) + 1
        self._transports: list[asyncio.DatagramTransport] = []
        out = DNSOutgoing(_FLAGS_QR_QUERY, multicast=False, id_=self._id)
        out.add_question(DNSQuestion(service_type, _TYPE_PTR, _CLASS_IN))
        self._packet = out.packets()[0]

    async def ask(self, interfaces: Sequence[Interface]) -> None:
        """Send the question twice, and take answers for a second each; interfaces that cannot are left out."""
        loop = asyncio.get_running_loop()
        try:
            for interface in interfaces:
                fours = [address for address in interface.addresses if ":" not in address]
                for address in fours[:1]:
                    try:
                        asker = _socket(address)
                    except OSError:
                        continue
                    transport, _ = await loop.create_datagram_endpoint(lambda: self, sock=asker)
                    self._transports.append(transport)
            for _ in range(_TIMES):
                for transport in self._transports:
                    transport.sendto(self._packet, (_MDNS_ADDR, _MDNS_PORT))
                await asyncio.sleep(_WAIT_S)
        finally:
            for transport in self._transports:
                transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """Take an answer to our question, known by its number."""
        self._pace(lambda: self._take(DNSIncoming(data, addr)))

    def _take(self, message: DNSIncoming) -> None:
        if message.valid and message.is_response() and message.id == self._id:
            self._zeroconf.record_manager.async_updates_from_response(message)

    def error_received(self, exc: Exception) -> None:
        """Ignore it: the usual queries follow anyway."""


def _socket(address: str) -> socket.socket:
    asker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        asker.setblocking(False)
        asker.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_OCTETS)
        asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        asker.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 255)
        asker.bind((address, 0))
    except OSError:
        asker.close()
        raise
    return asker
