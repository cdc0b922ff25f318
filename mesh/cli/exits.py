"""The exit codes of the command line, in one table."""

from __future__ import annotations

import enum

from discovery import DiscoveryError, DiscoveryValueError
from mesh import (
    CallTimeout,
    ConfigError,
    LocalProtocolError,
    NoServer,
    OutcomeUnknown,
    Overloaded,
    RemoteError,
    RemoteProtocolError,
    SpoolCorrupt,
    SpoolFull,
)

__all__ = ["EPILOG", "Exit", "UsageError", "exit_code"]

_REMOTE = 64
"""Added to the status of a remote error, as grpcurl does."""


class Exit(enum.IntEnum):
    """What a program that called `mesh` may want to tell apart."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NO_SERVER = 3
    TIMEOUT = 4
    OVERLOADED = 5
    OUTCOME_UNKNOWN = 6
    UNREADABLE = 7
    NETWORK = 8
    BUG = 9
    INTERRUPTED = 130
    PIPE = 141


class UsageError(Exception):
    """What was written on the command line cannot be used; the sentence says what can."""


_CODES: tuple[tuple[type[BaseException], Exit], ...] = (
    (UsageError, Exit.USAGE),
    (ConfigError, Exit.USAGE),
    (LocalProtocolError, Exit.USAGE),
    (DiscoveryValueError, Exit.USAGE),
    (NoServer, Exit.NO_SERVER),
    (CallTimeout, Exit.TIMEOUT),
    (Overloaded, Exit.OVERLOADED),
    (SpoolFull, Exit.OVERLOADED),
    (OutcomeUnknown, Exit.OUTCOME_UNKNOWN),
    (RemoteProtocolError, Exit.UNREADABLE),
    (SpoolCorrupt, Exit.UNREADABLE),
    (DiscoveryError, Exit.NETWORK),
)

EPILOG = """\
exit codes:
  0      done
  1      a server did not answer, one of many calls failed, the output could not be written
  2      the command line, a setting, an address or a name cannot be used
  3      no server that offers the method could be reached in time
  4      a server had the call, and no answer came in time; calls were left when drain --wait gave up
  5      every server refused the call for want of room; the spool is full
  6      the method must not run twice, and its server was lost
  7      the answer, or the file of a spool, could not be read
  8      the network cannot be used for discovery
  9      a fault of this program
  65-80  the method failed: 64 + its gRPC status, such as 67 INVALID_ARGUMENT or 76 UNIMPLEMENTED
  130    Ctrl-C
  141    nobody reads the output

environment: MESH_INTERFACE, MESH_REALM and MESH_SERVERS stand for --interface, --realm and --server
(servers named there are used beside those that are discovered); MESH_NO_CACHE=1 stands for call --no-cache;
MESH_DEBUG=1 shows the traceback of an error.
"""


def exit_code(error: BaseException) -> int:
    """Return the exit code of an error that ends a command."""
    if isinstance(error, RemoteError):
        return _REMOTE + error.code
    return next((code for kind, code in _CODES if isinstance(error, kind)), Exit.FAILED)
