"""A server to call, and the command line in this process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

import msgspec
import pytest

from mesh import RemoteError, Request, Server, Service, Status
from mesh.cli.main import main
from mesh.core.server import ControlMethod
from tests.helpers import free_port

Run = Callable[..., tuple[int, str, str]]


def calc_service() -> Service:
    """Return a service whose methods take, give and fail in every way the tests need."""
    calc = Service("calc", version="1.0.0")

    @calc.method
    def add(a: int, b: int = 10) -> int:
        return a + b

    @calc.method
    def join(*parts: str) -> str:
        return "".join(parts)

    @calc.method
    def plan(timeout: int, key: str) -> list[str]:
        return [str(timeout), key]

    @calc.method
    def blob() -> dict[str, bytes]:
        return {"data": b"\xff\x00"}

    @calc.method
    def fail() -> None:
        raise RemoteError("no such order\x1b[31m", code=Status.NOT_FOUND)

    @calc.method
    def divide() -> float:
        return 1 / 0

    runs = itertools.count()

    @calc.method
    def flaky() -> None:
        if next(runs) % 2:
            raise RemoteError("down", code=Status.UNAVAILABLE)

    @calc.method(raw=True)
    def echo(request: Request) -> list[bytes]:
        return request.frames

    return calc


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Where a server with `calc` listens; nobody advertises it."""
    with Server(calc_service(), bind="tcp://127.0.0.1:0", name="calc-1", advertise=False) as server:
        yield server.endpoints[0]


@pytest.fixture
def second() -> Iterator[str]:
    """Where a server listens that has another version of `calc`, and a service of its own."""
    calc = Service("calc", version="2.0.0", description="counts", metadata={"site": "B"})
    geo = Service("geo", version="0.1.0")

    @calc.method(read_only=True)
    def add(a: float, b: float) -> float:
        """Add two numbers.

        Any two.
        """
        return a + b

    @geo.method(raw=True, idempotent=False)
    def move(request: Request) -> bytes:
        return b""

    with Server(calc, geo, bind="tcp://127.0.0.1:0", name="calc-2", advertise=False) as server:
        yield server.endpoints[0]


@pytest.fixture
def foreign() -> str:
    """An address, where nobody listens, of a server that knows no methods."""
    return f"tcp://127.0.0.1:{free_port()}?proto=rep&service=clock&name=old"


@pytest.fixture
def garbled(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where a server listens that answers reserved methods with anything, another thing each time."""
    answers = itertools.cycle(
        [None, 7, [1], {"services": 5, "endpoints": [3, {"metadata": []}], "uptime_s": "x"}, {"metadata": {"a": [0]}}]
    )

    def encoded(_: object) -> ControlMethod:
        return lambda frames, now: msgspec.msgpack.encode(next(answers))

    monkeypatch.setattr("mesh.introspection._encoded", encoded)
    service = Service("odd")
    service.method(name="nothing")(lambda: None)
    with Server(service, bind="tcp://127.0.0.1:0", name="odd-1", advertise=False) as server:
        yield server.endpoints[0]


@pytest.fixture
def run(capsysbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run `mesh` in this process; gives the exit code and what it wrote to its two outputs."""

    def run_main(*words: str) -> tuple[int, str, str]:
        capsysbinary.readouterr()
        try:
            code = main(words)
        except SystemExit as exit_:  # argparse, after --help
            code = int(exit_.code or 0)
        out, err = capsysbinary.readouterr()
        return code, out.decode("utf-8", "surrogateescape"), err.decode()

    return run_main
