"""What every way of finding peers can do: browse and advertise.

`discovery.memory` (one process), `discovery.mdns` (the local network) and `discovery.merged` (several at
once) implement these; one contract suite runs against all of them.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import Protocol, Self, TypeAlias

from .model import Change, Peer

__all__ = ["Advertiser", "Browser", "OnChange", "Stoppable"]

OnChange: TypeAlias = Callable[[Change], None]
"""Receives the changes: one call at a time, in order, perhaps from another thread. It must not block."""


class Stoppable(Protocol):
    """Is under way from `start` to `stop`; a `with` statement stops it."""

    @abstractmethod
    def stop(self) -> None:
        """End what is under way. A second stop does nothing."""

    def __enter__(self) -> Self:
        """Return itself; `start` is still to be called."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()


class Browser(Stoppable, Protocol):
    """Finds peers. Next after the constructor is `start`; after `stop` it may be started again."""

    def start(self, on_change: OnChange) -> None:
        """Begin to report changes; takes milliseconds and waits for nobody. Raises DiscoveryError."""

    def search(self) -> None:
        """Ask at once who is there, if that can be asked; does nothing unless started, and waits for nobody."""
        return  # the default: who comes is known without a question

    def stop(self) -> None:
        """End the reports: none arrives after the return. A second stop does nothing."""


class Advertiser(Stoppable, Protocol):
    """Makes one peer known. Next after the constructor is `start`; after `stop` it may be started again."""

    def start(self, peer: Peer) -> None:
        """Make the peer known; takes milliseconds and waits for nobody. Raises DiscoveryError."""

    def update(self, peer: Peer) -> None:
        """Replace what is said about the peer; its id stays. Raises DiscoveryError."""

    def stop(self) -> None:
        """Say goodbye and return when it was sent (well under 0.3 s). A second stop does nothing."""
