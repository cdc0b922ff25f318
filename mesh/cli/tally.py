"""What came of many calls."""

from __future__ import annotations

from collections import Counter

from mesh import MeshError, RemoteError
from mesh.cli.latencies import Latencies
from mesh.cli.text import milliseconds

__all__ = ["Tally"]

_SHARES = (0.5, 0.95, 0.99)


class Tally:
    """Counts calls by how they ended."""

    def __init__(self) -> None:
        self.latencies: Latencies = Latencies()
        """Of the calls that were answered."""
        self.errors: Counter[str] = Counter()
        """How often each kind of error ended a call."""
        self.first_error: str = ""
        """The sentence of the first one."""
        self.elapsed_s: float = 0.0
        """From the first call to the end of the last one."""

    @property
    def failed(self) -> int:
        """Calls that ended without their answer."""
        return self.errors.total()

    @property
    def calls(self) -> int:
        """Calls that ended."""
        return self.latencies.count + self.failed

    @property
    def rate_per_s(self) -> float:
        """Calls a second."""
        return self.calls / self.elapsed_s if self.elapsed_s else 0.0

    def failed_with(self, error: MeshError) -> None:
        """Count a call that ended without its answer."""
        status = f" {error.code.name}" if isinstance(error, RemoteError) else ""
        self.errors[f"{type(error).__name__}{status}"] += 1
        self.first_error = self.first_error or str(error)

    def sentence(self) -> str:
        """Return the summary for people."""
        spread = [
            f", p{share * 100:.0f} {milliseconds(self.latencies.percentile_s(share))}"
            for share in _SHARES
            if self.latencies.count
        ]
        return f"{self.calls} calls, {self.failed} failed, {self.rate_per_s:.1f}/s{''.join(spread)}"

    def as_json(self) -> dict[str, object]:
        """Return the summary for programs."""
        return {
            "calls": self.calls,
            "failed": self.failed,
            "elapsed_s": self.elapsed_s,
            "rate_per_s": self.rate_per_s,
            **{f"p{share * 100:.0f}_s": self.latencies.percentile_s(share) for share in _SHARES},
            "errors": dict(self.errors),
            "first_error": self.first_error,
        }
