"""Syslog from connections."""

from __future__ import annotations

import asyncio
import contextlib
import socket

import pytest

from mesh.spool.listen.tcp import TcpLimits, TcpSyslog
from tests.helpers import async_wait_until
from tests.unit.mesh.spool.listen.desk import Desk, port_of, running

pytestmark = pytest.mark.network


def dialled(listener: TcpSyslog) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port_of(listener)), 5.0)


def is_closed(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        return sock.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def test_both_framings_become_records_of_their_sender() -> None:
    async def main() -> None:
        desk = Desk()
        listener = TcpSyslog(("127.0.0.1", 0), desk, "w.i", clock=lambda: 12.5)
        async with running(listener):
            with dialled(listener) as sender:
                sender.sendall(b"<13>a: one\n11 <13>a: t\nwo\n<13>a: three")
                peer = sender.getsockname()
            await async_wait_until(lambda: len(desk.bodies) == 3)
            await async_wait_until(lambda: listener.counts() == {"received": 3, "connections": 0, "refused": 0})
        assert desk.messages() == ["one", "t\nwo", "three"]
        assert {(method, stream) for method, stream, _ in desk.asked} == {("w.i", "syslog/127.0.0.1")}
        entry = desk.entries()[0]
        assert (entry["transport"], entry["peer"], entry["at"]) == ("tcp", f"127.0.0.1:{peer[1]}", 12.5)
        assert "whole" not in entry

    asyncio.run(main())


def test_nothing_is_read_that_cannot_be_stored() -> None:
    async def main() -> None:
        desk = Desk()
        desk.open.clear()
        listener = TcpSyslog(("127.0.0.1", 0), desk, "w.i")
        sent = 0
        async with running(listener):
            with dialled(listener) as sender:
                sender.setblocking(False)
                line = b"<13>a: " + b"x" * 992 + b"\n"
                quiet_since = asyncio.get_running_loop().time()
                while asyncio.get_running_loop().time() - quiet_since < 0.2:  # until the kernels hold no more
                    try:
                        sent += sender.send(line * 64)
                        quiet_since = asyncio.get_running_loop().time()
                    except BlockingIOError:
                        await asyncio.sleep(0.01)
                assert listener.counts()["received"] <= 66, "one look at the socket"
                desk.open.set()
            await async_wait_until(lambda: not listener.counts()["connections"])
        assert sum(len(entry["raw"]) + 1 for entry in desk.entries()) in (sent, sent + 1), "the last may lack its end"

    asyncio.run(main())


def test_what_had_arrived_is_stored_at_the_end() -> None:
    async def main() -> None:
        desk = Desk()
        listener = TcpSyslog(("127.0.0.1", 0), desk, "w.i")
        with contextlib.ExitStack() as senders:
            async with running(listener):
                for number in range(4):  # nobody has accepted them yet
                    senders.enter_context(dialled(listener)).sendall(b"<13>a: %d\n<13>a: unfinished" % number)
            assert sorted(desk.messages()) == ["0", "1", "2", "3"] + ["unfinished"] * 4

    asyncio.run(main())


def test_a_message_that_does_not_end_in_time_ends_its_connection_and_is_kept() -> None:
    async def main() -> None:
        desk = Desk()
        listener = TcpSyslog(("127.0.0.1", 0), desk, "w.i", TcpLimits(unfinished_s=0.1))
        async with running(listener):
            with dialled(listener) as idle, dialled(listener) as slow:
                idle.sendall(b"<13>a: whole\n")
                slow.sendall(b"100 <13>a: ")
                while not is_closed(slow):  # it goes on, and does not come to an end
                    try:
                        slow.send(b"x")
                    except OSError:
                        break
                    await asyncio.sleep(0.02)
                await async_wait_until(lambda: len(desk.bodies) == 2)
                assert not is_closed(idle)
        whole, cut = desk.entries()
        assert whole["fields"]["message"] == "whole"
        assert cut["whole"] is False
        assert cut["raw"].startswith("<13>a: x")

    asyncio.run(main())


def test_a_message_that_is_too_long_is_cut_and_the_next_one_is_whole() -> None:
    async def main() -> None:
        desk = Desk()
        listener = TcpSyslog(("127.0.0.1", 0), desk, "w.i", TcpLimits(message_max=100))
        async with running(listener):
            with dialled(listener) as sender:
                sender.sendall(b"<13>a: " + b"x" * 100_000 + b"\n<13>a: next\n")
                await async_wait_until(lambda: len(desk.bodies) == 2)
        first, second = desk.entries()
        assert (len(first["raw"]), first["whole"]) == (100, False)
        assert (second["raw"], "whole" in second) == ("<13>a: next", False)

    asyncio.run(main())


def test_a_connection_that_is_held_up_does_not_make_room() -> None:
    async def main() -> None:
        desk = Desk()
        desk.open.clear()
        listener = TcpSyslog(("127.0.0.1", 0), desk, "w.i", TcpLimits(connections_max=1, idle_s=0.0))
        async with running(listener):
            with dialled(listener) as held, dialled(listener) as other:
                held.sendall(b"<13>a: one\n")
                await async_wait_until(lambda: is_closed(other))
                held.sendall(b"<13>a: two\n")
                desk.open.set()
                await async_wait_until(lambda: desk.messages() == ["one", "two"])
        assert listener.counts()["refused"] == 1

    asyncio.run(main())


def test_the_connection_that_was_silent_longest_makes_room_and_one_that_was_not_does_not() -> None:
    async def main() -> None:
        desk = Desk()
        limits = TcpLimits(connections_max=2, idle_s=0.2)
        listener = TcpSyslog(("127.0.0.1", 0), desk, "w.i", limits)
        async with running(listener):
            with dialled(listener) as old, dialled(listener) as busy:
                await async_wait_until(lambda: listener.counts()["connections"] == 2)
                with dialled(listener) as early:
                    await async_wait_until(lambda: is_closed(early))
                assert listener.counts()["refused"] == 1
                old.sendall(b"<13>a: old\n")
                await async_wait_until(lambda: len(desk.bodies) == 1)
                silent_since = asyncio.get_running_loop().time()
                while asyncio.get_running_loop().time() - silent_since < 0.3:
                    busy.sendall(b"<13>a: busy\n")
                    await asyncio.sleep(0.02)
                with dialled(listener) as late:
                    await async_wait_until(lambda: is_closed(old))
                    late.sendall(b"<13>a: late\n")
                    await async_wait_until(lambda: "late" in desk.messages())
                    assert not is_closed(busy)

    asyncio.run(main())
