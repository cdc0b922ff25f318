"""Makes the picture of mesh-top that the README shows: three servers under load, one of them killed.

.venv/bin/python -m scripts.picture [FILE]     the default is scripts/mesh-top.svg; takes ten seconds
"""

from __future__ import annotations

import asyncio
import contextlib
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
from mesh.top.controls import Controls
from mesh.top.probe import Probe
from mesh.top.view import View
from scripts.fleet import LOOPBACK, Fleet

__all__: list[str] = []

_LOOKS = 60
_LOOK_S = 0.15
_KILLED_AT = 48
_WIDTH, _HEIGHT = 100, 16


async def _call(client: AsyncClient, number: int) -> None:
    """Make one call; every hundredth fails, for its body cannot be read."""
    seconds = "soon" if number % 100 == 0 else f"{random.expovariate(300):.4f}"
    with contextlib.suppress(CallError):
        await client.request("work.nap", f"{number} {seconds}".encode())


async def _load(client: AsyncClient) -> None:
    """Call at a pace that rises and falls."""
    number = 0
    async with asyncio.TaskGroup() as tasks:
        while True:
            number += 1
            tasks.create_task(_call(client, number))
            await asyncio.sleep(0.004 + 0.003 * math.sin(number / 120))


async def _watched(fleet: Fleet) -> Screen:
    """Return the last of many looks at servers under load."""
    victim = fleet.start("alpha", "beta", "gamma")[-1]
    board = Board()
    async with AsyncClient(realm=fleet.realm, interfaces=[LOOPBACK]) as client:
        await client.wait_for(3, timeout=10.0)
        probe = Probe(client)
        load = asyncio.create_task(_load(client))
        for look in range(_LOOKS):
            if look == _KILLED_AT:
                victim.kill()
            screen = board.update(await probe.look())
            await asyncio.sleep(_LOOK_S)
        load.cancel()
        await asyncio.wait([load])
        await probe.close()
    return screen


def main() -> None:
    """Write the picture."""
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "mesh-top.svg"
    with Fleet() as fleet:
        screen = asyncio.run(_watched(fleet))
    console = Console(
        record=True, width=_WIDTH, height=_HEIGHT, file=io.StringIO(), force_terminal=True, color_system="truecolor"
    )
    console.print(View(screen, Controls(Order("calls", down=True)), "default"))
    picture = console.export_svg(title="mesh-top", unique_id="mesh-top")
    # Whoever looks at the picture would fetch the fonts from a third host.
    path.write_text(re.sub(r"\s*@font-face \{.*?\}", "", picture, flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
