"""A client on a host of its own: begins calls at a steady pace, and prints what becomes of each.

    python -m tests.e2e.paced_client [--method METHOD] [--rate CALLS_A_SECOND] [--timeout SECONDS] [--server ENDPOINT]…

Every call that ends is a line of JSON, as is the list of servers whenever that has changed; `tests.e2e.hosts.Caller`
reads them. Calls begin when they are due, however many are open: those that wait for a server do not hold up others.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time

from mesh import AsyncClient, MeshError


async def _call(client: AsyncClient, method: str, timeout_s: float) -> None:
    began_at = time.monotonic()
    server = error = ""
    try:
        server = (await client.request(method, b"paced 0", timeout=timeout_s)).body.decode()
    except MeshError as failure:
        error = f"{type(failure).__name__}: {failure}"
    print(json.dumps({"began_at": began_at, "ended_at": time.monotonic(), "server": server, "error": error}))


async def _work(method: str, rate: float, timeout_s: float, servers: list[str]) -> None:
    told: dict[str, list[str]] = {}
    open_calls: set[asyncio.Task[None]] = set()
    due = time.monotonic()
    async with AsyncClient(servers=servers) as client:
        while True:
            call = asyncio.create_task(_call(client, method, timeout_s))
            open_calls.add(call)
            call.add_done_callback(open_calls.discard)
            now = {view.name: [view.state, *view.addresses] for view in client.servers()}
            if now != told:
                told = now
                print(json.dumps({"servers": told}))
            due = max(due + 1.0 / rate, time.monotonic())
            await asyncio.sleep(due - time.monotonic())


def main() -> None:
    """Call until the process is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--method", default="work.echo")
    parser.add_argument("--rate", type=float, default=200.0)
    parser.add_argument("--timeout", type=float, default=10.0)
    parser.add_argument("--server", action="append", default=[])
    given = parser.parse_args()
    asyncio.run(_work(given.method, given.rate, given.timeout, given.server))


if __name__ == "__main__":
    main()
