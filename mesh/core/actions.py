"""What to do: outputs of the cores, in the imperative; the shell performs a list in order, before the next event."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import msgspec

from discovery.model import Address

if TYPE_CHECKING:
    from mesh.core.calls import PendingCall, Watch
    from mesh.core.wire import Record
    from mesh.core.work import Work

__all__ = [
    "Answer",
    "AnswerFrames",
    "Cancel",
    "ClientAction",
    "ClientActions",
    "Connect",
    "Disconnect",
    "Finish",
    "Handle",
    "Notice",
    "Search",
    "Send",
    "SendFrames",
    "ServerAction",
]


class Connect(msgspec.Struct, frozen=True):
    """Dial this address. The id was never used before, and no other live connection has the address."""

    conn_id: int
    address: Address
    proto: str
    """`mesh/1` and `flp` share the ROUTER; `rep` gets a DEALER, for a ROUTER cannot handshake with a REP socket."""


class Disconnect(msgspec.Struct, frozen=True, gc=False):
    """Take this connection down and drop what is queued for it; no event follows."""

    conn_id: int


class Send(msgspec.Struct, frozen=True, gc=False):
    """Put records into the outbox of a connection. They leave with the next message, at the end of this turn."""

    conn_id: int
    records: list[Record]


class SendFrames(msgspec.Struct, frozen=True, gc=False):
    """The same for a server that does not speak mesh/1: one message of its own. `call_id` is 0 for a PING."""

    conn_id: int
    frames: list[bytes]
    call_id: int


class Finish(msgspec.Struct, frozen=True, gc=False):
    """Tell the waiting callers; the outcomes are in the calls (`body` or `error`). Once per call."""

    calls: list[PendingCall | Watch]


class Notice(msgspec.Struct, frozen=True):
    """Tell whoever watches; nothing depends on it."""

    kind: str
    """A short word to filter by: `peer`, `garbage`, `refused`, `limit`."""
    text: str


class Search(msgspec.Struct, frozen=True):
    """Have discovery ask who is there; whoever it finds comes as an event."""


class Handle(msgspec.Struct, frozen=True, gc=False):
    """Run these handlers, those of the inline lane one after the other, then feed what each has given exactly once."""

    works: list[Work]


class Cancel(msgspec.Struct, frozen=True, gc=False):
    """Tell a running handler that nobody waits for it."""

    work: Work


class Answer(msgspec.Struct, frozen=True, gc=False):
    """Put records into the outbox of a client; the list is the shell's from then on."""

    client: bytes
    records: list[Record]


class AnswerFrames(msgspec.Struct, frozen=True, gc=False):
    """Send these frames to a client as one message, now."""

    client: bytes
    frames: list[bytes]


ClientAction: TypeAlias = Connect | Disconnect | Send | SendFrames | Finish | Search | Notice
ServerAction: TypeAlias = Handle | Cancel | Answer | AnswerFrames | Notice


class ClientActions(list[ClientAction]):
    """What one event brings about at a client.

    A message answers many calls at once, and each of them may be followed by the next: one action for all records of a
    connection and one for all calls that have ended cost less than one for each.
    """

    __slots__ = ("_ended", "_records")

    def __init__(self) -> None:
        super().__init__()
        self._records: dict[int, list[Record]] = {}
        self._ended: list[PendingCall | Watch] = []

    def send(self, conn_id: int, record: Record) -> None:
        """Send a record, after those that are sent to the same connection already."""
        records = self._records.get(conn_id)
        if records is None:
            records = self._records[conn_id] = []
            self.append(Send(conn_id, records))
        records.append(record)

    def finish(self, call: PendingCall | Watch) -> None:
        """Tell the caller."""
        ended = self._ended
        if not ended:
            self.append(Finish(ended))
        ended.append(call)

    def take(self) -> list[ClientAction]:
        """Return them all, in order; the next event begins with none."""
        actions = self[:]
        self.clear()
        if self._records:
            self._records.clear()
        if self._ended:
            self._ended = []
        return actions
