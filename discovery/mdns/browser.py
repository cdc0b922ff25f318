"""Find peers by mDNS."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from zeroconf import (
    DNSQuestionType,
    RecordUpdate,
    RecordUpdateListener,
    ServiceStateChange,
    Zeroconf,
    current_time_millis,
)
from zeroconf._dns import DNSPointer, DNSQuestion
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo
from zeroconf.const import _CLASS_IN, _TYPE_A, _TYPE_AAAA, _TYPE_PTR, _TYPE_SRV, _TYPE_TXT

from ..base import Browser, OnChange
from ..model import Change, DiscoveryError, Peer, PeerAdded, PeerRemoved, PeerUpdated
from .link import Link, acquire, release
from .names import SERVICE_TYPE, check_service_type
from .oneshot import OneShot
from .records import Parts, peer_of, read_parts

__all__ = ["BrowserCounters", "MdnsBrowser"]

_log: Final = logging.getLogger("discovery")

_GRACE_S: Final = 0.05
"""How long the missing records of a peer may take to follow in another packet before they are asked for."""
_RESOLUTIONS_MAX: Final = 16
"""How many peers are asked about at once."""
_ANSWER_MS: Final = 3000
"""How long one round of questions about a peer lasts."""
_PAUSE_S: Final = (1.0, 60.0)
"""The pause after the first round without an answer, which doubles, and the longest."""
_RESCUE_S: Final = 1.0
"""After a goodbye, until it is asked whether it was true."""
_MISSING_S: Final = 5.0
"""The pause between questions while somebody's answers are shut out."""
_AGAIN_S: Final = 1.0
"""A peer that says the same again is reported again so often at most."""


@dataclass(slots=True)
class BrowserCounters:
    """What a browser ignored; nothing of it is an error of ours."""

    refused: int = 0
    """Peers beyond the most that are kept."""
    faults: int = 0
    """Records, or parts of records, that break a rule and were cut or ignored."""
    duplicates: int = 0
    """Instances that claim the id of another one."""
    unanswered: int = 0
    """Rounds of questions about a peer that brought no answer."""


class MdnsBrowser(Browser):
    """A `discovery.Browser` of the local network. Changes arrive in a thread of its own.

    `on_change` must not block and must not call `stop`.
    """

    def __init__(
        self,
        interfaces: Sequence[str] | None = None,
        service_type: str = SERVICE_TYPE,
        peers_max: int = 1024,
    ) -> None:
        """Browse for `service_type` on these interfaces (see `choose_interfaces`), keeping `peers_max` peers.

        Raises DiscoveryValueError if the service type is none.
        """
        self._interfaces = interfaces
        self._service_type = check_service_type(service_type)
        self._peers_max = peers_max
        self._session: _Session | None = None
        self.counters: BrowserCounters = BrowserCounters()
        """What was ignored since this browser was made."""

    def start(self, on_change: OnChange) -> None:
        """Begin to report changes.

        Raises DiscoveryError if no interface or not the port can be used, or if it is started already.
        """
        if self._session is not None:
            raise DiscoveryError(self._service_type, "is browsed already", "call stop() first")
        link = acquire(self._interfaces)
        self._session = _Session(link, self._service_type, self._peers_max, on_change, self.counters)
        link.loop.call_soon_threadsafe(self._session.begin)

    def search(self) -> None:
        """Ask at once who is there; does nothing unless started, and waits for nobody."""
        session = self._session
        if session is not None:
            with contextlib.suppress(RuntimeError):  # it is being stopped, and its loop is closed
                session.link.loop.call_soon_threadsafe(session.search)

    def stop(self) -> None:
        """End the reports: none arrives after the return. A second stop does nothing."""
        if self._session is not None:
            self._session.link.run(self._session.end())
            release(self._session.link)
            self._session = None


@dataclass(slots=True)
class _Instance:
    """One DNS-SD instance, known by its PTR record."""

    name: str
    parts: Parts = field(default_factory=Parts)
    peer: Peer | None = None
    reported_at: float = 0.0
    """When it was reported last, in seconds of the loop's clock."""
    asking: asyncio.Task[None] | None = None


