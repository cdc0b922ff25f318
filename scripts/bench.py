"""How fast the mesh is, beside bare pyzmq loops measured in the same run.

Servers are processes of their own; every contender is measured in turn, round after round, and each round gives one
ratio to its base: other work on the machine moves absolute numbers by a third, the ratios much less. Run it on a quiet
machine:

    python scripts/bench.py                      # everything, 5 rounds
    python scripts/bench.py --only sync async --rounds 9 --json

`p50` is the median latency of one call after the other; `rate` is calls a second with so many in flight. `cpu` is
microseconds per call, all threads, of the client and of its server.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import zmq

from mesh import AsyncClient, AsyncServer, Client, Request, Server, Service

HOST = "127.0.0.1"
METHOD = "echo.echo"


# -- servers: each runs in a process of its own until its standard input closes


def echo_service() -> Service:
    """Return the service that is measured: inline, coroutine and typed."""
    service = Service("echo")

    @service.method(raw=True)
    def echo(request: Request) -> list[bytes]:
        return request.frames

    @service.method(raw=True)
    async def later(request: Request) -> list[bytes]:
        return request.frames

    @service.method
    def add(a: int, b: int) -> int:
        return a + b

    return service


def serve_raw(kind: int) -> None:
    """Echo in the plainest fast loop: one blocking receive, then whatever else is there."""
    socket = zmq.Context().socket(kind)
    port = socket.bind_to_random_port(f"tcp://{HOST}")
    print(port, flush=True)
    while True:
        parts = [socket.recv()]
        while socket.getsockopt(zmq.RCVMORE):
            parts.append(socket.recv())
        for part in parts[:-1]:
            socket.send(part, zmq.SNDMORE)
        socket.send(parts[-1])


def serve_mesh() -> None:
    """The mesh's own server, its handlers called inline."""
    server = Server(echo_service(), bind=f"tcp://{HOST}:0", advertise=False).start()
    print(server.endpoints[0].rpartition(":")[2], flush=True)
    server.wait()


def serve_mesh_async() -> None:
    """The mesh's asyncio server."""

    async def main() -> None:
        async with AsyncServer(echo_service(), bind=f"tcp://{HOST}:0", advertise=False) as server:
            print(server.endpoints[0].rpartition(":")[2], flush=True)
            await server.wait()

    asyncio.run(main())


SERVERS: dict[str, Callable[[], None]] = {
    "raw-rep": lambda: serve_raw(zmq.REP),
    "raw-router": lambda: serve_raw(zmq.ROUTER),
    "mesh": serve_mesh,
    "mesh-async": serve_mesh_async,
}


