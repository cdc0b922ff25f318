"""Other libraries, each set up as its documentation says, echoing bodies: whichever are installed beside the mesh.

All of their names come from `import_module`: none of them is a dependency, not even of the type checker.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, TypeAlias

from scripts.bench_load import HOST, Call, Client, Load, Run, Tally, concurrently

__all__ = ["CLIENTS", "PEERS", "SERVERS", "Peer"]

Announce: TypeAlias = Callable[[list[int]], None]
_CONNECT_S = 5.0


@dataclass(frozen=True)
class Peer:
    """A library."""

    name: str
    module: str
    at_least: float = 0.0
    """The mesh has to be so many times as fast; 0: nothing is promised."""
    program: str = ""
    """What it needs beside the module."""

    def missing(self) -> str:
        """Return a sentence about what is not installed, or nothing."""
        if find_spec(self.module) is None:
            return f"{self.name}: the module {self.module} is not installed"
        if self.program and shutil.which(self.program) is None:
            return f"{self.name}: the program {self.program} is not installed"
        return ""


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


def _wait_for_port(port: int) -> None:
    until = time.monotonic() + _CONNECT_S
    while True:
        try:
            socket.create_connection((HOST, port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.01)


# -- nats-py: a broker between client and server, which is not in what the server costs


async def _answer_nats(port: int, announce: Announce) -> None:
    connection = await import_module("nats").connect(f"nats://{HOST}:{port}")

    async def answer(message: Any) -> None:
        await message.respond(message.data)

    await connection.subscribe("echo", cb=answer)
    await connection.flush()
    announce([port])
    await asyncio.Event().wait()


def _serve_nats(servers: int, announce: Announce) -> None:
    port = _free_port()
    # The shell ends it when this process has ended, whatever the way: then its input does.
    script = f"nats-server -a {HOST} -p {port} & read -r line; kill $!"
    subprocess.Popen(["sh", "-c", script], stdin=subprocess.PIPE, stderr=subprocess.DEVNULL)
    _wait_for_port(port)
    asyncio.run(_answer_nats(port, announce))


@contextlib.asynccontextmanager
async def _nats(load: Load) -> AsyncIterator[Call]:
    body = load.body
    connection = await import_module("nats").connect(f"nats://{HOST}:{load.ports[0]}")
    yield lambda: connection.request("echo", body, timeout=30)
    await connection.close()


# -- grpc.aio


def _serve_grpc(servers: int, announce: Announce) -> None:
    grpc = import_module("grpc")

    async def echo(body: bytes, context: object) -> bytes:
        return body

    async def main() -> None:
        server = import_module("grpc.aio").server()
        methods = {"echo": grpc.unary_unary_rpc_method_handler(echo)}
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("echo", methods),))
        port = server.add_insecure_port(f"{HOST}:0")
        await server.start()
        announce([port])
        await server.wait_for_termination()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def _grpc(load: Load) -> AsyncIterator[Call]:
    body = load.body
    async with import_module("grpc.aio").insecure_channel(f"{HOST}:{load.ports[0]}") as channel:
        echo = channel.unary_unary("/echo/echo")

        async def call() -> None:
            await echo(body)

        yield call


# -- zenoh: peers with explicit addresses


def _open_zenoh(role: str, port: int) -> Any:
    zenoh = import_module("zenoh")
    config = zenoh.Config()
    settings = {
        "mode": "peer",
        "scouting/multicast/enabled": False,
        "scouting/gossip/enabled": False,
        "listen/endpoints": [],
        f"{role}/endpoints": [f"tcp/{HOST}:{port}"],
    }
    for name, value in settings.items():
        config.insert_json5(name, json.dumps(value))
    return zenoh.open(config)


def _serve_zenoh(servers: int, announce: Announce) -> None:
    port = _free_port()
    with _open_zenoh("listen", port) as session:
        queryable = session.declare_queryable("echo", lambda query: query.reply("echo", query.payload), complete=True)
        announce([port])
        threading.Event().wait()
        queryable.undeclare()


@contextlib.asynccontextmanager
async def _zenoh(load: Load) -> AsyncIterator[Call]:
    body, loop = load.body, asyncio.get_running_loop()
    with _open_zenoh("connect", load.ports[0]) as session:
        await asyncio.sleep(0.5)  # until it has heard of the queryable; a query before that is answered by nobody

        async def call() -> None:
            answered: asyncio.Future[None] = loop.create_future()
            # Zenoh's own thread brings the answer.
            session.get("echo", lambda reply: loop.call_soon_threadsafe(answered.set_result, None), payload=body)
            await answered

        yield call


# -- aiohttp


def _serve_aiohttp(servers: int, announce: Announce) -> None:
    web = import_module("aiohttp.web")

    async def echo(request: Any) -> Any:
        return web.Response(body=await request.read())

    async def main() -> None:
        app = web.Application()
        app.router.add_post("/", echo)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        announce([runner.addresses[0][1]])
        await asyncio.Event().wait()

    asyncio.run(main())


@contextlib.asynccontextmanager
async def _aiohttp(load: Load) -> AsyncIterator[Call]:
    aiohttp, body, url = import_module("aiohttp"), load.body, f"http://{HOST}:{load.ports[0]}/"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> None:
            async with session.post(url, data=body) as answer:
                await answer.read()

        yield call


# -- zerorpc: greenlets instead of tasks


class _ZerorpcEcho:
    """What zerorpc serves."""

    def echo(self, body: bytes) -> bytes:
        """Return it."""
        return body


def _serve_zerorpc(servers: int, announce: Announce) -> None:
    port = _free_port()
    server = import_module("zerorpc").Server(_ZerorpcEcho())
    server.bind(f"tcp://{HOST}:{port}")
    announce([port])
    server.run()


@contextlib.contextmanager
def _zerorpc(load: Load) -> Iterator[Run]:
    gevent, body = import_module("gevent"), load.body
    client = import_module("zerorpc").Client()
    client.connect(f"tcp://{HOST}:{load.ports[0]}")

    def run(seconds: float) -> Tally:
        tally = Tally()
        until = time.perf_counter() + seconds

        def ask() -> None:
            while time.perf_counter() < until:
                client.echo(body)
                tally.calls += 1

        gevent.joinall([gevent.spawn(ask) for _ in range(load.in_flight)])
        return tally

    yield run
    client.close()


# -- rpyc: results that come later


def _serve_rpyc(servers: int, announce: Announce) -> None:
    class Echo(import_module("rpyc").Service):  # type: ignore[misc]
        def exposed_echo(self, body: bytes) -> bytes:
            return body

    server = import_module("rpyc.utils.server").ThreadedServer(Echo, hostname=HOST, port=0)
    server.listener.listen()  # which `start` does too, but later
    announce([server.port])
    server.start()


@contextlib.contextmanager
def _rpyc(load: Load) -> Iterator[Run]:
    rpyc, body = import_module("rpyc"), load.body
    connection = rpyc.connect(HOST, load.ports[0])
    echo = rpyc.async_(connection.root.echo)
    under_way = deque(echo(body) for _ in range(load.in_flight))

    def run(seconds: float) -> Tally:
        tally = Tally()
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            under_way.popleft().wait()
            under_way.append(echo(body))
            tally.calls += 1
        return tally

    yield run
    connection.close()


# -- pynng: a context for each call in flight


def _serve_pynng(servers: int, announce: Announce) -> None:
    port = _free_port()
    with import_module("pynng").Rep0(listen=f"tcp://{HOST}:{port}") as rep:
        announce([port])
        while True:
            rep.send(rep.recv())


@contextlib.asynccontextmanager
async def _pynng(load: Load) -> AsyncIterator[Call]:
    body = load.body
    with import_module("pynng").Req0(dial=f"tcp://{HOST}:{load.ports[0]}") as req:
        idle = [req.new_context() for _ in range(load.in_flight)]

        async def call() -> None:
            context = idle.pop()
            await context.asend(body)
            await context.arecv()
            idle.append(context)

        yield call


PEERS: dict[str, Peer] = {
    "nats": Peer("nats-py", "nats", 4.0, "nats-server"),
    "grpc": Peer("grpc.aio", "grpc", 4.0),
    "zenoh": Peer("zenoh", "zenoh", 4.0),
    "aiohttp": Peer("aiohttp", "aiohttp", 4.0),
    "zerorpc": Peer("zerorpc", "zerorpc", 4.0),
    "rpyc": Peer("rpyc", "rpyc"),
    "pynng": Peer("pynng", "pynng"),
}
SERVERS: dict[str, Callable[[int, Announce], None]] = {
    "nats": _serve_nats,
    "grpc": _serve_grpc,
    "zenoh": _serve_zenoh,
    "aiohttp": _serve_aiohttp,
    "zerorpc": _serve_zerorpc,
    "rpyc": _serve_rpyc,
    "pynng": _serve_pynng,
}
CLIENTS: dict[str, Client] = {
    "nats": lambda load: concurrently(_nats(load), load.in_flight),
    "grpc": lambda load: concurrently(_grpc(load), load.in_flight),
    "zenoh": lambda load: concurrently(_zenoh(load), load.in_flight),
    "aiohttp": lambda load: concurrently(_aiohttp(load), load.in_flight),
    "zerorpc": _zerorpc,
    "rpyc": _rpyc,
    "pynng": lambda load: concurrently(_pynng(load), load.in_flight),
}