class _Session(RecordUpdateListener):
    """What lives from start to stop; everything in here runs in the link's loop.

    python-zeroconf's own browser sends the queries, but its events are not used: it does not report a
    record that goes back to a value which the cache still holds. Instead every record that arrives marks
    the instances it belongs to, and these are read from the cache once it holds the whole packet.
    """

    def __init__(
        self, link: Link, service_type: str, peers_max: int, on_change: OnChange, counters: BrowserCounters
    ) -> None:
        self.link = link
        self._type = service_type
        self._peers_max = peers_max
        self._on_change = on_change
        self._counters = counters
        self._instances: dict[str, _Instance] = {}
        self._owners: dict[str, str] = {}
        self._on_host: dict[str, dict[str, None]] = {}
        self._present: dict[str, tuple[str, bool]] = {}
        self._touched: dict[str, None] = {}
        self._slots = asyncio.Semaphore(_RESOLUTIONS_MAX)
        self._querier: AsyncServiceBrowser | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._rescue: asyncio.Task[None] | None = None
        """Asks again after a goodbye, or while answers are lost."""

    def begin(self) -> None:
        """Report what the cache knows, and ask."""
        self.link.zeroconf.async_add_listener(self, DNSQuestion(self._type, _TYPE_PTR, _CLASS_IN))
        self.link.on_interfaces[self] = self._ask
        self.link.on_loss[self] = self._doubt
        self._ask()

    async def end(self) -> None:
        """Stop asking and listening."""
        self.link.on_interfaces.pop(self, None)
        self.link.on_loss.pop(self, None)
        if self._querier is not None:
            await self._querier.async_cancel()
            self.link.zeroconf.async_remove_listener(self)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Mark what the records of a packet are about; the cache does not hold them yet."""
        for update in records:
            record = update.new
            expired = record.is_expired(now)
            if isinstance(record, DNSPointer):
                if record.key == self._type.lower():
                    self._present[record.alias.lower()] = (record.alias, not expired)
            elif expired and record.ttl > 1:
                pass  # it came of age: nobody said that it is not true any more
            elif record.type in (_TYPE_SRV, _TYPE_TXT):
                self._touched[record.key] = None
            elif record.type in (_TYPE_A, _TYPE_AAAA):
                self._touched |= self._on_host.get(record.key, {})

    def async_update_records_complete(self) -> None:
        """Look at everything that was marked; the cache holds the whole packet now."""
        present, self._present = self._present, {}
        touched, self._touched = self._touched, {}
        for key, (name, is_present) in present.items():
            if not is_present:
                self._forget(key)
            elif key in self._instances or self._admit(key, name):
                touched[key] = None
        for key in touched:
            if key in self._instances:
                self._look(key)

    def _admit(self, key: str, name: str) -> bool:
        if not key.endswith("." + self._type.lower()):
            self._counters.faults += 1
        elif len(self._instances) >= self._peers_max:
            self._counters.refused += 1
        else:
            self._instances[key] = _Instance(name)
            return True
        return False

    def _look(self, key: str) -> None:
        """Read an instance from the cache; report it if it has changed, ask if it is not complete."""
        instance = self._instances[key]
        parts = read_parts(self.link.zeroconf.cache, instance.name, instance.parts, current_time_millis())
        if parts == instance.parts and instance.peer is not None:
            self._heard_again(key, instance, instance.peer)
            return
        self._host(key, instance.parts, parts)
        instance.parts = parts
        if not parts.is_complete():
            if instance.asking is None:
                instance.asking = self._spawn(self._resolve(key, instance))
            return
        label = instance.name[: -len(self._type) - 1]
        peer, faults = peer_of(label, parts, self.link.interfaces)
        self._counters.faults += faults
        if peer is not None and peer != instance.peer:
            before, instance.peer = instance.peer, peer
            instance.reported_at = self.link.loop.time()
            if before is not None and before.peer_id != peer.peer_id:
                self._disown(key, before)
            self._own(key, peer)

    def _heard_again(self, key: str, instance: _Instance, peer: Peer) -> None:
        """Report a peer that said nothing new: whoever has lost it knows now that it can be reached."""
        now = self.link.loop.time()
        if now >= instance.reported_at + _AGAIN_S and self._owners.get(peer.peer_id) == key:
            instance.reported_at = now
            self._report(PeerUpdated(peer))

    def _host(self, key: str, before: Parts, after: Parts) -> None:
        """Note which host an instance is on, so that new addresses of the host find it."""
        old = before.service.server_key if before.service else None
        new = after.service.server_key if after.service else None
        if old == new:
            return
        if old is not None:
            self._on_host[old].pop(key)
            if not self._on_host[old]:
                del self._on_host[old]
        if new is not None:
            self._on_host.setdefault(new, {})[key] = None

    def _forget(self, key: str) -> None:
        instance = self._instances.pop(key, None)
        if instance is None:
            return
        if instance.asking is not None:
            instance.asking.cancel()
        self._host(key, instance.parts, Parts())
        if instance.peer is not None:
            self._disown(key, instance.peer)

    def _own(self, key: str, peer: Peer) -> None:
        """Report a peer, unless another instance has its id: who came first stays."""
        owner = self._owners.get(peer.peer_id)
        if owner is None:
            self._owners[peer.peer_id] = key
            self._report(PeerAdded(peer))
        elif owner == key:
            self._report(PeerUpdated(peer))
        else:
            self._counters.duplicates += 1

    def _disown(self, key: str, peer: Peer) -> None:
        """Report that a peer is gone, or what the next instance with its id says."""
        if self._owners.get(peer.peer_id) != key:
            return
        for other, instance in self._instances.items():
            if other != key and instance.peer is not None and instance.peer.peer_id == peer.peer_id:
                self._owners[peer.peer_id] = other
                self._report(PeerUpdated(instance.peer))
                return
        del self._owners[peer.peer_id]
        self._report(PeerRemoved(peer))
        self._doubt()

    def _doubt(self) -> None:
        """Ask soon who is there, whatever was heard or not heard."""
        if self._rescue is None or self._rescue.done():
            self._rescue = self._spawn(self._ask_once_more())

    async def _ask_once_more(self) -> None:
        """Ask whether those whose goodbye was heard are gone: anybody can say it (RFC 6762 section 10.1: a second).

        And as long as a flood is shut out, ask for those who share its sender's address: answers to `OneShot` come in.
        """
        await asyncio.sleep(_RESCUE_S)
        self.search()
        while self.link.gate.misses_answers:
            await asyncio.sleep(_MISSING_S)
            self.search()

    async def _resolve(self, key: str, instance: _Instance) -> None:
        """Ask for what is missing until it is there, ever more seldom; the instance's end cancels this."""
        await asyncio.sleep(_GRACE_S)
        pause_s, pause_s_max = _PAUSE_S
        while not instance.parts.is_complete():
            async with self._slots:
                try:
                    question = AsyncServiceInfo(self._type, instance.name)
                    await question.async_request(self.link.zeroconf, _ANSWER_MS, question_type=DNSQuestionType.QM)
                except Exception:  # a name that strangers made up and that no packet can hold
                    self._counters.faults += 1
                    return
            self._look(key)
            if instance.parts.is_complete():
                return
            self._counters.unanswered += 1
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, pause_s_max)

    def _ask(self) -> None:
        """Ask at once, and go on asking as RFC 6762 section 5.2 says."""
        if self._querier is not None:
            self._querier._async_cancel()
        # Multicast answers only: see oneshot.py for what becomes of unicast ones.
        self._querier = AsyncServiceBrowser(
            self.link.zeroconf, self._type, handlers=[_ignore], question_type=DNSQuestionType.QM
        )
        self.search()

    def search(self) -> None:
        """Ask at once; after `end` nothing happens."""
        if self in self.link.on_interfaces:
            question = OneShot(self.link.zeroconf, self._type, self.link.gate.pace)
            self._spawn(question.ask(self.link.interfaces))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.link.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _report(self, change: Change) -> None:
        try:
            self._on_change(change)
        except Exception:
            _log.exception("on_change raised for %r", change)


def _ignore(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
    """Take the events of python-zeroconf's browser, which cannot do without a taker."""
