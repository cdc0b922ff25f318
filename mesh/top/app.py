"""`mesh-top`: a live view of every server, or the same as a table, as JSON or as CSV for programs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence

from mesh import AsyncClient, ClientConfig
from mesh.cli.exits import Exit
from mesh.cli.options import interfaces_of
from mesh.cli.text import complain
from mesh.top.board import Board, Screen
from mesh.top.controls import Controls
from mesh.top.options import parse
from mesh.top.probe import Probe

__all__ = ["main", "run"]

_FIRST_S = 0.2
"""Until the first screen; it has no rates yet."""
_CONFIG = ClientConfig(ping_interval_s=2.0)
"""Servers are asked every second as it is: PINGs in between would cost 3 % of a core for 200 of them."""
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT)
_DUMB = ("", "dumb", "unknown")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program as `mesh top`, with its way of telling errors, and return its exit code."""
    from mesh.cli.main import main as mesh

    return mesh(["top", *(sys.argv[1:] if argv is None else argv)])


def run(words: Sequence[str]) -> int:
    """Show the servers until somebody quits or a signal comes; return the exit code.

    Raises UsageError, MeshError, DiscoveryError.
    """
    options = parse(words)
    # Warnings of libraries would be printed over the screen.
    logging.getLogger().addHandler(logging.NullHandler())
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(_run(options))
    return Exit.OK


async def _run(options: argparse.Namespace) -> None:
    task = asyncio.current_task()
    assert task is not None
    for number in _STOPPING:
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup wants it to go on
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    dumb = not sys.stdout.isatty() or os.environ.get("TERM", "") in _DUMB
    program = options.json or options.csv
    once = options.once or (dumb and not program and options.count is None)
    async with AsyncClient(
        options.server, not options.server, options.realm, interfaces_of(options), _CONFIG
    ) as client:
        probe = Probe(client)
        screens = _screens(probe, options, 1 if once else options.count)
        try:
            if once or program or dumb:
                await _print(screens, options)
            else:
                from mesh.top.session import Session

                await Session(probe, options).run(screens)
        finally:
            await screens.aclose()
            await probe.close()


async def _screens(probe: Probe, options: argparse.Namespace, count: int | None) -> AsyncGenerator[Screen, None]:
    """Yield what there is to show: almost at once, without rates, and then every SECONDS, `count` times or for ever."""
    loop = asyncio.get_running_loop()
    board = Board(everything=options.all)
    await probe.settle()
    due = loop.time() + _FIRST_S
    shown = 0
    while True:
        yield board.update(await probe.look(due))
        if shown == count:
            return
        shown += 1
        due = max(due + options.delay_s, loop.time())


async def _print(screens: AsyncIterator[Screen], options: argparse.Namespace) -> None:
    """Print each screen but the first, which has no rates yet."""
    from mesh.top.lines import csv_titles

    controls = Controls(options.order, options.filter)
    await anext(screens, None)
    separator = csv_titles(options.fields) if options.csv else None
    async for screen in screens:
        if separator is not None:
            print(separator)
        for line in _lines(screen, controls, options):
            print(line)
        sys.stdout.flush()
        program = options.json or options.csv
        if not screen.rows and not program:
            complain("no server was seen; start one with 'mesh serve', or ask 'mesh doctor' why")
        separator = None if program else ""


def _lines(screen: Screen, controls: Controls, options: argparse.Namespace) -> Iterable[str]:
    from mesh.top.lines import csv_lines, json_lines, table_lines

    rows = controls.chosen(screen.rows)
    if options.json:
        return json_lines(rows, options.fields)
    if options.csv:
        return csv_lines(rows, options.fields)
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return table_lines(rows, options.fields, width, ascii_only=not _is_unicode(sys.stdout.encoding))


def _is_unicode(encoding: str) -> bool:
    return encoding.lower().startswith("utf")
