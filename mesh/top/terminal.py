"""The terminal while mesh-top has it: the alternate screen, keys one by one; given back whatever happens."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import termios
import tty
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live

__all__ = ["Terminal"]

_CHUNK = 1024


class Terminal:
    """Use it in a `with` statement, inside a running loop.

    Args:
        console: Where to show.
        on_keys: Called with what was typed; with an empty text when the terminal is gone.
        on_redraw: Called when the size has changed, or after Ctrl-Z and `fg`.
    """

    def __init__(self, console: Console, on_keys: Callable[[str], None], on_redraw: Callable[[], None]) -> None:
        self._console = console
        self._on_keys = on_keys
        self._on_redraw = on_redraw
        self._loop = asyncio.get_running_loop()
        self._keyboard = sys.stdin.fileno() if sys.stdin is not None and sys.stdin.isatty() else None
        self._kept: list[Any] | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        """Take the terminal."""
        try:
            self._take()
            if self._keyboard is not None:
                self._loop.add_reader(self._keyboard, self._read)
            self._loop.add_signal_handler(signal.SIGWINCH, self._on_redraw)
            self._loop.add_signal_handler(signal.SIGTSTP, self._suspend)
        except BaseException:
            self._give_back()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Give it back."""
        self._loop.remove_signal_handler(signal.SIGWINCH)
        self._loop.remove_signal_handler(signal.SIGTSTP)
        if self._keyboard is not None:
            self._loop.remove_reader(self._keyboard)
        self._give_back()

    def show(self, picture: RenderableType) -> None:
        """Paint over what is shown."""
        if self._live is not None:
            self._live.update(picture, refresh=True)

    def _take(self) -> None:
        if self._keyboard is not None:
            self._kept = termios.tcgetattr(self._keyboard)
            tty.setcbreak(self._keyboard)
        self._live = Live(
            console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        )
        self._live.start()

    def _give_back(self) -> None:
        live, self._live = self._live, None
        kept, self._kept = self._kept, None
        try:
            if live is not None:
                with contextlib.suppress(OSError):  # the window was closed: there is nothing to give back
                    self._console.clear()  # of a window that has grown, tmux would leave the lower part on the screen
                    live.stop()
        finally:
            if self._keyboard is not None and kept is not None:
                with contextlib.suppress(termios.error):
                    # TCSAFLUSH also drops what was typed for us and not read: the shell shall not run it.
                    termios.tcsetattr(self._keyboard, termios.TCSAFLUSH, kept)

    def _suspend(self) -> None:
        """Ctrl-Z was typed: stop with the terminal given back; go on from here after `fg`."""
        self._give_back()
        os.kill(os.getpid(), signal.SIGSTOP)
        self._take()
        self._on_redraw()

    def _read(self) -> None:
        assert self._keyboard is not None
        try:
            typed = os.read(self._keyboard, _CHUNK)
        except OSError:  # the other side of the terminal was closed
            typed = b""
        if not typed:  # else this would be called without end
            self._loop.remove_reader(self._keyboard)
        self._on_keys(typed.decode(errors="replace"))
