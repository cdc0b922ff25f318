"""Makes the picture of the gateway's page that the README shows: servers under load, of which one is killed.

python -m scripts.page_picture [FILE] [--dark]     the default is scripts/mesh-page.png; needs Chromium and a minute
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import subprocess
import sys
import time
from pathlib import Path

from mesh import AsyncClient, CallError
from scripts.browser import Browser
from scripts.fleet import LOOPBACK, Fleet, Node

__all__: list[str] = []

_SERVERS = {"calc": 3, "geo": 2, "text": 2}
_RATES = {"calc": 240.0, "geo": 60.0, "text": 110.0}
"""Calls a second of each service, and so many servers as above."""
_KILLED, _KILLED_AT_S, _SECONDS = "calc-3", 20.0, 24.0
_WIDTH, _HEIGHT = 1280, 690


async def _load(client: AsyncClient, service: str, until: float) -> None:
    """Call at a pace that rises and falls; every fortieth call of one service fails."""
    number = 0
    async with asyncio.TaskGroup() as tasks:
        while time.monotonic() < until:
            number += 1
            seconds = (
                "soon" if service == "geo" and number % 40 == 0 else f"{0.001 + 0.004 * abs(math.sin(number)):.4f}"
            )
            tasks.create_task(_call(client, f"{service}.nap", f"{number} {seconds}"))
            await asyncio.sleep((1 + 0.6 * math.sin(number / 90)) / _RATES[service])


async def _call(client: AsyncClient, method: str, body: str) -> None:
    try:
        await client.request(method, body.encode(), timeout=1.0)
    except CallError:
        pass


async def _under_load(fleet: Fleet, until: float, dying: Node) -> None:
    asyncio.get_running_loop().call_later(_KILLED_AT_S, dying.kill)
    async with AsyncClient(**fleet.settings) as client, asyncio.TaskGroup() as tasks:
        for service in _RATES:
            tasks.create_task(_load(client, service, until))


def main() -> None:
    """Write the picture."""
    parser = argparse.ArgumentParser(prog="scripts.page_picture", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, default=Path(__file__).with_name("mesh-page.png"))
    parser.add_argument("--dark", action="store_true", help="as those see it who prefer dark colours")
    given = parser.parse_args()
    command = [sys.executable, "-m", "mesh.cli.main", "gateway", "--listen", f"{LOOPBACK}:0", "--json"]
    with Fleet() as fleet:
        nodes = {
            node.name: node
            for service, count in _SERVERS.items()
            for node in [fleet.launch(f"{service}-{number}", service=service) for number in range(1, count + 1)]
        }
        for node in nodes.values():
            node.ready()
        where = ["--realm", fleet.realm, "--interface", LOOPBACK]
        with (
            subprocess.Popen([*command, *where], stdout=subprocess.PIPE, text=True) as gateway,
            Browser(_WIDTH, _HEIGHT) as browser,
        ):
            assert gateway.stdout is not None
            url = json.loads(gateway.stdout.readline())["url"]
            browser.prefer("dark" if given.dark else "light")
            browser.open(url)
            browser.wait(f"document.querySelectorAll('#rows tr').length == {len(nodes)}")
            until = time.monotonic() + _SECONDS
            asyncio.run(_under_load(fleet, until, nodes[_KILLED]))
            given.file.write_bytes(browser.picture())
            gateway.terminate()


if __name__ == "__main__":
    main()
