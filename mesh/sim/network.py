"""The network between simulated clients and servers, as TCP and libzmq make it look.

A lost packet is a delay. A cut is silence: bytes wait in the sender's kernel until it heals, or until the client's
heartbeat gives the link up. A killed process is the end of its connections at once; whether what it had sent still
arrives is a matter of luck. A stopped process is silence as well, but its kernel goes on taking connections and bytes.
Order is kept on each connection.
"""

from __future__ import annotations

import enum
import random
import zlib
from collections import deque
from collections.abc import Callable
from typing import Protocol, TypeAlias

from discovery.model import Address
from mesh.sim.clock import VirtualClock
from mesh.sim.faults import Faults
from mesh.sim.process import DOWN, MESSAGE, UP, Process

__all__ = ["ClientEnd", "Link", "ServerEnd", "VirtualNetwork", "Wire"]

_RTO_S = 0.2
"""First retransmission of TCP on Linux; each further one doubles it."""
_RETRANSMISSIONS_MAX = 5
_IO_THREAD_S = 0.00002
"""Until libzmq's thread has taken a message out of the pipe."""
_KERNEL_OCTETS_MAX = 256 * 1024
"""What the kernels of both ends hold for a receiver that does not read."""
_MONITOR_S = 0.0005
"""Mean time until a shell has seen that a link is lost; until then it may try to send."""


class Mark(enum.Enum):
    """What travels on a wire beside messages."""

    SYN = "syn"
    UP = "up"
    END = "end"


_Item: TypeAlias = "list[bytes] | Mark"


class ServerEnd(Protocol):
    """The socket of a server."""

    process: Process

    def receive(self, link: Link, frames: list[bytes]) -> None:
        """A message has come."""

    def lost(self, link: Link) -> None:
        """The client's end of the link is closed."""


class ClientEnd(Protocol):
    """The socket of a client."""

    process: Process

    def link_up(self, conn_id: int) -> None:
        """The handshake is done."""

    def link_lost(self, conn_id: int, why: str) -> None:
        """The link is lost, or could not be made."""

    def receive(self, conn_id: int, frames: list[bytes]) -> None:
        """A message has come."""

    def room(self) -> None:
        """A pipe that was full has room again."""


