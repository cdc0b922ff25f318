"""What happened: the inputs of the cores, in the past tense.

Changes of discovery (`PeerAdded`, `PeerUpdated`, `PeerRemoved`) are events as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from discovery.model import PeerAdded, PeerRemoved, PeerUpdated

if TYPE_CHECKING:
    from mesh.core.calls import PendingCall, Watch
    from mesh.core.wire import Body, Detail
    from mesh.core.work import Work

__all__ = [
    "CallAbandoned",
    "CallsRequested",
    "ClientEvent",
    "LinkDown",
    "LinkReached",
    "LinkUp",
    "PeerAdded",
    "PeerRemoved",
    "PeerUpdated",
    "Received",
    "RepliesGiven",
    "ReplyGiven",
    "RequestReceived",
    "ServerEvent",
    "Stopping",
    "Tick",
    "WatchRequested",
]


class LinkReached(msgspec.Struct, frozen=True, gc=False):
    """Somebody has taken this connection (TCP); its handshake may yet need time."""

    conn_id: int


class LinkUp(msgspec.Struct, frozen=True, gc=False):
    """The transport's handshake of this connection is complete."""

    conn_id: int


class LinkDown(msgspec.Struct, frozen=True):
    """This connection is lost, or was never made; its id will not be seen again."""

    conn_id: int
    why: str
    unsent: tuple[int, ...] = ()
    """Ids of calls that were still in the outbox: never written, so provably never run."""


class Received(msgspec.Struct, frozen=True, gc=False):
    """A message came from a server."""

    conn_id: int
    frames: list[bytes]


class CallsRequested(msgspec.Struct, frozen=True, gc=False):
    """Somebody wants calls made, and waits for their outcomes."""

    calls: list[PendingCall]


class CallAbandoned(msgspec.Struct, frozen=True, gc=False):
    """Nobody waits for this call any more."""

    call: PendingCall


class WatchRequested(msgspec.Struct, frozen=True, gc=False):
    """Somebody waits until enough servers are alive."""

    watch: Watch


class Tick(msgspec.Struct, frozen=True, gc=False):
    """Time has passed."""


class Stopping(msgspec.Struct, frozen=True, gc=False):
    """No more calls: a server begins to drain, a client fails what is open."""


class RequestReceived(msgspec.Struct, frozen=True, gc=False):
    """A message came from a client with this routing frame."""

    client: bytes
    frames: list[bytes]


class ReplyGiven(msgspec.Struct, frozen=True, gc=False):
    """A handler ended; `detail` and a status other than 0 say that it failed. Cores are told in `RepliesGiven`."""

    work: Work
    body: Body = b""
    status: int = 0
    detail: Detail | None = None
    ran: bool = True
    """False: it was not begun, because its caller had given up by then."""
    took_s: float = 0.0
    """From its begin to its end, in seconds."""


class RepliesGiven(msgspec.Struct, frozen=True, gc=False):
    """Handlers ended, in this order; those of the inline lane come by themselves, all that have run in one turn."""

    replies: list[ReplyGiven]


ClientEvent: TypeAlias = (
    PeerAdded
    | PeerUpdated
    | PeerRemoved
    | LinkReached
    | LinkUp
    | LinkDown
    | Received
    | CallsRequested
    | CallAbandoned
    | WatchRequested
    | Tick
    | Stopping
)
ServerEvent: TypeAlias = RequestReceived | RepliesGiven | Tick | Stopping
