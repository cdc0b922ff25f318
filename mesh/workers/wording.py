"""Parts of the sentences of a supervisor."""

from __future__ import annotations

import signal
from collections.abc import Sequence

__all__ = ["ending", "mebibytes", "of_calls", "quoted"]


def ending(status: int) -> str:
    """Say how a process ended, by its exit code, or by a signal if that is negative."""
    if status >= 0:
        return f"ended by itself with exit code {status}"
    try:
        return f"was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"was ended by signal {-status}"


def mebibytes(octets: int) -> str:
    """Say how much memory that is."""
    return f"{octets / (1 << 20):.0f} MiB"


def of_calls(running: int) -> str:
    """Say how many calls ran, if any did."""
    if not running:
        return ""
    return f" while {running} call{'s' if running > 1 else ''} ran"


def quoted(words: Sequence[str]) -> str:
    """Quote the last lines of a process, if it wrote any."""
    return f"; it last wrote: {' | '.join(words)}" if words else ""
