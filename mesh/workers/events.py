"""What happened to a supervisor and its workers: the inputs of its core."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from mesh.workers.messages import FromWorker

__all__ = ["Died", "Event", "Heard", "ReloadAsked", "Running", "SpawnFailed", "Spawned", "StopAsked", "Tick"]


@dataclass(frozen=True, slots=True)
class Running:
    """A call that ran when its worker died."""

    mark: str
    """Fingerprint of method and body, in hexadecimal digits."""
    method: str


@dataclass(frozen=True, slots=True)
class Spawned:
    """The process of this number was started."""

    number: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """The system refused a process; one of this number does not exist."""

    number: int
    why: str


@dataclass(frozen=True, slots=True)
class Heard:
    """A process said something."""

    number: int
    message: FromWorker


@dataclass(frozen=True, slots=True)
class Died:
    """A process has ended."""

    number: int
    status: int
    """Exit code; negative for the signal that ended it."""
    running: tuple[Running, ...] = ()
    last_words: tuple[str, ...] = ()
    """The last lines it wrote to standard error."""


@dataclass(frozen=True, slots=True)
class ReloadAsked:
    """Somebody wants new interpreters, with the code that is on disk now."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody wants it to end: drain; the second time, at once."""

    signal: int


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed; the first one starts everything."""


Event: TypeAlias = Spawned | SpawnFailed | Heard | Died | ReloadAsked | StopAsked | Tick
