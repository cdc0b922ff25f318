"""What both spools do beside waiting: check what the caller gave, and open the store with its delivery."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.config import ClientConfig
from mesh.errors import ClosedError, ConfigError, LocalProtocolError
from mesh.spool.quota import Quota, WhenFull
from mesh.spool.store import Store

if TYPE_CHECKING:
    from mesh.spool.delivery import Delivery

__all__ = ["Settings", "opened", "unopened"]

_NAME_MAX = 255
_OVERHEAD_MAX = 4096
"""Octets of a batch beside the body of its only record."""
_WINDOW_MAX = 1024


class Settings:
    """What a spool was given; see `Spool`. Raises ConfigError: one of them cannot be used."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        deliver: bool,
        servers: Iterable[str] | None,
        discover: bool,
        realm: str | None,
        interfaces: Sequence[str] | None,
        config: ClientConfig | None,
        records_max: int,
        octets_max: int,
        when_full: WhenFull,
        live_first: bool,
        window: int,
        clock: Callable[[], float],
    ) -> None:
        try:
            self.directory: Path = Path(path)
        except TypeError:
            raise ConfigError(f"path is {path!r}; give the directory of the spool") from None
        if isinstance(window, bool) or not isinstance(window, int) or not 1 <= window <= _WINDOW_MAX:
            raise ConfigError(f"window is {window!r}; give a whole number of batches from 1 to {_WINDOW_MAX}")
        self.quota: Quota = Quota(records_max, octets_max, when_full)
        self.deliver = deliver
        self.config: ClientConfig = config or ClientConfig()
        self._client = (servers, discover, realm, interfaces, self.config)
        self._live_first = live_first
        self._window = window
        self._clock = clock

    def open(self) -> Store:
        """Return the open store. Raises SpoolError."""
        return Store(self.directory, self.quota, self._clock)

    def start_delivery(self, store: Store) -> Delivery:
        """Begin to deliver what is in the store."""
        from mesh.aio import AsyncClient
        from mesh.spool.delivery import Delivery

        def connect() -> AsyncClient:
            return AsyncClient(*self._client)

        delivery = Delivery(store, connect, window=self._window, live_first=self._live_first)
        delivery.start()
        return delivery

    def check_names(self, method: str, stream: str) -> None:
        """Raise LocalProtocolError if these cannot be the names of a method and a stream."""
        for what, name, least in (("method", method, 1), ("stream", stream, 0)):
            if not isinstance(name, str) or not least <= len(name.encode(errors="replace")) <= _NAME_MAX:
                raise LocalProtocolError(f"{what} is {name!r:.80}; give a text of {least} to {_NAME_MAX} octets")
            if not name.isascii():
                try:
                    name.encode()
                except UnicodeEncodeError:
                    raise LocalProtocolError(f"{what} is {name!a:.80}, which is no Unicode text") from None

    def checked(self, bodies: Iterable[bytes]) -> list[bytes]:
        """Return the bodies as octets. Raises LocalProtocolError: one is something else, or too large to be sent."""
        if isinstance(bodies, bytes | bytearray | memoryview | str):
            raise LocalProtocolError("bodies is one body; give a list of them")
        octets_max = self.config.limits.body_max - _OVERHEAD_MAX
        checked = list(bodies)
        if set(map(type, checked)) == {bytes} and max(map(len, checked)) <= octets_max:
            return checked  # at once, for nearly all are like that
        for number, body in enumerate(checked):
            if not isinstance(body, bytes | bytearray | memoryview):
                raise LocalProtocolError(f"a body is of type {type(body).__name__}; bodies are bytes")
            checked[number] = octets = bytes(body)
            if len(octets) > octets_max:
                raise LocalProtocolError(f"a body has {len(octets)} octets; at most {octets_max} can be sent")
        return checked

    def waits_for_room(self, store: Store, method: str, stream: str, bodies: Sequence[bytes]) -> bool:
        """Return whether these records are to wait. Raises SpoolFull: they do not even fit into an empty spool."""
        self.quota.check(str(self.directory), len(bodies), store.octets_of(method, stream, bodies))
        return self.quota.when_full == "block"


def opened(store: Store | None) -> Store:
    """Return the store of a spool that is in use. Raises ClosedError: it was not opened."""
    if store is None:
        raise ClosedError("this spool was not opened; use it in a with statement, or call open")
    return store


def unopened(store: Store | None) -> None:
    """Raise ClosedError if a spool was opened before."""
    if store is not None:
        raise ClosedError("this spool was opened before; make another one")
