"""A process of servers to be killed, frozen and restarted; `scripts.fleet` starts it.

    python -m scripts.fleet_server NAME [--service SERVICE] [--bind ENDPOINT] [--count N] [--log FILE] [--parent PID]

It prints a line of JSON for each of its servers when that is up. A call that runs first appends a line to FILE. It
stops at SIGTERM as every server does, and ends with its parent whatever happens.
"""

from __future__ import annotations

import argparse
import asyncio
import ctypes
import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from typing import Self

from mesh import RemoteError, Request, Server, Service, Status

__all__: list[str] = []

_PR_SET_PDEATHSIG = 1


class _TellingServer(Server):
    """A server that says when it began to bind, and where it listens."""

    def start(self) -> Self:
        starts_at = time.monotonic()
        super().start()
        print(json.dumps({"name": self.name, "starts_at": starts_at, "endpoint": self.endpoints[0]}), flush=True)
        return self


@dataclass
class _Conduct:
    """How a server treats its calls."""

    slower: float = 1.0
    fails_with: str = ""


def _end_with(parent: int) -> None:
    """Have the kernel end this process with its parent, even while it is frozen; only Linux can."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it ended before we asked
            os._exit(1)


def _work(service: str, name: str, log: str) -> Service:
    """Return the service of this name; the body of a call is `TOKEN SECONDS`, and it takes so long."""
    work = Service(service, version="1.0.0", threads=64)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else -1
    conduct = _Conduct()

    def begin(request: Request) -> float:
        if conduct.fails_with:
            raise RemoteError("told to fail", code=Status[conduct.fails_with])
        token, seconds = request.body.decode().split()
        if descriptor >= 0:
            run = {"server": name, "token": token, "at": time.monotonic(), "deadline": request.deadline}
            os.write(descriptor, f"{json.dumps(run)}\n".encode())  # short, and with O_APPEND: never mixed with others
        return float(seconds) * conduct.slower

    @work.method
    def behave(slower: float = 1.0, fails_with: str = "") -> None:
        """From now on take so many times as long, or fail at once with the status of this name."""
        conduct.slower, conduct.fails_with = slower, fails_with

    @work.method(raw=True, threaded=False)
    def echo(request: Request) -> bytes:
        """Hold the server's loop for a while and say who it is."""
        time.sleep(begin(request))
        return name.encode()

    @work.method(raw=True)
    async def nap(request: Request) -> bytes:
        """Take a while together with others, and say who it is."""
        await asyncio.sleep(begin(request))
        return name.encode()

    @work.method(raw=True)
    def hold(request: Request) -> bytes:
        """Hold a thread for a while and say who it is."""
        time.sleep(begin(request))
        return name.encode()

    @work.method(raw=True, idempotent=False)
    def once(request: Request) -> bytes:
        """Do for a while what must not be done twice."""
        time.sleep(begin(request))
        return name.encode()

    return work


def main() -> None:
    """Serve until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("name")
    parser.add_argument("--service", default="work")
    parser.add_argument("--bind", default="tcp://*:0")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--log", default="")
    parser.add_argument("--parent", type=int, default=os.getppid())
    given = parser.parse_args()
    _end_with(given.parent)
    names = [given.name] if given.count == 1 else [f"{given.name}-{number}" for number in range(given.count)]
    first, *others = [
        _TellingServer(_work(given.service, name, given.log), bind=given.bind, name=name) for name in names
    ]
    for server in others:
        server.start()
    first.run()
    for server in others:
        server.stop()


if __name__ == "__main__":
    main()
