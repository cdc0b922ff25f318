"""A process to be attacked: a server of either kind, or a client that calls all the time.

    python -m scripts.hostile_prey sync|async REALM
    python -m scripts.hostile_prey client REALM [ENDPOINT…]

A server prints its endpoint. A client without endpoints discovers its servers; it prints who is alive when it
begins to call, and after SIGTERM a line of JSON about its calls and one about what it has counted.
"""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
import threading
from typing import Self

import msgspec

from mesh import AsyncServer, Client, Request, Server, Service
from scripts.fleet import LOOPBACK
from scripts.pace import Pace, steady

__all__ = ["RATE"]

RATE = 300.0
"""Calls a second that a client makes, one after the other."""


def _work() -> Service:
    work = Service("work")

    @work.method(raw=True, threaded=False)
    def echo(request: Request) -> bytes:
        """Say what was said."""
        return bytes(request.body)

    @work.method
    async def nap(seconds: float) -> float:
        """Take a while."""
        await asyncio.sleep(min(seconds, 0.01))
        return seconds

    @work.method(idempotent=False)
    def once(words: list[str]) -> int:
        """Count."""
        return len(words)

    return work


class _Sync(Server):
    def start(self) -> Self:
        super().start()
        print(self.endpoints[0], flush=True)
        return self


class _Async(AsyncServer):
    async def start(self) -> Self:
        await super().start()
        print(self.endpoints[0], flush=True)
        return self


def _serve(kind: str, realm: str) -> None:
    where = f"tcp://{LOOPBACK}:0"
    if kind == "async":
        asyncio.run(_Async(_work(), bind=where, realm=realm, interfaces=[LOOPBACK]).run())
    else:
        _Sync(_work(), bind=where, realm=realm, interfaces=[LOOPBACK]).run()


def _call(realm: str, endpoints: list[str]) -> None:
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    with Client(servers=endpoints, discover=not endpoints, realm=realm, interfaces=[LOOPBACK]) as client:
        alive = client.wait_for(min(len(endpoints), 1) or 3, service="work", timeout=20.0)
        with Pace(client, RATE, 1, steady()) as pace:
            print("alive", *(f"{one.name} {one.peer_id} {one.address}" for one in alive), "calls", sep="\n", flush=True)
            ended.wait()
        counters = msgspec.to_builtins(client.counters())
        servers = {one.peer_id: one.state for one in client.servers()}
    calls = [
        (one.started_at, one.took_s, one.attempts[-1].peer_id if one.attempts else "", one.error) for one in pace.done
    ]
    print(json.dumps(calls))
    print(json.dumps({"counters": counters, "servers": servers}), flush=True)


def main() -> None:
    """Be what the arguments say."""
    logging.disable()  # a flood is not to be written down
    kind, realm, *endpoints = sys.argv[1:]
    if kind == "client":
        _call(realm, endpoints)
    else:
        _serve(kind, realm)


if __name__ == "__main__":
    main()
