"""`mesh call --count`: the same call many times, one after the other, with progress and a summary."""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

from mesh import Attempt, CallError, Reply
from mesh.cli.exits import Exit
from mesh.cli.progress import progress
from mesh.cli.tally import Tally
from mesh.cli.text import compact, complain

__all__ = ["repeat"]


def repeat(
    ask: Callable[[], Reply], args: argparse.Namespace, show_attempts: Callable[[Sequence[Attempt]], None] | None
) -> int:
    """Call `args.count` times, begin at most `args.rate` calls a second, print the summary; return the exit code.

    Ctrl-C ends it early, with the summary of what was done.
    """
    tally = Tally()
    code = Exit.OK
    with progress(args.count) as show:
        began = time.perf_counter()
        try:
            for number in range(args.count):
                if args.rate:
                    time.sleep(max(0.0, began + number / args.rate - time.perf_counter()))
                _one(ask, tally, show_attempts)
                tally.elapsed_s = time.perf_counter() - began
                show(tally.calls, f"{tally.calls}/{args.count}")
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
        tally.failed_with(error)
        attempts = error.attempts
    else:
        tally.latencies.record(reply.elapsed_s)
        attempts = reply.attempts if show_attempts else ()
    if show_attempts:
        show_attempts(attempts)
