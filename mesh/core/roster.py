"""Which servers a client knows, under which names, and which connection holds which address.

Discovery names a server by a key: its advertised id, or `static:HOST:PORT` where nobody knows its id yet. Only the
HELLO of a live connection proves an identity, so one server may stand under several keys, and a key may turn out to
mean another server after a restart. An address belongs to one connection at a time: libzmq takes both down when one of
two connections to the same endpoint fails, so an advertisement that names a healthy server's address is refused.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import TYPE_CHECKING

from discovery.model import Address, clean_name, id_problem, is_service
from mesh.core.liveness import State
from mesh.core.peers import BODY_UNBOUNDED, MESH, PROTOCOLS, Server
from mesh.core.routing import ANY

if TYPE_CHECKING:
    from discovery.model import Peer
    from mesh.core.peers import Connection
    from mesh.core.wire import Hello

__all__ = ["Roster", "hello_problem"]

_STATIC = "static:"
"""What the key of a record begins with that only says an address."""
_NAMED_MAX = 4096
"""Services and methods in one HELLO: a head has room for a hundred thousand, which would cost 20 MB for each server."""


class Roster:
    """The servers of one client."""

    def __init__(self, realm: str, peers_max: int, addresses_max: int, window_max: int) -> None:
        self._realm = realm
        self._peers_max = peers_max
        self._addresses_max = addresses_max
        self._window_max = window_max
        self._by_key: dict[str, Server] = {}
        self._by_name: dict[str, dict[Server, None]] = {}
        self._servers: dict[Server, None] = {}
        self.claims: dict[Address, Connection] = {}
        """Which live connection has an address."""
        self._aside: dict[str, Peer] = {}
        """Peers for which there was no room, the first ones of them."""
        self.refused: int = 0
        """Peers left aside because there were too many."""

    def __len__(self) -> int:
        return len(self._servers)

    def __iter__(self) -> Iterator[Server]:
        return iter(self._servers)

    def find(self, name_or_id: str) -> list[Server]:
        """Return the servers of this name, or the one with this key or identity."""
        named = self._by_name.get(name_or_id)
        if named:
            return list(named)
        server = self._by_key.get(name_or_id)
        return [server] if server is not None else []

    def record(self, peer: Peer) -> Server | None:
        """Take in what discovery says of a peer; None where there is no room for it: see `admit`."""
        server = self._by_key.get(peer.peer_id)
        if server is None:
            if len(self._servers) >= self._peers_max:
                self.refused += 1
                if peer.peer_id in self._aside or len(self._aside) < self._peers_max:
                    self._aside[peer.peer_id] = peer
                return None
            server = self._add(peer.name, _usable(tuple(peer.services)), self._proto(peer))
            self._by_key[peer.peer_id] = server
        server.records[peer.peer_id] = peer
        self._refresh(server, peer)
        return server

    def admit(self) -> Peer | None:
        """Return a peer that was left aside and is still advertised, now that there is room."""
        if not self._aside or len(self._servers) >= self._peers_max:
            return None
        return self._aside.pop(next(iter(self._aside)))

    def withdraw(self, key: str) -> Server | None:
        """Forget a record; the server stays as long as `drop` is not called."""
        self._aside.pop(key, None)
        server = self._by_key.get(key)
        if server is None or key not in server.records:
            return None
        del server.records[key]
        if server.identity != key:
            del self._by_key[key]
        if server.records:
            server.addresses = self._addresses(server)
        return server

    def drop(self, server: Server) -> None:
        """Forget a server that has no connection and that nobody advertises."""
        for key in [*server.records, server.identity]:
            if self._by_key.get(key) is server:
                del self._by_key[key]
        self._servers.pop(server, None)
        self._unname(server)

    def identify(self, conn: Connection, hello: Hello) -> tuple[Server, Server | None]:
        """Give a connection to the server that answered on it.

        Returns:
            The server it belongs to now, and the one it was dialled for if that is another.
        """
        dialled = conn.server
        if self.may_be(dialled, hello.peer_id):
            dialled.identity = hello.peer_id
            self._by_key[hello.peer_id] = dialled
            self._introduce(dialled, hello)
            return dialled, None
        known = self._by_key.get(hello.peer_id) or self._add(clean_name(hello.name), (), MESH)
        return self._move(conn, dialled, known, hello)

    def may_be(self, server: Server, identity: str) -> bool:
        """Return whether what is known of a server allows for this identity."""
        if server.identity:
            return server.identity == identity
        known = self._by_key.get(identity)
        if known is not None or not server.records:
            return known in (None, server)
        # Where every record names another id, an old advertisement led to whoever has the address now.
        return any(key.startswith(_STATIC) for key in server.records)

    def adopt(self, address: Address, dialled: Server, known: Server) -> None:
        """Let static records, which only say an address, follow it to the server that answers there."""
        for key in [key for key in dialled.records if key.startswith(_STATIC)]:
            if address in dialled.records[key].addresses:
                known.records[key] = dialled.records.pop(key)
                self._by_key[key] = known

    def _move(self, conn: Connection, dialled: Server, known: Server, hello: Hello) -> tuple[Server, Server | None]:
        known.identity = hello.peer_id
        self._by_key[hello.peer_id] = known
        dialled.conns.pop(conn.conn_id, None)
        known.conns[conn.conn_id] = conn
        conn.server = known
        dialled.addresses.pop(conn.address, None)
        known.addresses[conn.address] = None
        self.adopt(conn.address, dialled, known)
        self._introduce(known, hello)
        return known, dialled

    def _introduce(self, server: Server, hello: Hello) -> None:
        server.services = _usable(tuple(hello.services))
        server.once = frozenset(hello.once)
        server.version = clean_name(hello.version) if hello.version else ""
        server.body_max = hello.body_max or BODY_UNBOUNDED
        server.realm_note = "" if hello.realm == self._realm else self._other_realm(hello.realm)
        self._rename(server, clean_name(hello.name))

    def _refresh(self, server: Server, peer: Peer) -> None:
        server.addresses = self._addresses(server)
        if server.identity:
            return
        server.services = _usable(tuple(peer.services))
        server.version = peer.properties.get("ver", "")
        realm = peer.properties.get("realm", "")
        server.realm_note = "" if realm in ("", self._realm) else self._other_realm(realm)
        self._rename(server, peer.name)

    def _other_realm(self, realm: str) -> str:
        return f"it is in realm {realm!r}, this client in {self._realm!r}"

    def _addresses(self, server: Server) -> dict[Address, None]:
        """Every advertised address, and those that answer although nobody advertises them any more."""
        merged: dict[Address, None] = {}
        for record in server.records.values():
            merged.update(dict.fromkeys(record.addresses))
        cut = dict.fromkeys(list(merged)[: self._addresses_max])
        for conn in server.conns.values():
            if conn.state not in (State.CONNECTING, State.GONE):
                cut[conn.address] = None
        return cut

    @staticmethod
    def _proto(peer: Peer) -> str:
        proto = peer.properties.get("proto", MESH)
        return proto if proto in PROTOCOLS else MESH

    def _add(self, name: str, services: tuple[str, ...], proto: str) -> Server:
        server = Server(name, services, proto, self._window_max)
        self._servers[server] = None
        self._by_name.setdefault(name, {})[server] = None
        return server

    def _rename(self, server: Server, name: str) -> None:
        if name != server.name:
            self._unname(server)
            server.name = name
            self._by_name.setdefault(name, {})[server] = None

    def _unname(self, server: Server) -> None:
        named = self._by_name.get(server.name, {})
        named.pop(server, None)
        if not named:
            self._by_name.pop(server.name, None)


def hello_problem(hello: Hello) -> str:
    """Say what is wrong with what a server says of itself, or return an empty string."""
    if hello.peer_id.startswith(_STATIC):
        return "its id is one that only the user's own list gives"
    problem = id_problem(hello.peer_id)
    if problem:
        return f"its id {problem}"
    named = len(hello.services) + len(hello.once)
    return f"it names {named} services and methods; {_NAMED_MAX} are allowed" if named > _NAMED_MAX else ""


@functools.lru_cache(maxsize=16)  # hundreds of servers offer the same; few, for a list may be long
def _usable(services: tuple[str, ...]) -> tuple[str, ...]:
    """Return the services that can be offered, each once; the reserved one goes without saying."""
    return tuple(name for name in dict.fromkeys(services) if is_service(name) and name != ANY)