class ServerProcess:
    """One of SERVERS in a process."""

    def __init__(self, kind: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", kind], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    def cpu_s(self) -> float:
        """Return the processor time it has used, in seconds; 0 where /proc does not tell."""
        try:
            with open(f"/proc/{self._process.pid}/stat") as stat:
                fields = stat.read().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def end_with_parent() -> None:
    """Leave when the process that started this one does."""

    def wait() -> None:
        sys.stdin.read()
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()


# -- clients: each runs for a while and returns how many calls it made, and their latencies if it made them one by one


def raw_req(port: int, body: bytes, in_flight: int, seconds: float) -> tuple[int, list[float]]:
    """A bare REQ socket."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
    socket.connect(f"tcp://{HOST}:{port}")
    try:
        return one_by_one(lambda: (socket.send(body), socket.recv()), seconds)
    finally:
        socket.close(0)


def raw_dealer(port: int, body: bytes, in_flight: int, seconds: float) -> tuple[int, list[float]]:
    """A bare DEALER loop that keeps so many in flight."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    socket.connect(f"tcp://{HOST}:{port}")
    until = time.perf_counter() + seconds
    sent = got = 0
    try:
        while time.perf_counter() < until:
            while sent - got < in_flight:
                socket.send_multipart([sent.to_bytes(8, "big") + body])
                sent += 1
            socket.recv_multipart()
            got += 1
            try:
                while got < sent:
                    socket.recv_multipart(zmq.NOBLOCK)
                    got += 1
            except zmq.Again:
                pass
        return got, []
    finally:
        socket.close(0)


def raw_thread(port: int, body: bytes, in_flight: int, seconds: float) -> tuple[int, list[float]]:
    """A background thread that owns a DEALER, and so many threads that hand their requests to it."""
    from collections import deque

    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context.instance()
    socket = context.socket(zmq.DEALER)
    socket.connect(f"tcp://{HOST}:{port}")
    wake_out, wake_in = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    wake_out.bind(f"inproc://bench-{id(socket)}")
    wake_in.connect(f"inproc://bench-{id(socket)}")
    todo: deque[tuple[bytes, threading.Lock]] = deque()
    waiting: dict[bytes, threading.Lock] = {}
    lock = threading.Lock()
    stop = False
    counts = [0] * in_flight
    until = time.perf_counter() + seconds

    def own() -> None:
        poller = zmq.Poller()
        poller.register(socket, zmq.POLLIN)
        poller.register(wake_out, zmq.POLLIN)
        number = 0
        while not stop:
            for ready, _ in poller.poll(100):
                if ready is wake_out:
                    wake_out.recv()
            while todo:
                _, bell = todo.popleft()
                number += 1
                key = number.to_bytes(8, "big")
                waiting[key] = bell
                socket.send(key + body)
            try:
                while True:
                    waiting.pop(socket.recv(zmq.NOBLOCK)[:8]).release()
            except zmq.Again:
                pass

    def ask(index: int) -> None:
        bell = threading.Lock()
        bell.acquire()
        while time.perf_counter() < until:
            todo.append((body, bell))
            with lock:
                wake_in.send(b"")
            bell.acquire()
            counts[index] += 1

    owner = threading.Thread(target=own)
    owner.start()
    askers = [threading.Thread(target=ask, args=(index,)) for index in range(in_flight)]
    for asker in askers:
        asker.start()
    for asker in askers:
        asker.join()
    stop = True
    owner.join()
    for open_socket in (socket, wake_in, wake_out):
        open_socket.close(0)
    return sum(counts), []


def one_by_one(call: Callable[[], object], seconds: float) -> tuple[int, list[float]]:
    """Call again and again."""
    took: list[float] = []
    clock = time.perf_counter
    until = clock() + seconds
    before = clock()
    while before < until:
        call()
        after = clock()
        took.append(after - before)
        before = after
    return len(took), took


def endpoint(port: int) -> list[str]:
    """Return the servers argument of a client."""
    return [f"tcp://{HOST}:{port}"]


def mesh_sync(port: int, body: bytes, in_flight: int, seconds: float) -> tuple[int, list[float]]:
    """Client.request, one after the other."""
    with Client(endpoint(port), discover=False) as client:
        client.wait_for(1)
        return one_by_one(lambda: client.request(METHOD, body, timeout=5.0), seconds)


def mesh_typed(port: int, body: bytes, in_flight: int, seconds: float) -> tuple[int, list[float]]:
    """Client.call of a typed method, one after the other."""
    with Client(endpoint(port), discover=False) as client:
        client.wait_for(1)
        return one_by_one(lambda: client.call("echo.add", 2, 3, timeout=5.0), seconds)


def mesh_threads(port: int, body: bytes, in_flight: int, seconds: float) -> tuple[int, list[float]]:
    """So many threads on one Client."""
    counts = [0] * in_flight
    with Client(endpoint(port), discover=False) as client:
        client.wait_for(1)
        until = time.perf_counter() + seconds

        def ask(index: int) -> None:
            while time.perf_counter() < until:
                client.request(METHOD, body, timeout=5.0)
                counts[index] += 1

        askers = [threading.Thread(target=ask, args=(index,)) for index in range(in_flight)]
        for asker in askers:
            asker.start()
        for asker in askers:
            asker.join()
    return sum(counts), []


def mesh_async(method: str) -> Callable[[int, bytes, int, float], tuple[int, list[float]]]:
    """AsyncClient with so many calls in flight, one after the other if that is 1."""

    async def calls(port: int, body: bytes, in_flight: int, seconds: float) -> tuple[int, list[float]]:
        async with AsyncClient(endpoint(port), discover=False) as client:
            await client.wait_for(1)
            took: list[float] = []
            counts = [0] * in_flight
            clock = time.perf_counter
            until = clock() + seconds

            async def ask(index: int) -> None:
                before = clock()
                while before < until:
                    await client.request(method, body, timeout=5.0)
                    counts[index] += 1
                    after = clock()
                    if in_flight == 1:
                        took.append(after - before)
                    before = after

            await asyncio.gather(*(ask(index) for index in range(in_flight)))
            return sum(counts), took

    return lambda port, body, in_flight, seconds: asyncio.run(calls(port, body, in_flight, seconds))


@dataclass(frozen=True)
class Contender:
    """One way of calling, and what it is compared with."""

    name: str
    server: str
    run: Callable[[int, bytes, int, float], tuple[int, list[float]]]
    in_flight: int = 1
    octets: int = 100
    base: str = ""
    """Name of the contender whose figure is 1; empty for a base."""
    wanted: str = ""
    """The figure that is to be reached."""


SUITES: dict[str, list[Contender]] = {
    "sync": [
        Contender("raw REQ/REP", "raw-rep", raw_req),
        Contender("Client.request", "mesh", mesh_sync, base="raw REQ/REP", wanted="<= 1.25"),
        Contender("Client.call typed", "mesh", mesh_typed, base="raw REQ/REP"),
    ],
    "async": [
        Contender("raw REQ/REP", "raw-rep", raw_req),
        Contender("AsyncClient.request", "mesh", mesh_async(METHOD), base="raw REQ/REP"),
    ],
    "flight": [
        Contender("raw DEALER, 64", "raw-router", raw_dealer, 64),
        Contender("AsyncClient, 64", "mesh", mesh_async(METHOD), 64, base="raw DEALER, 64"),
        Contender("AsyncClient, 256", "mesh", mesh_async(METHOD), 256, base="raw DEALER, 64", wanted=">= 1.0"),
        Contender(
            "AsyncClient, 256, coroutine handlers", "mesh-async", mesh_async("echo.later"), 256, base="raw DEALER, 64"
        ),
    ],
    "threads": [
        Contender("raw background thread, 16 threads", "raw-router", raw_thread, 16),
        Contender("Client, 16 threads", "mesh", mesh_threads, 16, base="raw background thread, 16 threads"),
    ],
    "bodies": [
        Contender("raw DEALER, 64 of 64 KiB", "raw-router", raw_dealer, 64, 65536),
        Contender("AsyncClient, 64 of 64 KiB", "mesh", mesh_async(METHOD), 64, 65536, base="raw DEALER, 64 of 64 KiB"),
    ],
}


def measure(contender: Contender, server: ServerProcess, seconds: float) -> dict[str, float]:
    """Run a contender once, after a warm-up."""
    body = b"x" * contender.octets
    contender.run(server.port, body, contender.in_flight, seconds / 4)
    client_before, server_before = cpu_s(), server.cpu_s()
    began = time.perf_counter()
    count, took = contender.run(server.port, body, contender.in_flight, seconds)
    elapsed = time.perf_counter() - began
    figures = {
        "rate": count / elapsed,
        "client_cpu_us": (cpu_s() - client_before) / count * 1e6,
        "server_cpu_us": (server.cpu_s() - server_before) / count * 1e6,
    }
    if took:
        took.sort()
        figures["p50_us"] = took[len(took) // 2] * 1e6
        figures["p99_us"] = took[len(took) * 99 // 100] * 1e6
    return figures


def cpu_s() -> float:
    """Return the processor time of this process, all threads."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def run_suite(name: str, rounds: int, seconds: float, report: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure a suite and return a row for each contender."""
    contenders = SUITES[name]
    servers = {kind: ServerProcess(kind) for kind in dict.fromkeys(one.server for one in contenders)}
    figures: dict[str, list[dict[str, float]]] = {one.name: [] for one in contenders}
    try:
        for number in range(rounds):
            for one in contenders:
                report(f"{name}, round {number + 1} of {rounds}: {one.name}")
                figures[one.name].append(measure(one, servers[one.server], seconds))
    finally:
        for server in servers.values():
            server.stop()
    rows = []
    for one in contenders:
        mine = figures[one.name]
        row: dict[str, Any] = {"suite": name, "contender": one.name, "wanted": one.wanted}
        for key in mine[0]:
            row[key] = round(statistics.median(figure[key] for figure in mine), 1)
        what = row["compared"] = "p50" if "p50_us" in mine[0] else "rate"
        key = "p50_us" if what == "p50" else "rate"
        if one.base:
            ratios = [figure[key] / base[key] for figure, base in zip(mine, figures[one.base], strict=True)]
            row["ratio"] = round(statistics.median(ratios), 3)
            row["ratio_low"], row["ratio_high"] = round(min(ratios), 3), round(max(ratios), 3)
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    """Print the rows as a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title="the mesh beside bare pyzmq, medians")
    for column in ("contender", "compared", "ratio", "low to high", "wanted", "calls/s", "p50 us", "p99 us", "cpu us"):
        table.add_column(column, justify="left" if column in ("contender", "compared", "wanted") else "right")
    suite = ""
    for row in rows:
        if suite and row["suite"] != suite:
            table.add_section()
        suite = row["suite"]
        table.add_row(
            row["contender"],
            row["compared"],
            f"{row['ratio']:.2f}" if "ratio" in row else "base",
            f"{row['ratio_low']:.2f} to {row['ratio_high']:.2f}" if "ratio" in row else "",
            row["wanted"],
            f"{row['rate']:.0f}",
            f"{row['p50_us']:.0f}" if "p50_us" in row else "",
            f"{row['p99_us']:.0f}" if "p99_us" in row else "",
            f"{row['client_cpu_us']:.1f} + {row['server_cpu_us']:.1f}",
        )
    Console().print(table)


def main() -> int:
    """Measure what the arguments ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(SUITES), default=list(SUITES), metavar="SUITE")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="length of one measurement")
    parser.add_argument("--json", action="store_true", help="print one JSON object a contender")
    parser.add_argument("--serve", choices=list(SERVERS), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        end_with_parent()
        SERVERS[args.serve]()
        return 0
    quiet = args.json or not sys.stderr.isatty()
    rows: list[dict[str, Any]] = []
    for name in args.only:
        rows += run_suite(
            name,
            args.rounds,
            args.seconds,
            (lambda text: None)
            if quiet
            else lambda text: print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True),
        )
    if not quiet:
        print("\r\033[K", end="", file=sys.stderr)
    if args.json:
        for row in rows:
            print(json.dumps(row))
    else:
        show(rows)
    return 0


if __name__ == "__main__":
    sys.exit(main())
