"""Word of the kernel that interfaces or addresses have changed."""

from __future__ import annotations

import select
import socket
import subprocess
import sys

import pytest

from discovery.mdns.notices import drain_notices, open_notices
from tests.helpers import needs_netns, needs_program

pytestmark = pytest.mark.network

_WATCH = """
import select, subprocess, sys
from discovery.mdns.notices import drain_notices, open_notices
notices = open_notices()
drain_notices(notices)
for change in sys.argv[1:]:
    subprocess.run(["ip", *change.split()], check=True)
    assert select.select([notices], [], [], 20)[0], change
    drain_notices(notices)
    assert not select.select([notices], [], [], 0)[0], change
"""


@needs_netns
@needs_program("ip")
@pytest.mark.slow
def test_a_link_and_an_address_that_come_and_go_are_told() -> None:
    changes = (
        "link set lo up",
        "address add 10.1.1.1/24 dev lo",
        "address delete 10.1.1.1/24 dev lo",
        "-6 address add fd00::1/64 dev lo",
        "link add other type bridge",
        "link delete other",
    )
    subprocess.run(["unshare", "--net", sys.executable, "-c", _WATCH, *changes], check=True)


def test_where_the_system_does_not_tell_there_is_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object) -> socket.socket:
        raise PermissionError

    monkeypatch.setattr(socket, "socket", refuse)
    assert open_notices() is None
    monkeypatch.setattr(sys, "platform", "darwin")
    assert open_notices() is None


def test_notices_that_were_lost_are_no_error() -> None:
    system, notices = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with system, notices:
        notices.setblocking(False)
        system.send(b"one")
        system.send(b"two")
        drain_notices(Losing(notices))  # type: ignore[arg-type]
        assert not select.select([notices], [], [], 0)[0]


class Losing:
    """A socket whose first notice has been lost."""

    def __init__(self, inner: socket.socket) -> None:
        self._inner = inner
        self._lost = False

    def recv(self, octets: int) -> bytes:
        """Tell of the loss, then of what came."""
        if not self._lost:
            self._lost = True
            raise OSError(105, "No buffer space available")
        return self._inner.recv(octets)