class Wire:
    """One direction of a link: the pipe, the kernels and what lies between them."""

    def __init__(
        self, network: VirtualNetwork, source: str, target: str, pipe_max: int, take: Callable[[_Item], None]
    ) -> None:
        self.source = source
        self.target = target
        self.octets: int = 0
        """Octets on their way or in the receiver's kernel."""
        self.on_room: Callable[[], None] = _nothing
        self._network = network
        self._pipe_max = pipe_max
        self._take = take
        self._pipe: deque[list[bytes]] = deque()
        self._scheduled = False
        self._refused = False
        self._held: deque[_Item] = deque()
        """What came to the cut and waits for it to heal."""
        self._last_at = 0.0
        self._epoch = 0

    def send(self, frames: list[bytes]) -> bool:
        """Put a message into the pipe; False if that is full."""
        if len(self._pipe) >= self._pipe_max:
            self._refused = True
            return False
        self._pipe.append(frames)
        self._soon()
        return True

    def mark(self, mark: Mark) -> None:
        """Send a mark behind what has left the pipe."""
        self._launch(mark)

    def close(self, *, abruptly: bool) -> None:
        """Drop what is in the pipe, if `abruptly` also what is on its way, and tell the other end."""
        self._pipe.clear()
        if abruptly:
            self._epoch += 1
            self._held.clear()
            self._last_at = 0.0
        self._launch(Mark.END)

    def taken(self, frames: list[bytes]) -> None:
        """The receiver has read a message."""
        self.octets -= sum(map(len, frames))
        if self._pipe:
            self._soon()

    def heal(self) -> None:
        """What was held goes on when TCP tries again."""
        if self._held:
            self._network.clock.after(self._network.rng.random() * _RTO_S * 2, self._release, self._epoch)

    def _soon(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._network.clock.after(_IO_THREAD_S, self._empty)

    def _empty(self) -> None:
        self._scheduled = False
        while self._pipe and self.octets < _KERNEL_OCTETS_MAX:
            frames = self._pipe.popleft()
            self.octets += sum(map(len, frames))
            self._launch(frames)
        if self._refused and len(self._pipe) < self._pipe_max:
            self._refused = False
            self.on_room()

    def _launch(self, item: _Item) -> None:
        clock = self._network.clock
        self._last_at = max(self._last_at, clock.now + self._network.delay_s())
        clock.at(self._last_at, self._arrive, self._epoch, item)

    def _arrive(self, epoch: int, item: _Item) -> None:
        if epoch != self._epoch:
            return
        if self._held or self._network.is_cut(self.source, self.target):
            self._held.append(item)
        else:
            self._take(item)

    def _release(self, epoch: int) -> None:
        if epoch == self._epoch and not self._network.is_cut(self.source, self.target):
            held, self._held = self._held, deque()
            for item in held:
                self._take(item)


class Link:
    """One TCP connection from a client's ROUTER to a server's."""

    def __init__(self, network: VirtualNetwork, client: ClientEnd, conn_id: int, address: Address, number: int) -> None:
        host = network.host_of(address)
        self.client = client
        self.conn_id = conn_id
        self.address = address
        self.routing_id: bytes = b"\0" + number.to_bytes(4, "big")
        """What the server's ROUTER calls this client."""
        self.server: ServerEnd | None = None
        """Set while the server holds its end."""
        self.open: bool = True
        """The client holds its end, and its transport believes in it."""
        self.reached = False
        """The server's kernel has taken the connection."""
        self.silent_from: float | None = None
        self.sound: bool = True
        """The client's shell has not been told of a loss."""
        self._network = network
        self.up: Wire = Wire(network, client.process.name, host, 1, self._at_server)
        self.up.on_room = client.room
        # A server's mark is 1000, and what is beyond waits in its shell: either way it waits.
        self.down: Wire = Wire(network, host, client.process.name, 1 << 30, self._at_client)

    def close(self) -> None:
        """The client takes the link down: nothing more is heard of it there."""
        if self.sound:
            self.sound = False
            if self.open:
                self.open = False
                self.up.close(abruptly=False)
            self._network.forget(self)

    def cut_by_server(self, *, abruptly: bool) -> None:
        """The server's end is closed by its process or by the death of it."""
        self.server = None
        self.down.close(abruptly=abruptly)
        self._network.forget(self)

    def give_up(self, why: str) -> None:
        """The client's transport has lost the link; its shell will see that in a moment."""
        if not self.open:
            return
        self.open = False
        self.up.close(abruptly=False)
        delay = self._network.rng.expovariate(1.0 / _MONITOR_S)
        self._network.clock.after(delay, self.client.process.deliver, DOWN, self._tell_lost, why)

    def _tell_lost(self, why: str) -> None:
        if self.sound:
            self.sound = False
            self._network.forget(self)
            self.client.link_lost(self.conn_id, why)

    def _at_server(self, item: _Item) -> None:
        if item is Mark.SYN:
            self._network.knocked(self)
        elif self.server is not None:
            self.server.process.deliver(MESSAGE, self._read_by_server, item)

    def _read_by_server(self, item: _Item) -> None:
        server = self.server
        if server is None:
            return
        if isinstance(item, Mark):
            self.server = None
            server.lost(self)
            self._network.forget(self)
        else:
            self.up.taken(item)
            self._network.saw(item)
            server.receive(self, item)

    def _at_client(self, item: _Item) -> None:
        if item is Mark.END:
            self.give_up("disconnected" if self.reached else "connection refused")
        else:
            self.client.process.deliver(UP if item is Mark.UP else MESSAGE, self._read_by_client, item)

    def _read_by_client(self, item: _Item) -> None:
        if not isinstance(item, Mark):
            self.down.taken(item)
            self._network.saw(item)
            if self.sound:
                self.client.receive(self.conn_id, item)
        elif self.sound and self.open:
            self.client.link_up(self.conn_id)


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
        self._faults = faults
        self._connect_timeout_s = connect_timeout_s
        self._heartbeat_interval_s = heartbeat_interval_s
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._hosts: dict[str, str] = {}
        self._listeners: dict[Address, ServerEnd] = {}
        self._links: dict[Link, None] = {}
        self._cuts: dict[tuple[str, str], None] = {}
        self._numbers = 0

    def name_host(self, address: Address, host: str) -> None:
        """Say whose address this is."""
        self._hosts[address.host] = host

    def host_of(self, address: Address) -> str:
        """Return the host with this address; a name of its own if there is none."""
        return self._hosts.get(address.host, address.host)

    def listen(self, address: Address, server: ServerEnd) -> None:
        """Take connections."""
        self._listeners[address] = server

    def unlisten(self, address: Address, *, abruptly: bool) -> None:
        """Take no more connections and close those there are; `abruptly` if the process has died."""
        server = self._listeners.pop(address)
        for link in list(self._links):
            if link.server is server:
                link.cut_by_server(abruptly=abruptly and self.rng.random() < 0.5)

    def dial(self, client: ClientEnd, conn_id: int, address: Address) -> Link:
        """Begin a connection; `link_up` or `link_lost` follows, or silence."""
        self._numbers += 1
        link = Link(self, client, conn_id, address, self._numbers)
        self._links[link] = None
        link.up.mark(Mark.SYN)
        self.clock.after(self._connect_timeout_s * (0.95 + 0.1 * self.rng.random()), self._dial_timed_out, link)
        return link

    def knocked(self, link: Link) -> None:
        """A connection has reached the host: its kernel takes it if anybody listens, stopped or not."""
        server = self._listeners.get(link.address)
        if server is None:
            link.down.mark(Mark.END)
            return
        link.reached = True
        link.server = server
        self._links[link] = None
        # Once for the kernel's answer, once for the handshake, which needs the process.
        server.process.deliver(MESSAGE, self._shake_hands, link)

    def _shake_hands(self, link: Link) -> None:
        self.clock.after(2 * self.delay_s(), link.down.mark, Mark.UP)

    def _dial_timed_out(self, link: Link) -> None:
        if not link.reached:
            link.give_up("connection refused")

    def forget(self, link: Link) -> None:
        """Leave out a link that both ends have let go of."""
        if link.server is None and not link.sound:
            self._links.pop(link, None)

    def is_cut(self, source: str, target: str) -> bool:
        """Tell whether nothing gets from one host to the other."""
        return (source, target) in self._cuts

    def cut(self, source: str, target: str) -> None:
        """Let nothing through in this direction."""
        self._cuts[source, target] = None
        self.look_for_silence()

    def heal(self, source: str, target: str) -> None:
        """Let everything through again in this direction."""
        self._cuts.pop((source, target), None)
        for link in list(self._links):
            for wire in (link.up, link.down):
                if (wire.source, wire.target) == (source, target):
                    wire.heal()
        self.look_for_silence()

    def cuts(self) -> list[tuple[str, str]]:
        """Return every direction that is cut."""
        return list(self._cuts)

    def look_for_silence(self) -> None:
        """A process was stopped or thawed, or a cut made or healed: see which links are silent now."""
        for link in self._links:
            server = link.server
            stopped = server is not None and server.process.stopped
            cut = self.is_cut(link.up.source, link.up.target) or self.is_cut(link.up.target, link.up.source)
            if not stopped and not cut:
                link.silent_from = None
            elif link.silent_from is None and link.reached:
                link.silent_from = self.clock.now
                limit = self._heartbeat_timeout_s + self._heartbeat_interval_s * self.rng.random()
                link.client.process.after(limit, self._heartbeat_missed, link, self.clock.now)

    def _heartbeat_missed(self, link: Link, since: float) -> None:
        if link.silent_from == since:
            link.give_up("disconnected")

    def delay_s(self) -> float:
        """Draw how long one message takes."""
        rng, faults = self.rng, self._faults
        delay = faults.delay.draw(rng)
        if faults.loss:
            retransmissions = 0
            while retransmissions < _RETRANSMISSIONS_MAX and rng.random() < faults.loss:
                delay += _RTO_S * 2**retransmissions
                retransmissions += 1
        return delay

    def saw(self, frames: list[bytes]) -> None:
        """Count a message that was read."""
        self.messages += 1
        digest = zlib.crc32(b"%.9f" % self.clock.now, self.digest)
        for frame in frames:
            digest = zlib.crc32(frame, digest)
        self.digest = digest


def _nothing() -> None:
    return
