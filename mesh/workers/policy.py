"""What a supervisor keeps to: how many workers, when one is hung, too large or worn out, when a call is quarantined."""

from __future__ import annotations

from dataclasses import dataclass

from mesh.errors import ConfigError

__all__ = ["WorkerPolicy"]


@dataclass(frozen=True, kw_only=True)
class WorkerPolicy:
    """Settings of one supervisor."""

    count: int = 1
    """Workers that are to serve, 1 to 1024."""
    hang_s: float = 5.0
    """A worker whose serving loop gives no sign of life for so long is killed and replaced."""
    start_s: float = 60.0
    """Time for an interpreter to start and to import the application."""
    memory_max: int = 0
    """Resident octets at which a worker is replaced; 0 for no limit."""
    calls_max: int = 0
    """Calls after which a worker is replaced; 0 for no limit."""
    deaths_max: int = 3
    """Workers in a row that one call may end before it is quarantined, from 2: after the first death nobody
    knows which of the calls that ran was to blame."""
    quarantine_s: float = 600.0
    """How long such a call is answered with an error. Bounded, for nobody may be there to lift it."""
    early_s: float = 2.0
    """A worker that dies sooner than this after it began to serve died early, and its successor waits a pause.
    An interpreter takes about a third of a second of a processor to start: once in two seconds is bearable."""
    pause_min_s: float = 0.1
    """Bound of the first pause; it grows with each early death in a row (see `mesh.core.backoff`)."""
    pause_max_s: float = 30.0
    """Bound of the longest pause."""
    loop_deaths: int = 5
    """Early deaths in a row that are reported as a crash loop."""
    drain_s: float = 12.0
    """A worker that was told to drain and runs on for so long is killed: `ServerConfig.drain_s`, and two seconds to
    say goodbye."""

    def __post_init__(self) -> None:
        for name, low, high, what in (
            ("count", 1, 1024, "a number of workers from 1 to 1024"),
            ("hang_s", 0.1, 86_400, "seconds from 0.1 to a day"),
            ("start_s", 0.1, 86_400, "seconds from 0.1 to a day"),
            ("memory_max", 0, 1 << 50, "octets, 0 for no limit"),
            ("calls_max", 0, 1 << 50, "a number of calls, 0 for no limit"),
            ("deaths_max", 2, 1000, "a number of workers from 2: one death does not say which call was to blame"),
            ("quarantine_s", 0.1, 86_400 * 30, "seconds from 0.1 to 30 days"),
        ):
            if not low <= getattr(self, name) <= high:
                raise ConfigError(f"WorkerPolicy.{name} is {getattr(self, name)!r}; it takes {what}")

    @property
    def beat_s(self) -> float:
        """Seconds between two signs of life of a worker."""
        return min(1.0, self.hang_s / 5)
