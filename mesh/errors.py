"""Every exception of the mesh, and the status codes that travel on the wire.

    MeshError
      ConfigError (ValueError)          a setting, an address or a name cannot be used
      ClosedError                       used after close(), or before it was started
      ForkedError                       used in a child of the process that made it
      CallError                         a call ended without its answer
        NoServer (TimeoutError)         nobody who offers the method could be reached before the deadline
        CallTimeout (TimeoutError)      somebody had the call; no answer came before the deadline
        Overloaded                      every server refused, and went on refusing until the deadline
        OutcomeUnknown                  a method that must not be repeated may or may not have run
        RemoteError                     the server answered with an error
      ProtocolError
        LocalProtocolError (ValueError) what the caller gave cannot be sent
        RemoteProtocolError             what a peer sent cannot be read
      SpoolError                        a spool cannot be opened, or takes nothing any more
        SpoolFull                       its quota is used up
        SpoolCorrupt                    what lies in its file is not what was written

Exceptions carry data; the sentence is made in ``__str__``, so that programs need not parse it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

__all__ = [
    "Attempt",
    "CallError",
    "CallTimeout",
    "ClosedError",
    "ConfigError",
    "ForkedError",
    "LocalProtocolError",
    "MeshError",
    "NoServer",
    "OutcomeUnknown",
    "Overloaded",
    "ProtocolError",
    "RemoteError",
    "RemoteProtocolError",
    "SpoolCorrupt",
    "SpoolError",
    "SpoolFull",
    "Status",
]


class Status(enum.IntEnum):
    """gRPC's canonical status codes, by name and number (grpc/doc/statuscodes.md)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of a call at one server."""

    peer_id: str
    """Identity of the server that was tried."""
    name: str
    """Its human name."""
    address: str
    """The endpoint that was used, for example ``tcp://10.0.0.7:5555``."""
    started_s: float
    """Seconds from the beginning of the call to the beginning of this attempt."""
    elapsed_s: float
    """Seconds this attempt lasted."""
    result: str
    """How it ended: ``answered``, or a word and a reason, for example ``link lost``."""

    def __str__(self) -> str:
        return f"{self.name} ({self.address}) after {self.elapsed_s:.3f} s: {self.result}"


class MeshError(Exception):
    """Root of everything this package raises on purpose."""


class ConfigError(MeshError, ValueError):
    """A setting, an address or a name cannot be used; the sentence names it and says what can."""


class ClosedError(MeshError):
    """The client or server was used after it was closed, or before it was started."""


class ForkedError(MeshError):
    """A client or server was used in a forked child: sockets and threads do not survive a fork."""


class CallError(MeshError):
    """A call ended without its answer; carries who was tried, when, and how each attempt ended."""

    def __init__(
        self,
        message: str,
        *,
        method: str = "",
        call_id: int = 0,
        attempts: tuple[Attempt, ...] = (),
        elapsed_s: float = 0.0,
    ) -> None:
        super().__init__(message)
        self.message = message
        """What went wrong, in one sentence, without the attempts."""
        self.method = method
        """The full name of the method, ``service.method``."""
        self.call_id = call_id
        """Number of the call, unique in its client."""
        self.attempts = attempts
        """Every attempt, in order."""
        self.elapsed_s = elapsed_s
        """Seconds from the call to this error."""

    def __str__(self) -> str:
        if not self.attempts:
            return self.message
        tried = "; ".join(str(attempt) for attempt in self.attempts[-5:])
        more = f" ({len(self.attempts) - 5} earlier ones left out)" if len(self.attempts) > 5 else ""
        return f"{self.message} Tried {tried}{more}."


class NoServer(CallError, TimeoutError):
    """No server that offers the method could be reached before the deadline."""


class CallTimeout(CallError, TimeoutError):
    """A server had the call, and no answer came before the deadline."""


class Overloaded(CallError):
    """Every server refused the call for want of room, until the deadline."""


class OutcomeUnknown(CallError):
    """A call that must not be repeated was sent, and its server was lost before it answered."""


class RemoteError(CallError):
    """The server answered with an error.

    A handler may raise it too: ``raise RemoteError("no such order", code=Status.NOT_FOUND)`` chooses the status
    that the caller sees. Any other exception of a handler arrives as ``Status.UNKNOWN``.
    """

    def __init__(
        self,
        message: str,
        *,
        code: Status = Status.UNKNOWN,
        type: str = "",
        traceback: str = "",
        method: str = "",
        call_id: int = 0,
        attempts: tuple[Attempt, ...] = (),
        elapsed_s: float = 0.0,
    ) -> None:
        super().__init__(message, method=method, call_id=call_id, attempts=attempts, elapsed_s=elapsed_s)
        self.code = code
        """Canonical status."""
        self.type = type
        """Name of the exception's class on the server, for example ``ZeroDivisionError``."""
        self.traceback = traceback
        """The remote traceback, empty where the server does not expose it."""

    def __str__(self) -> str:
        where = f"{self.method}: " if self.method else ""
        kind = f"{self.type}: " if self.type else ""
        return f"{where}{self.code.name}: {kind}{self.message}"


class ProtocolError(MeshError):
    """The protocol was broken; the subclasses say by whom."""


class LocalProtocolError(ProtocolError, ValueError):
    """What the caller gave cannot be sent: a body over its limit, a malformed method name."""


class RemoteProtocolError(ProtocolError):
    """What a peer sent cannot be read."""


class SpoolError(MeshError):
    """A spool cannot be opened, or takes nothing any more until it is opened again."""

    def __init__(self, message: str, *, path: str = "") -> None:
        super().__init__(message)
        self.path = path
        """The spool's directory."""


class SpoolFull(SpoolError):
    """A record does not fit into the spool's quota; it was not put."""


class SpoolCorrupt(SpoolError):
    """What lies in the spool's file is not what was written."""
