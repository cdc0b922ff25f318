"""Makes the picture of mesh-top that the README shows: servers under load, of which one is killed and one drained.

.venv/bin/python -m scripts.picture [FILE]     the default is scripts/mesh-top.svg; takes twenty seconds
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import io
import math
import random
import re
import sys
from pathlib import Path

from rich.console import Console

from mesh import AsyncClient, CallError
from mesh.top.board import Board, Screen
from mesh.top.columns import Order
from mesh.top.controls import DRAIN, Ask, Controls
from mesh.top.probe import Probe
from mesh.top.view import View
from scripts.fleet import Fleet

__all__: list[str] = []

_RATES = {"calc": 240.0, "geo": 60.0, "text": 110.0}
"""Calls a second of each service, and so many servers as follow."""
_SERVERS = {"calc": 3, "geo": 2, "text": 2}
_LOOKS = 60
_LOOK_S = 0.25
_DRAINED, _DRAINED_AT = "text-2", 40
_KILLED, _KILLED_AT = "calc-3", 50
_WIDTH, _HEIGHT = 110, 19
_BLANK, _CELL = "&#160;", 12.2
_TEXT = re.compile(rf'x="([0-9.]+)"([^>]*)textLength="([0-9.]+)"([^>]*)>((?:{_BLANK})+)([^<]*)<')
"""Text that begins with blanks; a cell is so many units wide."""


async def _call(client: AsyncClient, service: str, number: int) -> None:
    """Make one call; every fortieth of one service fails, for its body cannot be read."""
    seconds = "soon" if service == "geo" and number % 40 == 0 else f"{random.expovariate(400):.4f}"
    method = random.choice(("nap", "nap", "hold"))
    with contextlib.suppress(CallError):
        await client.request(f"{service}.{method}", f"{number} {seconds}".encode(), timeout=1.0)


async def _load(client: AsyncClient, service: str) -> None:
    """Call at a pace that rises and falls."""
    number = 0
    async with asyncio.TaskGroup() as tasks:
        while True:
            number += 1
            tasks.create_task(_call(client, service, number))
            await asyncio.sleep((1 + 0.6 * math.sin(number / 90)) / _RATES[service])


async def _watched(fleet: Fleet) -> Screen:
    """Return the last of many looks at servers under load."""
    nodes = {
        node.name: node
        for service, count in _SERVERS.items()
        for node in [fleet.launch(f"{service}-{number}", service=service) for number in range(1, count + 1)]
    }
    for node in nodes.values():
        node.ready()
    board = Board()
    loop = asyncio.get_running_loop()
    # Two clients, as in life: what mesh-top asks does not wait for what is called.
    async with AsyncClient(**fleet.settings) as caller, AsyncClient(**fleet.settings) as watcher:
        for client in (caller, watcher):
            await client.wait_for(len(nodes), timeout=10.0)
        probe = Probe(watcher)
        ids = {view.name: view.peer_id for view in watcher.servers()}
        loads = [loop.create_task(_load(caller, service)) for service in _SERVERS]
        for number in range(_LOOKS):
            if number == _DRAINED_AT:
                await probe.act(Ask(DRAIN, ids[_DRAINED], _DRAINED))
            if number == _KILLED_AT:
                nodes[_KILLED].kill()
            screen = board.update(await probe.look(loop.time() + _LOOK_S))
        for load in loads:
            load.cancel()
        await asyncio.wait(loads)
        await probe.close()
    return dataclasses.replace(screen, strangers=0)  # whoever else is on this machine


def _without_blanks(text: re.Match[str]) -> str:
    """Place a text where its first letter is: not every viewer gives blanks before it their room."""
    x, between, length, attributes, blanks, words = text.groups()
    width = blanks.count(_BLANK) * _CELL
    return f'x="{float(x) + width:.1f}"{between}textLength="{float(length) - width:.1f}"{attributes}>{words}<'


def main() -> None:
    """Write the picture."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "mesh-top.svg"
    with Fleet() as fleet:
        screen = asyncio.run(_watched(fleet))
    console = Console(
        record=True, width=_WIDTH, height=_HEIGHT, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(View(screen, Controls(Order("calls_per_s", down=True)), "default"))
    picture = console.export_svg(title="mesh-top", unique_id="mesh-top")
    # Whoever looks at the picture would fetch the fonts from a third host.
    picture = re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL)
    path.write_text(_TEXT.sub(_without_blanks, picture), encoding="utf-8")


if __name__ == "__main__":
    main()
