"""`mesh call --count`: the same call many times, one after the other, with progress and a summary."""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence

from mesh import Attempt, CallError, Reply
from mesh.cli.exits import Exit
from mesh.cli.text import compact, complain, milliseconds

__all__ = ["Tally", "repeat"]

_SHARES = (0.5, 0.95, 0.99)


class Tally:
    """What came of many calls."""

    def __init__(self) -> None:
        self.latencies_s: list[float] = []
        """Of the calls that were answered, in order."""
        self.errors: Counter[str] = Counter()
        """How often each kind of error ended a call."""
        self.first_error = ""
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
        return len(self.latencies_s) + self.failed

    @property
    def rate_per_s(self) -> float:
        """Calls a second."""
        return self.calls / self.elapsed_s if self.elapsed_s else 0.0

    def percentile_s(self, share: float) -> float | None:
        """Return the latency that this share of the answered calls did not exceed (nearest rank); None without any."""
        ranked = sorted(self.latencies_s)
        return ranked[max(0, math.ceil(share * len(ranked)) - 1)] if ranked else None

    def sentence(self) -> str:
        """Return the summary for people."""
        spread = [
            f", p{share * 100:.0f} {milliseconds(self.percentile_s(share))}" for share in _SHARES if self.latencies_s
        ]
        return f"{self.calls} calls, {self.failed} failed, {self.rate_per_s:.1f}/s{''.join(spread)}"

    def as_json(self) -> dict[str, object]:
        """Return the summary for programs."""
        return {
            "calls": self.calls,
            "failed": self.failed,
            "elapsed_s": self.elapsed_s,
            "rate_per_s": self.rate_per_s,
            **{f"p{share * 100:.0f}_s": self.percentile_s(share) for share in _SHARES},
            "errors": dict(self.errors),
            "first_error": self.first_error,
        }


def repeat(
    ask: Callable[[], Reply], args: argparse.Namespace, show_attempts: Callable[[Sequence[Attempt]], None] | None
) -> int:
    """Call `args.count` times, begin at most `args.rate` calls a second, print the summary; return the exit code.

    Ctrl-C ends it early, with the summary of what was done.
    """
    tally = Tally()
    code = Exit.OK
    with _progress(args.count) as advance:
        began = time.perf_counter()
        try:
            for number in range(args.count):
                if args.rate:
                    time.sleep(max(0.0, began + number / args.rate - time.perf_counter()))
                _one(ask, tally, show_attempts)
                tally.elapsed_s = time.perf_counter() - began
                advance()
        except KeyboardInterrupt:
            code = Exit.INTERRUPTED
    print(compact(tally.as_json()) if args.json else tally.sentence())
    if tally.failed and not args.json:
        complain(f"{tally.failed} of {tally.calls} calls failed; the first: {tally.first_error}")
    return code or (Exit.FAILED if tally.failed else Exit.OK)


def _one(ask: Callable[[], Reply], tally: Tally, show_attempts: Callable[[Sequence[Attempt]], None] | None) -> None:
    try:
        reply = ask()
    except CallError as error:
        tally.errors[type(error).__name__] += 1
        tally.first_error = tally.first_error or str(error)
        attempts = error.attempts
    else:
        tally.latencies_s.append(reply.elapsed_s)
        attempts = reply.attempts if show_attempts else ()
    if show_attempts:
        show_attempts(attempts)


@contextlib.contextmanager
def _progress(total: int) -> Iterator[Callable[[], None]]:
    """Draw a bar on standard error while the block runs, if that is a terminal that can move its cursor."""
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeRemainingColumn

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        yield lambda: None
        return
    with Progress(
        MofNCompleteColumn(), BarColumn(), TimeRemainingColumn(), console=console, transient=True
    ) as progress:
        task = progress.add_task("", total=total)
        yield lambda: progress.advance(task)
