"""How long the calls of a client took, by method and by how they ended."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mesh.core.figures import Durations, durations_of
from mesh.core.observer import status_of
from mesh.core.stats import Histogram
from mesh.errors import RemoteError, Status
from mesh.metrics.labels import OTHER, Labels

if TYPE_CHECKING:
    from mesh.core.calls import PendingCall

__all__ = ["CallRecorder"]


class CallRecorder:
    """Observes the calls of a client.

    A method has a label of its own once a server has answered for it: whoever can have calls made, by a gateway for
    instance, cannot fill the label with names that he makes up.

    Args:
        methods_max: So many methods have one.
    """

    def __init__(self, methods_max: int) -> None:
        self._methods = Labels(methods_max)
        self._durations: dict[tuple[str, Status, str], Histogram] = {}
        self._answered: dict[str, Histogram] = {}
        """Those of calls that ended well, by method: nearly every call."""
        self._lock = threading.Lock()
        """A scrape reads in another thread."""

    def sent(self, call: PendingCall, metadata: dict[str, str] | None) -> dict[str, str] | None:
        """Leave the metadata as they are."""
        return metadata

    def finished(self, call: PendingCall, now: float) -> None:
        """Count a call that has ended."""
        error = call.error
        if error is None:
            histogram = self._answered.get(call.method) or self._begin(call.method)
            with self._lock:
                histogram.record(now - call.started_at)
            return
        status = status_of(error)
        if isinstance(error, RemoteError):  # its kind is the status that the server gave
            self._failed(call, status, status.name, now, known=status is not Status.UNIMPLEMENTED)
        else:
            self._failed(call, status, type(error).__name__, now)

    def abandoned(self, call: PendingCall, now: float) -> None:
        """Count a call that nobody waits for any more."""
        self._failed(call, Status.CANCELLED, Status.CANCELLED.name, now)

    def durations(self) -> Iterator[tuple[str, Status, str, Durations]]:
        """Yield method, status, kind of error, and how long such calls took."""
        with self._lock:
            told = [(*key, durations_of(histogram)) for key, histogram in self._durations.items()]
        yield from told

    def _begin(self, method: str) -> Histogram:
        """Return the histogram of a method's calls that end well, from now on also without looking for it."""
        with self._lock:
            label = self._methods.of(method)
            histogram = self._of(label, Status.OK, "")
            if label is not OTHER:
                self._answered[method] = histogram
            return histogram

    def _failed(self, call: PendingCall, status: Status, kind: str, now: float, *, known: bool = False) -> None:
        with self._lock:
            label = self._methods.of(call.method) if known or self._methods.has(call.method) else OTHER
            self._of(label, status, kind).record(now - call.started_at)

    def _of(self, label: str, status: Status, kind: str) -> Histogram:
        key = (label, status, kind)
        if key not in self._durations:
            self._durations[key] = Histogram()
        return self._durations[key]
