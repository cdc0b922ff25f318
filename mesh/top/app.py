"""`mesh-top`: a live view of every server, or the same as a table or as JSON for programs."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import io
import json
import logging
import os
import re
import shutil
import signal
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from datetime import UTC, datetime

from discovery import DiscoveryError
from mesh import AsyncClient, MeshError
from mesh.top.board import Board, Screen
from mesh.top.columns import COLUMNS, Order, in_order
from mesh.top.controls import Controls
from mesh.top.probe import Probe
from mesh.top.rows import Row, filtered

__all__ = ["main"]

_DELAY_S_MIN, _DELAY_S_MAX = 0.1, 3600.0
_EPILOG = f"""\
fields to sort by: {", ".join(column.key for column in COLUMNS)}
keys: q quit, p pause, s sort by the next column, r reverse, / filter, Escape drop the filter
environment: MESH_INTERFACE, MESH_REALM, MESH_SERVERS, NO_COLOR
When its output is no terminal, mesh-top prints one plain table and ends."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the program and return its exit code: 0, 1 if the network cannot be used, 2 for arguments or settings."""
    options = _parse(sys.argv[1:] if argv is None else argv)
    # Warnings of libraries would be printed over the screen.
    logging.getLogger().addHandler(logging.NullHandler())
    try:
        return asyncio.run(_run(options))
    except (MeshError, DiscoveryError) as error:
        print(f"mesh-top: {error}", file=sys.stderr)
        return 2 if isinstance(error, ValueError) else 1
    except BrokenPipeError:
        # Whoever read this has seen enough; without a new stdout Python would complain about the old one.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="mesh-top",
        description="Shows every server of the mesh, live.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("-d", dest="delay_s", metavar="SECONDS", type=_delay, default=1.0, help="between refreshes")
    parser.add_argument("-n", dest="count", metavar="COUNT", type=_count, help="end after so many refreshes")
    parser.add_argument(
        "-s", dest="order", metavar="[-]FIELD", type=_order, default=Order(), help="sort; with - the highest first"
    )
    parser.add_argument("-f", dest="filter", metavar="WORDS", default="", help="only servers that have these words")
    parser.add_argument("--all", action="store_true", help="also servers that are gone, or of other realms")
    parser.add_argument("--once", action="store_true", help="print one table after SECONDS and end")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each server, one a line")
    parser.add_argument("--interface", action="append", metavar="NAME|ADDRESS", help="for mDNS; may be repeated")
    parser.add_argument("--realm", help="name of the mesh; default: MESH_REALM, else 'default'")
    # argparse takes the value of `-s -calls` for an option.
    joined = re.sub(r"(^|\0)-s\0-(?=[a-z])", r"\1-s-", "\0".join(argv))
    return parser.parse_args(joined.split("\0") if argv else [])


def _delay(text: str) -> float:
    with contextlib.suppress(ValueError):
        if _DELAY_S_MIN <= float(text) <= _DELAY_S_MAX:
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give seconds from {_DELAY_S_MIN:g} to {_DELAY_S_MAX:g}")


def _count(text: str) -> int:
    if re.fullmatch("[0-9]{1,9}", text) and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r}: give a number from 1 to 999999999")


def _order(text: str) -> Order:
    try:
        return Order.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


async def _run(options: argparse.Namespace) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a name may hold what the terminal's encoding lacks
    plain = options.once or options.json or not sys.stdout.isatty() or os.environ.get("TERM", "dumb") == "dumb"
    count = 1 if options.once or (plain and not options.json and options.count is None) else options.count
    async with (
        AsyncClient(realm=options.realm, interfaces=options.interface) as client,
        contextlib.aclosing(_screens(client, options, count, stopping)) as screens,
    ):
        await (_print(screens, options) if plain else _show(screens, options, stopping))
    return 0


async def _screens(
    client: AsyncClient, options: argparse.Namespace, count: int | None, stopping: asyncio.Event
) -> AsyncGenerator[Screen, None]:
    """Yield what there is to show: at once, without rates, and then every SECONDS, `count` times or until the end."""
    loop = asyncio.get_running_loop()
    board = Board(everything=options.all)
    probe = Probe(client)
    try:
        await probe.settle()
        shown = 0
        due = loop.time()
        while not stopping.is_set():
            yield board.update(await probe.look())
            if shown == count:
                return
            shown += 1
            due = max(due + options.delay_s, loop.time())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stopping.wait(), due - loop.time())
    finally:
        await probe.close()


async def _print(screens: AsyncIterator[Screen], options: argparse.Namespace) -> None:
    """Print each screen but the first, which has no rates yet."""
    await anext(screens, None)
    async for screen in screens:
        rows = in_order(filtered(screen.rows, options.filter), options.order)
        for line in _json_lines(rows) if options.json else _table_lines(rows):
            print(line)
        sys.stdout.flush()


def _json_lines(rows: list[Row]) -> list[str]:
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return [json.dumps({"time": now, **dataclasses.asdict(row)}) for row in rows]


def _table_lines(rows: list[Row]) -> list[str]:
    from mesh.top.view import table

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    return [line.plain for line in table(rows, width=width)]


async def _show(screens: AsyncIterator[Screen], options: argparse.Namespace, stopping: asyncio.Event) -> None:
    """Have the terminal show each screen, and do what the keys say."""
    from rich.console import Console

    from mesh.top.terminal import Terminal
    from mesh.top.view import View

    # What somebody exported once (readline does) would be believed for ever, whatever the size is by now.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    controls = Controls(options.order, options.filter)
    shown: Screen | None = None

    def draw() -> None:
        if shown is not None:
            terminal.show(View(shown, controls, options.realm or os.environ.get("MESH_REALM") or "default"))

    def on_keys(keys: str) -> None:
        nonlocal controls
        controls = controls.after(keys)
        if controls.quitting or not keys:
            stopping.set()
        draw()

    with Terminal(Console(highlight=False), on_keys, draw) as terminal:
        async for screen in screens:
            if not controls.paused:
                shown = screen
                draw()
