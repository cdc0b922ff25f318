"""A server as others may see it: a read-only value for people, programs and tests."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mesh.core.liveness import State
from mesh.core.methods import nearest
from mesh.core.peers import MESH
from mesh.core.wire import ServerState

if TYPE_CHECKING:
    from discovery.model import Address
    from mesh.core.peers import Server

__all__ = ["AddressView", "ServerView", "describe_servers", "view_of"]


@dataclass(frozen=True, slots=True)
class AddressView:
    """One address of a server, and what came of dialling it."""

    endpoint: str
    state: str
    """State of its connection as in `ServerView`; without one `spare` where another address is in use, else
    `waiting`."""
    note: str
    """Why it has no connection, or has none any more."""


@dataclass(frozen=True, slots=True)
class ServerView:
    """One server as a client knows it at one moment."""

    name: str
    peer_id: str
    """Its own id once it has answered; before, the advertised one."""
    state: str
    """`alive`, `suspect`, `dead`, `draining`, `ejected` (it fails while others succeed), `proving`, `connecting`,
    `waiting` (between dials) or `ignored`."""
    services: tuple[str, ...]
    address: str
    """Endpoint in use, else the first advertised one; empty if there is none."""
    addresses: tuple[str, ...]
    sources: tuple[str, ...]
    """Where it was learnt: `mdns`, `static`, `memory`; empty: it answers, but nobody advertises it."""
    proto: str
    version: str
    rtt_s: float | None
    """Smoothed round trip of PINGs in seconds; None before the first."""
    latency_p50_s: float
    latency_p99_s: float
    in_flight: int
    window: int
    load: int
    """Calls that the server had not answered when it last spoke."""
    answered: int
    errors: int
    last_seen_s: float | None
    """Seconds since its last sign of life; None if it never gave one."""
    note: str
    """Why it is in this state, where that needs saying."""
    tried: tuple[AddressView, ...] = ()
    """Each of its addresses, and what came of dialling it."""
    txt: Mapping[str, str] = field(default_factory=dict, hash=False)
    """What it advertises in its TXT record (RFC 6763 section 6); empty where it is only known by its address."""

    def takes(self, service: str) -> bool:
        """Tell whether it is alive and offers the service; the empty one stands for any."""
        return self.state == "alive" and (not service or service in self.services)


def view_of(server: Server, now: float) -> ServerView:
    """Return the server as it stands at `now`."""
    conn = server.active
    state = server.state()
    if server.realm_note:
        word = "ignored"
    elif conn is not None and server.server_state != ServerState.SERVING:
        word = "draining"
    elif server.ejected_until and state is State.ALIVE:
        word = "ejected"
    else:
        word = state.value if state is not None else "waiting"
    addresses = tuple(f"tcp://{address}" for address in server.addresses)
    sources = dict.fromkeys(source for record in server.records.values() for source in record.sources)
    return ServerView(
        name=server.name,
        peer_id=server.peer_id,
        state=word,
        services=server.services,
        address=conn.endpoint if conn is not None else (addresses[0] if addresses else ""),
        addresses=addresses,
        sources=tuple(sorted(sources)),
        proto=server.proto,
        version=server.version,
        rtt_s=conn.rtt.value_s if conn is not None and conn.rtt.count else None,
        latency_p50_s=server.histogram.percentile_s(0.5),
        latency_p99_s=server.histogram.percentile_s(0.99),
        in_flight=len(conn.inflight) if conn is not None else 0,
        window=server.window,
        load=server.load,
        answered=server.answered,
        errors=server.errors,
        last_seen_s=now - conn.heard_at if conn is not None else None,
        note=_note(server, word, now),
        tried=tuple(_address_view(server, address) for address in server.addresses),
        txt=_txt(server),
    )


def _address_view(server: Server, address: Address) -> AddressView:
    for conn in server.conns.values():
        if conn.address == address:
            return AddressView(conn.endpoint, conn.state.value, "")
    state = "spare" if server.active is not None else "waiting"
    return AddressView(f"tcp://{address}", state, server.tried.get(address, ""))


def _txt(server: Server) -> dict[str, str]:
    for key, peer in server.records.items():
        if peer.sources != ("static",):
            return {"id": key, "svc": ",".join(peer.services), **peer.properties}
    return {}


def _note(server: Server, word: str, now: float) -> str:
    if word == "ejected":
        share, left_s = round(100 * server.failing), server.ejected_until - now
        return f"{share} % of its answers were failures; back in {max(0.0, left_s):.1f} s"
    return server.realm_note or ("" if server.active is not None else server.failure)


def describe_servers(service: str, servers: Iterable[Server], now: float, *, peer: str = "", plain: bool = True) -> str:
    """Say which servers were seen and in which states: what somebody asks who got no server."""
    views = [view_of(server, now) for server in servers]
    if not views:
        return "No server was seen at all: is one running, on this network and in this realm?"
    wanted = [view for view in views if peer in ("", view.name, view.peer_id)]
    if not wanted:
        return f"No server is called {peer!r}; seen: {_names(views)}."
    offering = [view for view in wanted if not service or service == "mesh" or service in view.services]
    if offering:
        if not plain and all(view.proto != MESH for view in offering):
            return (
                f"{offering[0].name} speaks {offering[0].proto} and takes only raw requests: use request(), or --raw."
            )
        return "Seen: " + "; ".join(_sentence(view) for view in offering[:8]) + "."
    known = sorted({name for view in wanted if view.state != "ignored" for name in view.services})
    near = nearest(service, known)
    hint = f" Did you mean {' or '.join(near)}?" if near else ""
    offered = f"offered are: {', '.join(known[:12])}" if known else f"seen: {_names(wanted)}"
    return f"Nobody offers {service!r}; {offered}.{hint}"


def _sentence(view: ServerView) -> str:
    note = f", {view.note}" if view.note else ""
    return f"{view.name} ({view.address or 'no address'}) {view.state}{note}"


def _names(views: list[ServerView]) -> str:
    return ", ".join(f"{view.name} ({view.state})" for view in views[:8])
