"""One Zeroconf for everybody in this process who uses the same interfaces.

A Zeroconf is a thread and a few sockets, so it is shared and counted: two hundred servers in one process
need one. This file opens and closes it, sends announcements and goodbyes, and follows changes of the
interfaces.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from zeroconf import IPVersion, Zeroconf
from zeroconf._dns import DNSRecord
from zeroconf._protocol.outgoing import DNSOutgoing
from zeroconf.const import _FLAGS_AA, _FLAGS_QR_RESPONSE

from ..interfaces import Interface, choose_interfaces, is_linked
from ..model import DiscoveryError
from .gate import Gate
from .notices import drain_notices, open_notices
from .sieve import Source

__all__ = ["Link", "acquire", "release", "transports"]

_log: Final = logging.getLogger("discovery")
# python-zeroconf gives itself this level and warns about what strangers send. That is counted here and belongs on
# nobody's screen; whoever wants to see it sets another level.
if logging.getLogger("zeroconf").level == logging.WARNING:
    logging.getLogger("zeroconf").setLevel(logging.CRITICAL)
_T = TypeVar("_T")

_GATHER_S: Final = 0.002
"""How long announcements are gathered: two hundred servers that start at once share some fifty packets."""
_PEERS_PER_PACKET: Final = 4
"""A typical peer takes 300 of the 1460 octets; what does not fit goes into a further packet."""
_GOODBYE_AGAIN_S: Final = 0.1
"""After this time a goodbye is said again, in case the first was lost."""
_LOOK_S: Final = 3.0
"""How often the interfaces are compared with what they were, where the system does not tell that they changed."""
_LOOK_SOON_S: Final = 0.02
"""When they are compared after it has told so: such notices come in bursts."""
_LOOK_AGAIN_S: Final = 0.25
"""How long a change of the interfaces must have lasted before it is followed."""
_RECEIVE_OCTETS: Final = 1 << 20
"""Room for bursts in each socket; the system may give less."""

_links: dict[tuple[int, tuple[str, ...]], Link] = {}
_lock: Final = threading.Lock()


def acquire(names: Sequence[str] | None) -> Link:
    """Return the link for these interfaces and count its user. Raises DiscoveryError if there can be none."""
    # The thread of a link does not survive a fork, so a child opens its own: hence the process id in the key.
    key = (os.getpid(), tuple(sorted(set(names or ()))))
    with _lock:
        link = _links.get(key)
        if link is None:
            link = _links[key] = Link(names)
        link.users += 1
        return link


def release(link: Link) -> None:
    """Give a link back; the last user closes it."""
    with _lock:
        link.users -= 1
        if link.users:
            return
        for key in [key for key, each in _links.items() if each is link]:
            del _links[key]
    link.close()


class Link:
    """A running Zeroconf; methods are for its loop's thread unless they say otherwise."""

    def __init__(self, names: Sequence[str] | None) -> None:
        self._names = names
        self.interfaces: list[Interface] = choose_interfaces(names)
        """The interfaces in use now."""
        self.users = 0
        """How many hold this link; guarded by the module's lock."""
        self.zeroconf: Zeroconf = _open(self.interfaces)
        loop = self.zeroconf.loop
        assert loop is not None  # its constructor returns when the thread runs
        self.loop = loop
        """The event loop of the Zeroconf, in a thread of its own."""
        self.marks: dict[object, bytes] = {}
        """What is in every packet about a peer that is advertised here; the key is whoever advertises it."""
        self.gate: Gate = Gate(loop, self._is_wanted, self._tell_of_loss)
        """Drops packets of whoever sends too many, and what is of no use here."""
        self.on_loss: dict[object, Callable[[], None]] = {}
        """Called when somebody's answers are not heard for a while; the key is whoever wants to know."""
        self.errors: int = 0
        """Errors that escaped python-zeroconf while it handled a packet."""
        self.on_interfaces: dict[object, Callable[[], None]] = {}
        """Called when the interfaces have changed, or one has a carrier again; the key is whoever wants to know."""
        self._outbox: list[list[DNSRecord]] = []
        self._quiet_at = 0.0
        self._candidate = self.interfaces
        self._linked = self._find_linked()
        self._following = asyncio.Lock()
        self._looking: asyncio.TimerHandle | None = None
        self._notices = open_notices()
        self._tasks: set[asyncio.Task[None]] = set()
        loop.set_exception_handler(self._note_error)
        loop.call_soon_threadsafe(self._prepare_readers)
        loop.call_soon_threadsafe(self._watch)

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine in the loop and return its result; for every thread but the loop's own."""
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            if asyncio.get_running_loop() is self.loop:
                work.close()
                raise DiscoveryError("stop()", "was called from on_change", "call it from another thread")
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def announce(self, records: list[DNSRecord]) -> None:
        """Send the records of one peer soon, together with those of others."""
        if not self._outbox:
            self.loop.call_later(_GATHER_S, self._flush)
        self._outbox.append(records)

    def goodbye(self, records: list[DNSRecord]) -> None:
        """Send records with a lifetime of 0 now and once more a little later (RFC 6762 section 10.1)."""
        self._flush()
        self._forget_answers(records)
        self._send([records])
        self.loop.call_later(_GOODBYE_AGAIN_S, self._send, [records])
        self._quiet_at = self.loop.time() + _GOODBYE_AGAIN_S

    def close(self) -> None:
        """Close sockets and thread when the last goodbye is out; for every thread but the loop's own."""
        time.sleep(max(0.0, self._quiet_at - time.monotonic()))
        self.run(self._close())
        self.zeroconf.close()

    async def _close(self) -> None:
        self._flush()
        if self._looking is not None:
            self._looking.cancel()
        if self._notices is not None:
            self.loop.remove_reader(self._notices)
            self._notices.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _flush(self) -> None:
        while self._outbox:
            batch, self._outbox = self._outbox[:_PEERS_PER_PACKET], self._outbox[_PEERS_PER_PACKET:]
            self._send(batch)

    def _send(self, peers: Sequence[Sequence[DNSRecord]]) -> None:
        out = DNSOutgoing(_FLAGS_QR_RESPONSE | _FLAGS_AA)
        for records in peers:
            for record in records:
                out.add_answer_at_time(record, 0)
        self.zeroconf.async_send(out)

    def _forget_answers(self, records: Sequence[DNSRecord]) -> None:
        """Take records out of the answers that wait: sent after a goodbye, they would bring the peer back."""
        for waiting in (self.zeroconf.out_queue, self.zeroconf.out_delay_queue):
            for group in waiting.queue:
                for record in records:
                    group.answers.pop(record, None)

    def _note_error(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.errors += 1
        _log.debug("python-zeroconf: %s", context.get("message"), exc_info=context.get("exception"))

    def _is_wanted(self, source: Source, octets: bytes) -> bool:
        """Tell whether anybody here asks for answers, or can answer questions.

        Who only advertises can use the answers about its own peers alone: python-zeroconf learns from their echo when
        it has said them last, and does not say them twice a second (RFC 6762 section 6).
        """
        if not source.is_answer:
            return self.zeroconf.registry.has_entries
        return bool(self.zeroconf.listeners) or any(mark in octets for mark in self.marks.values())

    def _tell_of_loss(self, source: Source) -> None:
        if source.is_answer:
            for lost in tuple(self.on_loss.values()):
                lost()

    def _prepare_readers(self) -> None:
        for reader in self.zeroconf.engine.readers:
            reader.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_OCTETS)
            self.gate.guard(reader.transport)

    def _watch(self) -> None:
        if self._notices is not None:
            self.loop.add_reader(self._notices, self._on_notices)
        else:
            self._look_in(_LOOK_S)

    def _on_notices(self) -> None:
        assert self._notices is not None
        drain_notices(self._notices)
        if self._looking is None:  # else it is to be seen whether a change lasts
            self._look_in(_LOOK_SOON_S)

    def _look_in(self, seconds: float) -> None:
        self._looking = self.loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Compare the interfaces with what they were, and follow a change that has lasted."""
        self._looking = None
        try:
            found = choose_interfaces(self._names)
        except DiscoveryError:
            found = self.interfaces  # everything is down for the moment: what we have is as good
        if found == self.interfaces:
            self._candidate = found
            self._look_at_carriers()
        elif found == self._candidate:
            task = self.loop.create_task(self._follow(found))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        else:
            self._candidate = found
        if found != self.interfaces:
            self._look_in(_LOOK_AGAIN_S)
        elif self._notices is None:
            self._look_in(_LOOK_S)

    def _find_linked(self) -> set[Interface]:
        return {interface for interface in self.interfaces if is_linked(interface)}

    def _look_at_carriers(self) -> None:
        """Begin anew where the link is back: what was said and asked meanwhile is lost (RFC 6762 section 8)."""
        before, self._linked = self._linked, self._find_linked()
        if not self._linked <= before:
            self._tell()

    async def _follow(self, interfaces: list[Interface]) -> None:
        async with self._following:
            stayed = [interface for interface in interfaces if interface in self.interfaces]
            self.interfaces = interfaces
            self._linked = self._find_linked()
            # What goes by the name or the address of another one is not that one: its sockets have to be made anew.
            # The engine is told, not the Zeroconf, which would announce what our users are about to replace.
            for wanted in (stayed, interfaces):
                await self.zeroconf.engine.async_update_interfaces([*transports(wanted)], IPVersion.All, False)
            self._prepare_readers()
        self._tell()

    def _tell(self) -> None:
        for changed in tuple(self.on_interfaces.values()):
            changed()


def _open(interfaces: Sequence[Interface]) -> Zeroconf:
    names = ", ".join(interface.name for interface in interfaces)
    try:
        zeroconf = Zeroconf([*transports(interfaces)], use_asyncio=False)
    except (OSError, RuntimeError) as error:
        problem = f"cannot be shared on {names} ({error})"
        raise DiscoveryError("UDP port 5353", problem, "stop the program that holds it, or name servers") from error
    if not zeroconf.engine.senders:
        zeroconf.close()
        raise DiscoveryError(names, "cannot do multicast", "choose other interfaces, or name servers")
    return zeroconf


def transports(interfaces: Sequence[Interface]) -> list[str]:
    """Return what python-zeroconf calls interfaces: one IPv4 and one IPv6 address of each."""
    chosen: list[str] = []
    for interface in interfaces:
        fours = [address for address in interface.addresses if ":" not in address]
        sixes = [address for address in interface.addresses if ":" in address]
        chosen += fours[:1]
        # Loopback has no IPv6 multicast route; who names ::1 alone gets it all the same.
        if sixes and not (fours and "::1" in sixes):
            chosen.append(max(sixes, key=lambda address: address.startswith("fe80:")))
    return chosen
