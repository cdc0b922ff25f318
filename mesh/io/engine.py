"""A client's shell: performs what its core decides, on its sockets; never blocks, never decides.

Both drivers use it the same way: `feed` what happened, `pump` when a descriptor is readable or the deadline has come,
wait until `deadline`. Records for one connection gather in its outbox while the pipe is full, and during one turn, and
leave together as the next message.
"""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.core.actions import ClientAction, Connect, Disconnect, Finish, Notice, Search, Send, SendFrames
from mesh.core.events import ClientEvent, LinkDown, LinkReached, LinkUp, Received, Tick
from mesh.core.wire import Call, Record, encode
from mesh.io.context import check_process, process_mark
from mesh.io.link import ClientLink, LinkEvent, Sent

if TYPE_CHECKING:
    from mesh.config import ClientConfig
    from mesh.core.calls import PendingCall, Watch
    from mesh.core.client import ClientCore

__all__ = ["ClientEngine"]

_LAST_MESSAGES_MAX = 1000
"""As many as a pipe holds (RCVHWM)."""

_TURN_S = 0.005
"""A turn takes so long at most: a message may hold a thousand records."""

_FLOOD_S = 0.25
"""After so many seconds of full turns time passes in the middle of what comes: a flood may have no end."""

_OK, _UNREACHABLE = Sent.OK, Sent.UNREACHABLE
"""Each look at a member in its enum takes 0.2 us (CPython 3.11)."""

_BLOCKED_S = 0.01
"""How soon a full pipe is tried again at the latest."""


class _Outbox:
    """What waits to be written to one connection."""

    __slots__ = ("frames", "plain", "records")

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.plain: list[tuple[int, list[bytes]]] = []
        """Whole messages for a server that speaks no mesh/1, and the call each carries."""
        self.frames: tuple[list[bytes], int] | None = None
        """The next message, encoded and refused, and how many records it carries."""

    def unsent(self) -> tuple[int, ...]:
        calls = [record.call_id for record in self.records if type(record) is Call]
        return (*calls, *(call_id for call_id, _ in self.plain if call_id))


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return host == "localhost"


