"""Delivers what is in a store; see `mesh.spool.courier` for what it decides."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from mesh.spool.store import Store

if TYPE_CHECKING:
    from mesh.aio import AsyncClient

__all__ = ["Delivery"]


class Delivery:
    """Delivers from its own thread until it is stopped.

    Args:
        store: Where the records are.
        connect: Makes the client; called in the loop of that thread.
        window: Batches on their way at the same time.
        live_first: Whether new records go before those that wait since long.
    """

    def __init__(self, store: Store, connect: Callable[[], AsyncClient], *, window: int, live_first: bool) -> None:
        self.in_flight = 0
        """Records sent and not acknowledged yet."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End within a second; what is on its way is sent again next time."""
