"""What a supervisor is to do: the outputs of its core, to be performed in order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from mesh.workers.messages import ToWorker

__all__ = ["Action", "Finish", "Kill", "Notify", "Say", "Spawn", "Tell"]


@dataclass(frozen=True, slots=True)
class Spawn:
    """Start an interpreter; `Spawned` or `SpawnFailed` is to follow before anything else."""

    number: int


@dataclass(frozen=True, slots=True)
class Tell:
    """Send a message to a process; one that has ended needs none."""

    number: int
    message: ToWorker


@dataclass(frozen=True, slots=True)
class Kill:
    """End a process with SIGKILL; `Died` follows some time later."""

    number: int


@dataclass(frozen=True, slots=True)
class Say:
    """Tell people, and programs that follow."""

    event: str
    """One word for programs."""
    text: str
    """One sentence for people; empty for what they need not know."""
    trouble: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Notify:
    """Tell the service manager how it stands."""

    state: Literal["READY", "RELOADING", "STOPPING", ""]
    """Empty: only the status has changed."""
    status: str


@dataclass(frozen=True, slots=True)
class Finish:
    """End what still runs, and the supervisor with this exit code; the last action of all."""

    code: int
    sentence: str = ""
    """What is wrong, if something is."""


Action: TypeAlias = Spawn | Tell | Kill | Say | Notify | Finish
