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
        self._lock = threading.Lock()
        """A scrape reads in another thread."""

    def sent(self, call: PendingCall, metadata: dict[str, str] | None) -> dict[str, str] | None:
        """Leave the metadata as they are."""
        return metadata

    def finished(self, call: PendingCall, now: float) -> None:
        """Count a call that has ended."""
        error = call.error
        status = status_of(error)
        if error is None:
            kind = ""
        else:  # a status that a server gave is the kind of the error; what never came to one has that of its class
            kind = status.name if isinstance(error, RemoteError) else type(error).__name__
        self._record(call, status, kind, now)

    def abandoned(self, call: PendingCall, now: float) -> None:
        """Count a call that nobody waits for any more."""
        self._record(call, Status.CANCELLED, Status.CANCELLED.name, now)

    def durations(self) -> Iterator[tuple[str, Status, str, Durations]]:
        """Yield method, status, kind of error, and how long such calls took."""
        with self._lock:
            told = [(*key, durations_of(histogram)) for key, histogram in self._durations.items()]
        yield from told

    def _record(self, call: PendingCall, status: Status, kind: str, now: float) -> None:
        error = call.error
        answered = (error is None and status is Status.OK) or isinstance(error, RemoteError)
        with self._lock:
            known = self._methods.has(call.method) or (answered and status is not Status.UNIMPLEMENTED)
            key = (self._methods.of(call.method) if known else OTHER, status, kind)
            histogram = self._durations.get(key)
            if histogram is None:
                histogram = self._durations[key] = Histogram()
            histogram.record(now - call.started_at)
