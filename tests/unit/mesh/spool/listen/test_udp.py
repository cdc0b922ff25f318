"""Syslog from datagrams."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from mesh import ConfigError
from mesh.spool.listen import udp
from mesh.spool.listen.sockets import open_udp, parse_where
from mesh.spool.listen.udp import UdpSyslog
from tests.helpers import async_wait_until
from tests.unit.mesh.spool.listen.desk import Desk, port_of, running

pytestmark = pytest.mark.network


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_a_datagram_is_a_record_of_its_sender(host: str) -> None:
    async def main() -> None:
        desk = Desk()
        listener = UdpSyslog((host, 0), desk, "w.i", clock=lambda: 12.5)
        async with running(listener):
            with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"<13>a: one\n", (host, port_of(listener)))
                port = sender.getsockname()[1]
                await async_wait_until(lambda: desk.bodies)
        (entry,) = desk.entries()
        assert desk.asked == [("w.i", f"syslog/{host}", 1)]
        assert entry["peer"] == (f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
        assert (entry["kind"], entry["transport"], entry["at"]) == ("syslog", "udp", 12.5)
        assert entry["raw"] == "<13>a: one\n"
        assert entry["fields"]["message"] == "one"
        assert listener.counts() == {"received": 1, "dropped": 0}

    asyncio.run(main())


def test_the_kernel_is_asked_for_much_room_and_counts_what_it_drops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp, "_RECORDS_MAX", 10)

    async def main() -> None:
        desk = Desk()
        desk.open.clear()
        listener = UdpSyslog(("127.0.0.1", 0), desk, "w.i")
        sent = 0
        async with running(listener):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                while not listener.counts()["dropped"]:
                    sender.sendto(b"<13>" + b"x" * 8000, ("127.0.0.1", port_of(listener)))
                    sent += 1
                    await asyncio.sleep(0)
                assert sent > 20, "the room of the kernel"
                assert listener.counts()["received"] <= 20, "no more than two rounds"
                desk.open.set()
                await async_wait_until(lambda: len(desk.bodies) + listener.counts()["dropped"] == sent)

    asyncio.run(main())


def test_the_kernel_keeps_as_much_as_it_may() -> None:
    most = int(Path("/proc/sys/net/core/rmem_max").read_text())
    with open_udp(("127.0.0.1", 0)) as sock:
        # The kernel doubles it, for what it needs beside the datagrams: socket(7).
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 2 * min(8 << 20, most)


def test_what_had_come_is_stored_at_the_end() -> None:
    async def main() -> None:
        desk = Desk()
        listener = UdpSyslog(("127.0.0.1", 0), desk, "w.i")
        async with running(listener):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for number in range(100):
                    sender.sendto(b"<13>a: %d" % number, ("127.0.0.1", port_of(listener)))
        assert desk.messages() == [str(number) for number in range(100)]

    asyncio.run(main())


def test_a_port_in_use_is_named() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        port = other.getsockname()[1]

        async def main() -> None:
            with pytest.raises(ConfigError, match=rf"cannot listen on 127\.0\.0\.1:{port}: the port is in use"):
                UdpSyslog(("127.0.0.1", port), Desk(), "w.i").open()

        asyncio.run(main())


@pytest.mark.parametrize(
    ("host", "complaint"),
    [("192.0.2.1", "this host has no such address"), ("no.such.host.invalid", "give an address of this host")],
)
def test_an_address_of_others_is_named(host: str, complaint: str) -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match=complaint):
            UdpSyslog((host, 0), Desk(), "w.i").open()

    asyncio.run(main())


@pytest.mark.parametrize(
    ("text", "where"),
    [("*:514", ("0.0.0.0", 514)), ("[::1]:0", ("::1", 0)), ("nas.example.com:1", ("nas.example.com", 1))],
)
def test_a_place_is_read(text: str, where: tuple[str, int]) -> None:
    assert parse_where(text) == where


@pytest.mark.parametrize("text", ["", "514", "host", "::1:514", "host:65536", "a b:1", "host:x", "[]:1"])
def test_what_is_no_place_is_named(text: str) -> None:
    with pytest.raises(ConfigError, match="it does not parse; write HOST:PORT"):
        parse_where(text)
