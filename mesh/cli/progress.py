"""A bar on standard error that says how far a command has come."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

__all__ = ["progress"]


@contextlib.contextmanager
def progress(total: float | None) -> Iterator[Callable[[float, str], None]]:
    """Draw a bar while the block runs, if standard error is a terminal that can move its cursor.

    The function that the block gets takes how much of `total` is done, and a few words. None: nobody knows how much
    there is.
    """
    if not sys.stderr.isatty():
        yield lambda done, words: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    if console.is_dumb_terminal:
        yield lambda done, words: None
        return
    words = TextColumn("{task.description}", markup=False)
    with Progress(BarColumn(), TimeRemainingColumn(), words, console=console, transient=True) as bar:
        task = bar.add_task("", total=total)
        yield lambda done, words: bar.update(task, completed=done, description=words)
