"""Which servers a client knows, under which names, and which connection holds which address.

Discovery names a server by a key: its advertised id, or `static:HOST:PORT` where nobody knows its id yet. Only the
HELLO of a live connection proves an identity, so one server may stand under several keys, and a key may turn out to
mean another server after a restart. An address belongs to one connection at a time: libzmq takes both down when one of
two connections to the same endpoint fails, so an advertisement that names a healthy server's address is refused.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from discovery.model import Address
from mesh.core.liveness import State
from mesh.core.peers import MESH, PROTOCOLS, Server

if TYPE_CHECKING:
    from discovery.model import Peer
    from mesh.core.peers import Connection
    from mesh.core.wire import Hello

__all__ = ["Roster"]


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
        self.refused = 0
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

    def record(self, peer: Peer, now: float) -> Server | None:
        """Take in what discovery says of a peer; None where there is no room for it."""
        server = self._by_key.get(peer.peer_id)
        if server is None:
            if len(self._servers) >= self._peers_max:
                self.refused += 1
                return None
            server = self._add(peer.name, peer.services, self._proto(peer))
            self._by_key[peer.peer_id] = server
        server.records[peer.peer_id] = peer
        server.seen_at = now
        self._refresh(server, peer)
        return server

    def withdraw(self, key: str) -> Server | None:
        """Forget a record; the server stays as long as `drop` is not called."""
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
        known = self._by_key.get(hello.peer_id)
        if dialled.identity in ("", hello.peer_id) and known in (None, dialled):
            if not dialled.identity and known is None and self._is_stale(dialled, hello.peer_id):
                return self._move(conn, dialled, self._add(hello.name, (), MESH), hello)
            dialled.identity = hello.peer_id
            self._by_key[hello.peer_id] = dialled
            self._introduce(dialled, hello)
            return dialled, None
        if known is None:
            known = self._add(hello.name, (), MESH)
        return self._move(conn, dialled, known, hello)

    @staticmethod
    def _is_stale(dialled: Server, identity: str) -> bool:
        """Every record names another id: an old advertisement led to whoever has the address now."""
        return bool(dialled.records) and not any(
            key == identity or key.startswith("static:") for key in dialled.records
        )

    def _move(self, conn: Connection, dialled: Server, known: Server, hello: Hello) -> tuple[Server, Server | None]:
        known.identity = hello.peer_id
        self._by_key[hello.peer_id] = known
        dialled.conns.pop(conn.conn_id, None)
        known.conns[conn.conn_id] = conn
        conn.server = known
        dialled.addresses.pop(conn.address, None)
        known.addresses[conn.address] = None
        for key in [key for key in dialled.records if key.startswith("static:")]:
            if conn.address in dialled.records[key].addresses:
                known.records[key] = dialled.records.pop(key)
                self._by_key[key] = known
        self._introduce(known, hello)
        return known, dialled

    def _introduce(self, server: Server, hello: Hello) -> None:
        server.services = tuple(dict.fromkeys(hello.services))
        server.once = frozenset(hello.once)
        server.version = hello.version
        server.body_max = hello.body_max
        server.realm_note = "" if hello.realm == self._realm else self._other_realm(hello.realm)
        self._rename(server, hello.name)

    def _refresh(self, server: Server, peer: Peer) -> None:
        server.addresses = self._addresses(server)
        if server.identity:
            return
        server.services = peer.services
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
