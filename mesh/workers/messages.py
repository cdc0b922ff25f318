"""What a supervisor and a worker tell each other over their line."""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from mesh.core.figures import ServerFigures

__all__ = [
    "Activate",
    "Beat",
    "Bury",
    "Cleared",
    "Departed",
    "Doubt",
    "Doubts",
    "Drain",
    "Failed",
    "Figures",
    "FromWorker",
    "Leaving",
    "Loaded",
    "Serving",
    "Setup",
    "TellFigures",
    "ToWorker",
]


class Doubt(msgspec.Struct, frozen=True):
    """What is held against calls of one content."""

    mark: str
    """Fingerprint of method and body, in hexadecimal digits."""
    method: str
    deaths: int
    """Workers in a row that ended while such a call ran; 0: it is cleared."""
    alone: bool = False
    """Whether it may run only while nothing else runs: another death would decide."""
    quarantined_s: float = 0.0
    """For so many seconds more it is not to run at all."""


class Departed(msgspec.Struct, frozen=True):
    """A worker that ended without a goodbye."""

    peer_id: str
    name: str
    services: tuple[str, ...]
    endpoint: str
    """One of those where it listened."""


# -- from the supervisor


class Setup(msgspec.Struct, frozen=True, tag=True, kw_only=True):
    """The first message: what to load, and how to serve it. The fields are the arguments of `mesh serve`."""

    targets: tuple[str, ...]
    bind: str
    name: str | None
    """What names of workers begin with; None: the first service's name and `token`."""
    token: str
    advertise: bool | str
    realm: str | None
    interfaces: tuple[str, ...] | None
    beat_s: float
    """Seconds between two signs of life."""
    hang_s: float
    """Seconds without one after which the worker is killed."""
    log_format: str = "text"


class Activate(msgspec.Struct, frozen=True, tag=True):
    """Bind, serve and advertise."""

    slot: int
    """Which worker to be: the number at the end of its name."""
    offset: int
    """To be added to a port that was given."""
    doubts: tuple[Doubt, ...]


class Doubts(msgspec.Struct, frozen=True, tag=True):
    """Calls whose standing has changed."""

    changed: tuple[Doubt, ...]


class Bury(msgspec.Struct, frozen=True, tag=True):
    """Say goodbye by mDNS for a sibling that could not."""

    departed: Departed


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Stop advertising, finish what runs, and exit."""


class TellFigures(msgspec.Struct, frozen=True, tag=True):
    """Answer with `Figures`."""

    number: int
    """Of the question."""


ToWorker: TypeAlias = Setup | Activate | Doubts | Bury | Drain | TellFigures

# -- from a worker


class Loaded(msgspec.Struct, frozen=True, tag=True):
    """The application is imported; from now on signs of life come."""

    services: tuple[str, ...]
    methods: tuple[str, ...]


class Failed(msgspec.Struct, frozen=True, tag=True):
    """It cannot load or serve, and exits."""

    sentence: str
    code: int
    """The exit code that `mesh serve` would have."""


class Serving(msgspec.Struct, frozen=True, tag=True):
    """Clients may call it."""

    name: str
    peer_id: str
    endpoints: tuple[str, ...]


class Beat(msgspec.Struct, frozen=True, tag=True):
    """A sign of life, out of the loop that serves calls."""

    memory: int
    """Resident octets; 0 where the system does not say."""
    calls: int
    """Calls that have ended here."""


class Leaving(msgspec.Struct, frozen=True, tag=True):
    """Somebody else told it to stop: it drains."""


class Cleared(msgspec.Struct, frozen=True, tag=True):
    """A call that was in doubt has ended, and its worker lives."""

    mark: str


class Figures(msgspec.Struct, frozen=True, tag=True):
    """How it does."""

    number: int
    """Of the question."""
    figures: ServerFigures


FromWorker: TypeAlias = Loaded | Failed | Serving | Beat | Leaving | Cleared | Figures
