"""Several ways of finding peers, seen as one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from .base import Browser, OnChange
from .model import Change, Peer, PeerRemoved
from .table import PeerTable

__all__ = ["Discovery"]


class Discovery(Browser):
    """A `discovery.Browser` that merges others through a `PeerTable`.

    Changes arrive in the threads of the merged browsers, or in a timer's thread if they were held back;
    always one at a time and in order. `stop` must not be called from `on_change`.
    """

    def __init__(
        self,
        *browsers: Browser,
        table: Callable[[], PeerTable] = PeerTable,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Merge `browsers`, which are started and stopped together.

        `table` makes the table of each start; `clock` gives seconds that never go back.
        """
        self._browsers = browsers
        self._make_table = table
        self._clock = clock
        self._lock = threading.Lock()
        self._on_change: OnChange | None = None
        self._table = table()
        self._timer: threading.Timer | None = None

    def start(self, on_change: OnChange) -> None:
        """Start every browser; if one cannot start, stop the others and raise its DiscoveryError."""
        with self._lock:
            self._table = self._make_table()
            self._on_change = on_change
        for number, browser in enumerate(self._browsers):
            try:
                browser.start(self._sink(str(number)))
            except BaseException:
                self._stop(self._browsers[:number])
                raise

    def search(self) -> None:
        """Have every browser ask at once who is there."""
        for browser in self._browsers:
            browser.search()

    def stop(self) -> None:
        """Stop every browser. A second stop does nothing."""
        self._stop(self._browsers)

    def peers(self) -> list[Peer]:
        """Return every peer that is known now."""
        with self._lock:
            return self._table.peers()

    def _stop(self, browsers: Iterable[Browser]) -> None:
        with self._lock:
            self._on_change = None
            timer, self._timer = self._timer, None
        # Outside the lock: a browser that stops waits for its last report, and that report waits for the
        # lock.
        for browser in browsers:
            browser.stop()
        if timer is not None:
            timer.cancel()
            timer.join()

    def _sink(self, source: str) -> OnChange:
        """Return the listener of one browser; a number tells two browsers of one kind apart."""

        def on_change(change: Change) -> None:
            with self._lock:
                now = self._clock()
                if isinstance(change, PeerRemoved):
                    self._report(self._table.lost(source, change.peer.peer_id, now))
                else:
                    self._report(self._table.saw(source, change.peer, now))

        return on_change

    def _tick(self) -> None:
        with self._lock:
            self._timer = None
            self._report(self._table.tick(self._clock()))

    def _report(self, changes: Iterable[Change]) -> None:
        """Hand changes over and arrange for those that are held back; the lock is held."""
        if self._on_change is None:
            return
        for change in changes:
            self._on_change(change)
        deadline = self._table.deadline()
        if deadline is not None and self._timer is None:
            # Never re-armed for an earlier deadline: whoever is held back waits for one interval at most
            # anyway.
            self._timer = threading.Timer(max(0.0, deadline - self._clock()), self._tick)
            self._timer.daemon = True
            self._timer.start()
