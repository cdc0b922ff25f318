"""What a service manager hears."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from mesh.notify import Notifier


@pytest.fixture(params=["path", "abstract"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, socket.socket]]:
    """What NOTIFY_SOCKET holds, and the socket that it names."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@mesh-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as hearing:
        hearing.bind(name.replace("@", "\0") if request.param == "abstract" else name)
        hearing.settimeout(5.0)
        yield name, hearing


def test_each_state_is_one_datagram(manager: tuple[str, socket.socket]) -> None:
    name, hearing = manager
    notifier = Notifier({"NOTIFY_SOCKET": name})
    notifier.ready("3 of 3 workers serve")
    assert hearing.recv(4096) == b"READY=1\nSTATUS=3 of 3 workers serve"
    notifier.reloading("loading\nanew")
    state, monotonic, status = hearing.recv(4096).split(b"\n")
    assert (state, status) == (b"RELOADING=1", b"STATUS=loading anew")
    assert monotonic.removeprefix(b"MONOTONIC_USEC=").isdigit()
    notifier.status("2 of 3 workers serve")
    assert hearing.recv(4096) == b"STATUS=2 of 3 workers serve"
    notifier.watchdog()
    assert hearing.recv(4096) == b"WATCHDOG=1"
    notifier.stopping()
    assert hearing.recv(4096) == b"STOPPING=1"
    notifier.close()


@pytest.mark.parametrize("name", ["", "relative", "vsock:2:1"])
def test_without_a_manager_nothing_is_said(name: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"})
    notifier.ready()
    assert notifier.watchdog_s is None
    notifier.close()


def test_a_manager_that_is_gone_is_no_error(tmp_path: Path) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    notifier.ready()
    notifier.close()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(os.getpid())}, 1.5),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_signs_of_life_are_given_twice_as_often_as_asked(environment: dict[str, str], expected: float | None) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": "@mesh-test-nobody", **environment})
    assert notifier.watchdog_s == expected
    notifier.close()
