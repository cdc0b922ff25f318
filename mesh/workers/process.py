"""What a supervisor knows of one of its processes, and of a place for one."""

from __future__ import annotations

import enum

from mesh.workers.messages import Failed
from mesh.workers.policy import WorkerPolicy

__all__ = ["Process", "Slot", "Stage"]


class Stage(enum.Enum):
    """How far a process has come."""

    LOADING = "loading"
    SPARE = "spare"
    STARTING = "starting"
    SERVING = "serving"
    DRAINING = "draining"
    KILLED = "killed"


class Slot:
    """A place for one worker."""

    __slots__ = ("empty_at", "not_before", "number", "strikes", "successor", "worker")

    def __init__(self, number: int) -> None:
        self.number: int = number
        self.worker: Process | None = None
        """Who serves here."""
        self.successor: Process | None = None
        """Who was told to, and does not yet."""
        self.empty_at: float | None = None
        """Since when nobody serves here; None if somebody does, or nobody ever did."""
        self.strikes: int = 0
        """Early deaths in a row."""
        self.not_before: float = 0.0
        """When the next one may be told to."""


class Process:
    """One interpreter, from its start to its end."""

    __slots__ = (
        "endpoint",
        "failure",
        "generation",
        "heard_at",
        "hung",
        "methods",
        "name",
        "number",
        "offset",
        "outworn",
        "peer_id",
        "pid",
        "services",
        "since",
        "slot",
        "stage",
    )

    def __init__(self, number: int, generation: int, now: float) -> None:
        self.number: int = number
        """Of this process alone; never used again."""
        self.generation: int = generation
        """How many reloads were asked for before it."""
        self.pid: int = 0
        self.stage: Stage = Stage.LOADING
        self.since: float = now
        """When it came to this stage."""
        self.heard_at: float = now
        self.slot: Slot | None = None
        self.offset: int = 0
        """Added to the port that was given."""
        self.name: str = ""
        self.peer_id: str = ""
        self.endpoint: str = ""
        """One of those where it listens."""
        self.services: tuple[str, ...] = ()
        self.methods: tuple[str, ...] = ()
        self.outworn: str = ""
        """Why it is to be replaced though it lives."""
        self.hung: bool = False
        """Whether it was killed for its silence."""
        self.failure: Failed | None = None
        """What it said about its end."""

    @property
    def label(self) -> str:
        """What to call it."""
        return self.name or (f"worker {self.slot.number}" if self.slot is not None else f"spare {self.number}")

    def due(self, policy: WorkerPolicy) -> tuple[float, str]:
        """Return when it is to be killed unless something happens, and what is to be said then."""
        if self.stage is Stage.LOADING:
            return self.since + policy.start_s, f"did not load the application within {policy.start_s:g} s"
        silent = self.heard_at + policy.hang_s, f"gave no sign of life for {policy.hang_s:g} s, and is killed"
        if self.stage is Stage.STARTING:
            return min(silent, (self.since + policy.start_s, f"did not come to serve within {policy.start_s:g} s"))
        if self.stage is Stage.DRAINING:
            return min(silent, (self.since + policy.drain_s, f"did not drain within {policy.drain_s:g} s"))
        return silent

    def move(self, stage: Stage, now: float) -> None:
        """Enter a stage."""
        self.stage = stage
        self.since = now
