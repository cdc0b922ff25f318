"""Somebody who sees what becomes of a client's calls: metrics, traces.

He stands around `handle` of one core, between what happened and what is to be done about it. A core that nobody
observes is as it was, and has nothing to ask for each call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from mesh.core.actions import ClientAction, Finish, Send, SendFrames
from mesh.core.calls import PendingCall
from mesh.core.events import CallAbandoned, ClientEvent
from mesh.core.wire import Call
from mesh.errors import CallTimeout, MeshError, NoServer, Overloaded, ProtocolError, RemoteError, Status

__all__ = ["CallObserver", "Handle", "observed", "status_of"]

Handle: TypeAlias = Callable[[ClientEvent, float], list[ClientAction]]
"""`ClientCore.handle`."""

_STATUS: tuple[tuple[type[MeshError], Status], ...] = (
    (NoServer, Status.UNAVAILABLE),
    (CallTimeout, Status.DEADLINE_EXCEEDED),
    (Overloaded, Status.RESOURCE_EXHAUSTED),
    (ProtocolError, Status.INVALID_ARGUMENT),
)


def status_of(error: MeshError | None) -> Status:
    """Return the status of how a call ended: that of the server, or what stands for an error of the client."""
    if error is None:
        return Status.OK
    if isinstance(error, RemoteError):
        return error.code
    return next((status for kind, status in _STATUS if isinstance(error, kind)), Status.UNKNOWN)


class CallObserver(Protocol):
    """Is told of calls in the thread that drives the client: it must be quick, and must not call the client."""

    def sent(self, call: PendingCall, metadata: dict[str, str] | None) -> dict[str, str] | None:
        """An attempt is about to leave for `call.at`; return the metadata that is to travel with it."""

    def finished(self, call: PendingCall, now: float) -> None:
        """The call has ended, and its caller is about to be told."""

    def abandoned(self, call: PendingCall, now: float) -> None:
        """Its caller has given up, and is told nothing."""


def observed(handle: Handle, calls: Mapping[int, PendingCall], observer: CallObserver) -> Handle:
    """Return what takes the place of `handle`.

    Args:
        handle: Decides.
        calls: The calls that have not ended, by id.
        observer: Sees what was decided.
    """

    def handle_observed(event: ClientEvent, now: float) -> list[ClientAction]:
        abandoned = event.call if type(event) is CallAbandoned and not event.call.done else None
        actions = handle(event, now)
        if abandoned is not None:
            observer.abandoned(abandoned, now)
        for action in actions:
            kind = type(action)
            if kind is Finish:
                for ended in action.calls:  # type: ignore[union-attr]
                    if type(ended) is PendingCall:
                        observer.finished(ended, now)
            elif kind is Send:
                for record in action.records:  # type: ignore[union-attr]
                    if type(record) is Call and (call := calls.get(record.call_id)) is not None:
                        record.metadata = observer.sent(call, record.metadata)
            elif kind is SendFrames and (call := calls.get(action.call_id)) is not None:  # type: ignore[union-attr]
                observer.sent(call, None)
        return actions

    return handle_observed
