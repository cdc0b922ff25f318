"""One session in a terminal: what comes is taken in, keys are obeyed, the screen is shown."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import os
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from rich.console import Console

from mesh import chosen_realm
from mesh.top.board import Screen
from mesh.top.controls import Controls
from mesh.top.keys import keys_in
from mesh.top.probe import Probe
from mesh.top.terminal import Terminal
from mesh.top.view import View

__all__ = ["Session"]


class Session:
    """Shows screens until somebody quits.

    Args:
        probe: Asks servers for what the keys want of them.
        options: Of the command line.
    """

    def __init__(self, probe: Probe, options: argparse.Namespace) -> None:
        self._probe = probe
        self._realm = chosen_realm(options.realm)
        self._columns = options.fields
        self._controls = Controls(options.order, options.filter)
        self._shown: Screen | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._inbox: asyncio.Queue[Screen | str | asyncio.Task[Any] | None] = asyncio.Queue()
        """Everything comes through here, so that an error anywhere ends the program, and the terminal is given back:
        screens, what was typed (nothing: the terminal is gone), tasks that have ended, None to show it again."""

    async def run(self, screens: AsyncIterator[Screen]) -> None:
        """Show them; return when there are no more, or somebody quits."""
        # What somebody exported once (readline does) would be believed for ever, whatever the size is by now.
        for name in ("COLUMNS", "LINES"):
            os.environ.pop(name, None)
        with Terminal(
            Console(highlight=False), self._inbox.put_nowait, lambda: self._inbox.put_nowait(None)
        ) as terminal:
            feeding = self._start(self._feed(screens))
            try:
                while not self._controls.quitting:
                    item = await self._inbox.get()
                    if item is feeding:
                        feeding.result()
                        return
                    self._take(item)
                    if self._inbox.empty() and self._shown is not None:
                        terminal.show(View(self._shown, self._controls, self._realm, self._columns))
            finally:
                for task in self._tasks:
                    task.cancel()
                await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _feed(self, screens: AsyncIterator[Screen]) -> None:
        async for screen in screens:
            self._inbox.put_nowait(screen)

    def _start(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self._inbox.put_nowait)
        return task

    def _take(self, item: Screen | str | asyncio.Task[Any] | None) -> None:
        if isinstance(item, Screen):
            if not self._controls.paused:
                self._shown = item
        elif isinstance(item, asyncio.Task):
            self._controls = dataclasses.replace(self._controls, message=item.result())
        elif item == "":
            self._controls = dataclasses.replace(self._controls, quitting=True)
        elif item is not None:
            for key in keys_in(item):
                self._press(key)

    def _press(self, key: str) -> None:
        rows = self._controls.chosen(self._shown.rows) if self._shown is not None else []
        self._controls = self._controls.after(key, rows)
        if self._controls.ask is not None:
            self._start(self._probe.act(self._controls.ask))
