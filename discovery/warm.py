"""A browser that begins with the peers it knew last."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Final

from .base import Browser, OnChange
from .cache import PeerCache, Sighting
from .model import Change, DiscoveryError, Peer, PeerAdded, PeerRemoved, PeerUpdated

__all__ = ["WarmBrowser"]

_PROPOSED_MAX: Final = 8
_PATIENCE_S: Final = 0.02
"""A peer on a local network that is there has answered by then: it takes four round trips."""
_DOUBT_S: Final = 3.0
"""Who is there has answered two questions of mDNS by then (RFC 6762 section 5.2: the second comes after a second)."""


class WarmBrowser(Browser):
    """A `discovery.Browser` that proposes up to eight peers of a cache, and 20 ms later starts another browser.

    Whoever has found the peer that is needed, and stops before that, does not pay for the other browser: to
    import python-zeroconf takes longer than to call a server. It starts at once if there is nothing to propose,
    or when `search` is called. Whom it has not seen after 3 s of those who were proposed is taken back, and
    forgotten. Whom it has seen is remembered at the end.

    Args:
        make: Makes the other browser; called in a thread of this one if there is anything to propose.
        cache: Where peers are remembered.
        belongs: Whether a peer that was seen is to be remembered.
        is_wanted: Whether a peer that was remembered is to be proposed.
    """

    def __init__(
        self,
        make: Callable[[], Browser],
        cache: PeerCache,
        belongs: Callable[[Peer], bool] = lambda peer: True,
        is_wanted: Callable[[Peer], bool] = lambda peer: True,
    ) -> None:
        self._make = make
        self._cache = cache
        self._belongs = belongs
        self._is_wanted = is_wanted
        self._lock = threading.Lock()
        self._on_change: OnChange | None = None
        self._browser: Browser | None = None
        self._thread: threading.Thread | None = None
        self._needed = threading.Event()
        """The other browser is to start now, or never."""
        self._stopped = threading.Event()
        self._remembered: dict[str, Sighting] = {}
        self._proposed: dict[str, Peer] = {}
        """Those whom the other browser has not seen yet."""
        self._seen: dict[str, Peer] = {}
        self.failure: DiscoveryError | None = None
        """Why the other browser could not start, if it was to start later."""

    def start(self, on_change: OnChange) -> None:
        """Propose peers, or start the other browser. Raises DiscoveryError if that cannot start, or this one has."""
        if self._on_change is not None:
            raise DiscoveryError("cache", "is browsed already", "call stop() first")
        self._remembered = {each.peer.peer_id: each for each in self._cache.read()}
        wanted = (each.peer for each in self._remembered.values() if self._is_wanted(each.peer))
        self._proposed = {peer.peer_id: replace(peer, sources=("cache",)) for peer in islice(wanted, _PROPOSED_MAX)}
        self._seen = {}
        self.failure = None
        self._needed.clear()
        self._stopped.clear()
        self._on_change = on_change
        if not self._proposed:
            try:
                self._begin()
            except BaseException:
                self._on_change = None
                raise
            return
        for peer in self._proposed.values():
            on_change(PeerAdded(peer))
        self._thread = threading.Thread(target=self._begin_later, name="discovery-warm", daemon=True)
        self._thread.start()

    def search(self) -> None:
        """Have the other browser start at once, or ask at once; does nothing unless started, and waits for nobody."""
        self._needed.set()
        browser = self._browser
        if browser is not None:
            browser.search()

    def stop(self) -> None:
        """End the reports, and remember who was seen. A second stop does nothing."""
        if self._on_change is None:
            return
        self._stopped.set()
        self._needed.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._browser is not None:
            self._browser.stop()
            self._browser = None
            self._cache.write(filter(self._belongs, self._seen.values()), self._remembered.values())
        self._on_change = None

    def _begin_later(self) -> None:
        self._needed.wait(_PATIENCE_S)
        if self._stopped.is_set():
            return
        try:
            self._begin()
        except DiscoveryError as error:
            self.failure = error
            return
        if not self._stopped.wait(_DOUBT_S):
            self._withdraw()

    def _begin(self) -> None:
        browser = self._make()
        browser.start(self._take)
        self._browser = browser

    def _take(self, change: Change) -> None:
        """Pass on what the other browser says; it may know a peer that was proposed."""
        peer = change.peer
        with self._lock:
            was_proposed = self._proposed.pop(peer.peer_id, None) is not None
            if isinstance(change, PeerRemoved):
                self._seen.pop(peer.peer_id, None)
                self._remembered.pop(peer.peer_id, None)
            else:
                self._seen[peer.peer_id] = peer
            self._report(PeerUpdated(peer) if was_proposed and isinstance(change, PeerAdded) else change)

    def _withdraw(self) -> None:
        with self._lock:
            for peer_id, peer in self._proposed.items():
                self._remembered.pop(peer_id, None)
                self._report(PeerRemoved(peer))
            self._proposed = {}

    def _report(self, change: Change) -> None:
        if self._on_change is not None:
            self._on_change(change)