class ClientEngine:
    """The sockets of one client and what moves through them.

    Args:
        core: Decides.
        config: Limits and times of the sockets.
        on_descriptor: Called with each descriptor to be watched for reading (True) or not any more (False).
        on_finish: Called with the calls and watches that have ended. It must not call back into the engine.
        on_search: Called when discovery is to ask who is there. It must not block.
        on_notice: Called with what may interest somebody.
    """

    def __init__(
        self,
        core: ClientCore,
        config: ClientConfig,
        on_descriptor: Callable[[int, bool], None],
        on_finish: Callable[[list[PendingCall | Watch]], None],
        on_search: Callable[[], None],
        on_notice: Callable[[Notice], None],
    ) -> None:
        self.core = core
        self._limits = config.limits
        self._on_finish = on_finish
        self._on_search = on_search
        self._on_notice = on_notice
        self._mark = process_mark()
        self._link = ClientLink(
            config.limits,
            config.dial_timeout_s,
            config.heartbeat_interval_s,
            config.heartbeat_timeout_s,
            on_descriptor,
        )
        self._outboxes: dict[int, _Outbox] = {}
        self._dirty: dict[int, _Outbox] = {}
        """Outboxes with something in them."""
        self._later: list[ClientEvent] = []
        """What performing a list has brought about; fed when the list is through."""
        self._full_since = 0.0
        """When the first of several full turns in a row began."""

    def feed(self, event: ClientEvent) -> None:
        """Tell the core what happened and perform what it answers; what is to be sent waits for `flush`."""
        self._perform(self.core.handle(event, time.monotonic()))

    def deadline(self) -> float | None:
        """Return when `pump` has to be called at the latest (monotonic seconds), None for whenever."""
        due = self.core.deadline()
        if not self._dirty:
            return due
        # The descriptor wakes when a full pipe has room again, unless a look at the socket took that edge a moment ago.
        again = time.monotonic() + _BLOCKED_S
        return again if due is None else min(due, again)

    def check_process(self) -> None:
        """Raise ForkedError in a child of the process that made it."""
        check_process(self._mark)

    def pump(self, *, monitors: bool = True, messages_max: int = 64) -> bool:
        """Send what gathered, take in what came, let time pass; return whether it has to be called again at once.

        Args:
            monitors: Also look at the monitors; their descriptors, unlike the others, stay readable until that is done.
            messages_max: Bound of one turn, so that a flood from one server cannot starve the others or the loop.
        """
        if monitors:
            for conn_id, kind, why in self._link.events():
                if kind is LinkEvent.REACHED:
                    self.feed(LinkReached(conn_id))
                elif kind is LinkEvent.UP:
                    self.feed(LinkUp(conn_id))
                else:
                    self._take_what_came_before()
                    self._down(conn_id, why)
        # The descriptors are edge-triggered and a send takes the edge: what came meanwhile is looked for afterwards.
        self.flush()
        again = self._take_plain(messages_max)
        core = self.core
        waited_for = core.open_calls
        began = time.monotonic()
        for _ in range(messages_max):
            if not self.take():
                break
            if waited_for and not core.open_calls:
                # Whoever waited for the last answer may have something to send, and the socket is looked at after that.
                self.flush()
                return True
            if time.monotonic() - began > _TURN_S:
                return self._end_full_turn(began)
        else:
            return self._end_full_turn(began)
        self._full_since = 0.0
        # Only after the socket was read: a client that was late itself must not accuse servers whose answers lie there.
        due = core.deadline()
        if due is not None and due <= time.monotonic():
            self.feed(Tick())
        return self.flush() or again

    def _end_full_turn(self, began: float) -> bool:
        now = time.monotonic()
        if not self._full_since:
            self._full_since = began
        elif now - self._full_since > _FLOOD_S:
            self._full_since = now
            self.feed(Tick())
        return True

    @property
    def is_blocked(self) -> bool:
        """Whether something waits for room in a pipe; the descriptor wakes when there may be some."""
        return bool(self._dirty)

    def take(self) -> bool:
        """Take in one message of the ROUTER; return False if there is none."""
        message = self._link.receive()
        if message is None:
            return False
        self._perform(self.core.handle(Received(*message), time.monotonic()))
        return True

    def _take_plain(self, messages_max: int) -> bool:
        """Take in what REP servers have answered, so many messages of each at most; return whether there were any."""
        took = False
        for conn_id, frames in self._link.receive_plain(messages_max):
            self.feed(Received(conn_id, frames))
            took = True
        return took

    def _take_what_came_before(self) -> None:
        """Take in what a server sent before its link went down: the last answers of one that drained are still here."""
        self._take_plain(_LAST_MESSAGES_MAX)
        for _ in range(_LAST_MESSAGES_MAX):
            if not self.take():
                return

    def flush(self) -> bool:
        """Send what gathered in the outboxes, as far as the pipes take it; return whether anything was sent."""
        if not self._dirty:
            return False
        sent = False
        for conn_id, outbox in list(self._dirty.items()):
            sent |= self._write(conn_id, outbox)
        return sent

    def mend(self) -> None:
        """Go on after an interrupt that has come in the midst of anything: have every server dialled anew.

        A message may be half written or half read, and what was read may be lost with the calls that it answers.
        """
        self._link.end_messages()
        for conn_id in self._link.connections():
            self._down(conn_id, "interrupted")

    def close(self) -> None:
        """Close the sockets. The core has been told to stop."""
        self._link.close()
        self._outboxes.clear()
        self._dirty.clear()

    def _perform(self, actions: list[ClientAction]) -> None:
        for action in actions:
            kind = type(action)
            if kind is Send:
                outbox = self._dirty.get(action.conn_id) or self._gather(action.conn_id)  # type: ignore[union-attr]
                outbox.records += action.records  # type: ignore[union-attr]
            elif kind is Finish:
                self._on_finish(action.calls)  # type: ignore[union-attr]
            elif kind is SendFrames:
                self._gather(action.conn_id).plain.append((action.call_id, action.frames))  # type: ignore[union-attr]
            elif kind is Connect:
                self._connect(action)  # type: ignore[arg-type]
            elif kind is Disconnect:
                self._drop(action.conn_id)  # type: ignore[union-attr]
            elif kind is Search:
                self._on_search()
            else:
                self._on_notice(action)  # type: ignore[arg-type]
        while self._later:
            self.feed(self._later.pop(0))

    def _gather(self, conn_id: int) -> _Outbox:
        outbox = self._outboxes.get(conn_id)
        if outbox is None:
            outbox = self._outboxes[conn_id] = _Outbox()
        self._dirty[conn_id] = outbox
        return outbox

    def _write(self, conn_id: int, outbox: _Outbox) -> bool:
        send = self._link.send
        sent = _OK
        before = len(outbox.records) + len(outbox.plain)
        while sent is _OK and outbox.records:
            frames, count = outbox.frames or encode(outbox.records, self._limits)
            sent = send(conn_id, frames)
            if sent is _OK:
                outbox.frames = None
                del outbox.records[:count]
            else:
                outbox.frames = (frames, count)
        while sent is _OK and outbox.plain:
            sent = send(conn_id, outbox.plain[0][1])
            if sent is _OK:
                del outbox.plain[0]
        if sent is _OK:
            self._dirty.pop(conn_id, None)
        elif sent is _UNREACHABLE:
            self._down(conn_id, "unreachable")
        return len(outbox.records) + len(outbox.plain) < before

    def _connect(self, action: Connect) -> None:
        address = action.address
        problem = self._link.connect(action.conn_id, f"tcp://{address}", action.proto, _is_loopback(address.host))
        if problem:
            self._later.append(LinkDown(action.conn_id, problem))

    def _down(self, conn_id: int, why: str) -> None:
        outbox = self._outboxes.get(conn_id)
        unsent = outbox.unsent() if outbox is not None else ()
        self._drop(conn_id)
        self.feed(LinkDown(conn_id, why, unsent))

    def _drop(self, conn_id: int) -> None:
        self._outboxes.pop(conn_id, None)
        self._dirty.pop(conn_id, None)
        self._link.disconnect(conn_id)
