"""One TCP connection between a simulated client and a simulated server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from mesh.sim.process import DOWN, MESSAGE, UP, Process
from mesh.sim.wire import Item, Mark, Wire, octets_of

if TYPE_CHECKING:
    from discovery.model import Address
    from mesh.sim.network import VirtualNetwork

__all__ = ["ClientEnd", "Link", "ServerEnd"]

_MONITOR_S = 0.0005
"""Mean time until a shell has seen that a link is lost; until then it may try to send."""


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

    def link_reached(self, conn_id: int) -> None:
        """The server's kernel has taken the connection."""

    def link_up(self, conn_id: int) -> None:
        """The handshake is done."""

    def link_lost(self, conn_id: int, why: str) -> None:
        """The link is lost, or could not be made."""

    def receive(self, conn_id: int, frames: list[bytes]) -> None:
        """A message has come."""

    def room(self) -> None:
        """A pipe that was full has room again."""


class Link:
    """One TCP connection from a client's ROUTER to a server's."""

    __slots__ = (
        "_network",
        "address",
        "client",
        "conn_id",
        "dialled_at",
        "down",
        "host",
        "open",
        "reached",
        "reader",
        "routing_id",
        "server",
        "silent_from",
        "sound",
        "up",
    )

    def __init__(self, network: VirtualNetwork, client: ClientEnd, conn_id: int, address: Address, number: int) -> None:
        self.client: ClientEnd = client
        self.conn_id: int = conn_id
        self.address: Address = address
        self.host: str = network.host_of(address)
        """Whose address this is."""
        self.routing_id: bytes = b"\0" + number.to_bytes(4, "big")
        """What the server's ROUTER calls this client."""
        self.reader: str = f"{client.process.name}.{client.process.life}"
        """Name of the process that has dialled, which no other life of it has."""
        self.server: ServerEnd | None = None
        """Set while the server holds its end."""
        self.open: bool = True
        """The client holds its end, and its transport believes in it."""
        self.reached: bool = False
        """The server's kernel has taken the connection."""
        self.silent_from: float | None = None
        self.sound: bool = True
        """The client's shell has not been told of a loss."""
        self.dialled_at: float = network.clock.now
        self._network = network
        name = client.process.name
        self.up: Wire = Wire(network, name, self.host, self._at_server, client.room)
        # A server's mark is 1000, and what is beyond waits in its shell: either way it waits.
        self.down: Wire = Wire(network, self.host, name, self._at_client)

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

    def _at_server(self, item: Item) -> None:
        if item is Mark.SYN:
            self._network.knocked(self)
        elif self.server is not None:
            process = self.server.process
            if process.alive and not process.stopped:
                self._read_by_server(item)
            else:
                process.deliver(MESSAGE, self._read_by_server, item)

    def _read_by_server(self, item: Item) -> None:
        server = self.server
        if server is None:
            return
        if isinstance(item, Mark):
            self.server = None
            server.lost(self)
            self._network.forget(self)
        else:
            self.up.taken(octets_of(item))
            self._network.saw(item)
            server.receive(self, item)

    def _at_client(self, item: Item) -> None:
        process = self.client.process
        if item is Mark.END:
            self.give_up("disconnected" if self.reached else "connection refused")
        elif process.alive and not process.stopped:
            self._read_by_client(item)
        else:
            process.deliver(UP if isinstance(item, Mark) else MESSAGE, self._read_by_client, item)

    def _read_by_client(self, item: Item) -> None:
        if not isinstance(item, Mark):
            self.down.taken(octets_of(item))
            self._network.saw(item)
            if self.sound:
                self.client.receive(self.conn_id, item)
        elif self.sound and self.open:
            tell = self.client.link_reached if item is Mark.REACHED else self.client.link_up
            tell(self.conn_id)
