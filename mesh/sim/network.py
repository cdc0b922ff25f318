"""The network between simulated clients and servers, as TCP and libzmq make it look.

A lost packet is a delay. A cut is silence: bytes wait in the sender's kernel until it heals, or until the client's
heartbeat gives the link up. A clog lets little through; all the rest waits behind it. A killed process is the end of
its connections at once; whether what it had sent still arrives is a matter of luck. A stopped process is silence as
well, but its kernel goes on taking connections and bytes. Each connection keeps the order, and doubles nothing.
"""

from __future__ import annotations

import math
import random
import zlib

from discovery.model import Address
from mesh.sim.clock import VirtualClock
from mesh.sim.faults import Faults, Spread
from mesh.sim.link import ClientEnd, Link, ServerEnd
from mesh.sim.process import MESSAGE
from mesh.sim.wire import Mark

__all__ = ["VirtualNetwork"]

_RTO_S = 0.2
"""First retransmission of TCP on Linux; each further one doubles it."""
_RETRANSMISSIONS_MAX = 5


class VirtualNetwork:
    """Every link of a world, and what stands between the hosts.

    Args:
        clock: Time.
        rng: Delays, losses and luck.
        faults: `delay` and `loss`.
        connect_timeout_s: After so long without an answer a dial has failed.
        heartbeat_interval_s: Of ZMTP.
        heartbeat_timeout_s: Silence after which the client's transport gives a link up.
    """

    def __init__(
        self,
        clock: VirtualClock,
        rng: random.Random,
        faults: Faults,
        connect_timeout_s: float,
        heartbeat_interval_s: float,
        heartbeat_timeout_s: float,
    ) -> None:
        self.clock = clock
        self.rng = rng
        self.messages: int = 0
        """Messages that were read, by servers and clients."""
        self.digest: int = 0
        """Checksum over all of them and when they were read."""
        self.delay: Spread = faults.delay
        """One way."""
        self.loss: float = faults.loss
        """Share of messages that come later, after retransmissions."""
        self.rates: dict[tuple[str, str], float] = {}
        """Octets a second that get from one host to another: 0 for a cut; who is not here is not hindered."""
        self._connect_timeout_s = connect_timeout_s
        self._heartbeat_interval_s = heartbeat_interval_s
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._hosts: dict[str, str] = {}
        self._listeners: dict[Address, ServerEnd] = {}
        self._swallowed: dict[Address, None] = {}
        self._links: dict[str, dict[Link, None]] = {}
        """By host, at either end."""
        self._numbers = 0

    def name_host(self, address: Address, host: str) -> None:
        """Say whose address this is."""
        self._hosts[address.host] = host

    def host_of(self, address: Address) -> str:
        """Return the host with this address; a name of its own if there is none."""
        return self._hosts.get(address.host, address.host)

    def links(self) -> list[Link]:
        """Return every link that somebody still holds."""
        return [link for host, links in self._links.items() for link in links if link.host == host]

    # -- connections

    def listen(self, address: Address, server: ServerEnd) -> None:
        """Take connections."""
        self._listeners[address] = server

    def unlisten(self, address: Address, *, abruptly: bool) -> None:
        """Take no more connections and close those there are; `abruptly` if the process has died."""
        server = self._listeners.pop(address)
        for link in list(self._links.get(self.host_of(address), ())):
            if link.server is server:
                link.cut_by_server(abruptly=abruptly and self.rng.random() < 0.5)

    def dial(self, client: ClientEnd, conn_id: int, address: Address) -> Link:
        """Begin a connection; `link_up` or `link_lost` follows, or silence."""
        self._numbers += 1
        link = Link(self, client, conn_id, address, self._numbers)
        for host in (link.host, client.process.name):
            self._links.setdefault(host, {})[link] = None
        link.up.launch(Mark.SYN)
        timeout_s = self._connect_timeout_s * (0.95 + 0.1 * self.rng.random())
        self.clock.after(timeout_s, self._dial_timed_out, link)
        return link

    def knocked(self, link: Link) -> None:
        """A connection has reached the host: its kernel takes it if anybody listens, stopped or not."""
        server = self._listeners.get(link.address)
        if link.address in self._swallowed:
            return
        if server is None:
            link.down.launch(Mark.END)
            return
        link.reached = True
        link.server = server
        for host in link.up.way:
            self._links.setdefault(host, {})[link] = None  # its client may have given it up, and left it out
        link.down.launch(Mark.REACHED)
        server.process.deliver(MESSAGE, self._shake_hands, link)

    def _shake_hands(self, link: Link) -> None:
        # Once for the kernel's answer, which did not wait for the process, and once for the handshake.
        link.down.launch(Mark.UP, 2 * self.delay_s())

    def _dial_timed_out(self, link: Link) -> None:
        if not link.reached:
            link.give_up("connection refused")

    def forget(self, link: Link) -> None:
        """Leave out a link that both ends have let go of."""
        if link.server is None and not link.sound:
            for host in link.up.way:
                links = self._links.get(host, {})
                links.pop(link, None)
                if not links:
                    self._links.pop(host, None)

    def swallow(self, address: Address) -> None:
        """Let nothing come back from an address."""
        self._swallowed[address] = None

    # -- what is in the way

    def calm(self) -> None:
        """Lose nothing any more, and delay nothing for long."""
        self.loss = 0.0
        self.delay = Spread(self.delay.least_s, self.delay.more_s)

    def is_cut(self, source: str, target: str) -> bool:
        """Tell whether nothing gets from one host to the other."""
        return self.rates.get((source, target)) == 0.0

    def cut(self, source: str, target: str) -> None:
        """Let nothing through in this direction."""
        self.hinder(source, target, 0.0)

    def hinder(self, source: str, target: str, octets_per_s: float) -> None:
        """Let so much through in this direction."""
        self.rates[source, target] = octets_per_s
        self._changed(source, target)

    def heal(self, source: str, target: str) -> None:
        """Let everything through again in this direction."""
        if self.rates.pop((source, target), None) is not None:
            self._changed(source, target)

    def ways_hindered(self) -> list[tuple[str, str]]:
        """Return every direction that is cut or clogged."""
        return list(self.rates)

    def _changed(self, source: str, target: str) -> None:
        for link in list(self._links.get(source, ())):
            for wire in (link.up, link.down):
                if wire.way == (source, target):
                    wire.change()
        self.look_for_silence(source, target)

    def look_for_silence(self, host: str, other: str = "") -> None:
        """A process was stopped or thawed, or a way changed: see which links of `host` (to `other`) are silent now."""
        for link in self._links.get(host, ()):
            if other and other not in link.up.way:
                continue
            server = link.server
            silent = (server is not None and server.process.stopped) or (
                bool(self.rates) and (self.is_cut(*link.up.way) or self.is_cut(*link.down.way))
            )
            if not silent:
                link.silent_from = None
            elif link.silent_from is None and link.reached:
                link.silent_from = self.clock.now
                limit = self._heartbeat_timeout_s + self._heartbeat_interval_s * self.rng.random()
                link.client.process.after(limit, self._heartbeat_missed, link, self.clock.now)

    def _heartbeat_missed(self, link: Link, since: float) -> None:
        if link.silent_from == since:
            link.give_up("disconnected")

    # -- what travels

    def delay_s(self) -> float:
        """Draw how long one message takes."""
        random, spread = self.rng.random, self.delay
        delay = spread.draw(self.rng) if spread.tail else spread.least_s - spread.more_s * math.log(1.0 - random())
        if self.loss:
            retransmissions = 0
            while retransmissions < _RETRANSMISSIONS_MAX and random() < self.loss:
                delay += _RTO_S * 2**retransmissions
                retransmissions += 1
        return delay

    def saw(self, frames: list[bytes]) -> None:
        """Count a message that was read."""
        self.messages += 1
        octets = zlib.crc32(frames[0]) if len(frames) == 1 else zlib.crc32(b"".join(frames))
        # Hashes of numbers and of tuples of them, unlike those of strings, are the same in every process.
        self.digest = hash((self.digest, self.clock.now, octets))
