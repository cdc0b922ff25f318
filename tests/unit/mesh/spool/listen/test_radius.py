"""RADIUS accounting over UDP."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_network

import pytest

from mesh.spool.listen.attributes import Attributes
from mesh.spool.listen.radius import Radius
from mesh.spool.listen.secrets import Secrets
from mesh.spool.record import SpoolRecord
from tests.helpers import async_wait_until
from tests.unit.mesh.spool.listen.desk import Desk, port_of, running
from tests.unit.mesh.spool.listen.packets import SECRET, request

pytestmark = pytest.mark.network

ATTRIBUTES = Attributes()


class Client:
    """Sends packets, and has the identifiers of the answers that came."""

    def __init__(self, port: int, own: int = 0) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", own))
        self.sock.connect(("127.0.0.1", port))
        self.sock.setblocking(False)

    def send(self, octets: bytes) -> None:
        self.sock.send(octets)

    async def answers(self, count: int) -> list[int]:
        found: list[int] = []
        async with asyncio.timeout(5.0):
            while len(found) < count:
                found.append((await asyncio.get_running_loop().sock_recv(self.sock, 4096))[1])
        return found

    def has_answer(self) -> bool:
        try:
            self.sock.recv(4096)
        except BlockingIOError:
            return False
        return True


class Set:
    """A listener, its intake, a client, and what it complained of."""

    def __init__(self, network: str = "127.0.0.0/8") -> None:
        self.desk = Desk()
        self.complaints: list[str] = []
        self.recalled: list[SpoolRecord] = []
        self.listener = Radius(
            ("127.0.0.1", 0),
            self.desk,
            "w.i",
            Secrets({ip_network(network): SECRET}),
            ATTRIBUTES,
            self.newest,
            clock=lambda: 1000.0,
            on_trouble=self.complaints.append,
        )

    async def newest(self, limit: int) -> AsyncIterator[SpoolRecord]:
        for record in self.recalled[-limit:]:
            yield record

    @contextlib.asynccontextmanager
    async def client(self, own: int = 0) -> AsyncIterator[Client]:
        async with running(self.listener):
            client = Client(port_of(self.listener), own)
            with client.sock:
                yield client


def test_a_packet_is_answered_when_it_is_durable_and_not_before() -> None:
    async def main() -> None:
        given = Set()
        async with given.client() as client:
            given.desk.open.clear()
            client.send(request(1, User_Name="bob", Acct_Status_Type="Start", Acct_Delay_Time=7).RequestPacket())
            await async_wait_until(lambda: given.desk.asked)
            assert not client.has_answer()
            given.desk.open.set()
            assert await client.answers(1) == [1]
        assert given.desk.asked == [("w.i", "radius/127.0.0.1", 1)]
        (entry,) = given.desk.entries()
        fields = entry["fields"]
        assert (entry["kind"], entry["at"], fields["time"]) == ("radius", 1000.0, 993.0)
        assert fields["attributes"] == {"User-Name": "bob", "Acct-Status-Type": "Start", "Acct-Delay-Time": 7}
        assert given.listener.counts() == {"received": 1, "repeated": 0, "ignored": 0, "answered": 1, "dropped": 0}

    asyncio.run(main())


def test_a_repetition_makes_no_second_record() -> None:
    async def main() -> None:
        given = Set()
        async with given.client() as client:
            packet = request(1, User_Name="bob").RequestPacket()
            given.desk.open.clear()
            client.send(packet)
            client.send(packet)
            await async_wait_until(lambda: given.listener.counts()["repeated"] == 1)
            given.desk.open.set()
            assert await client.answers(1) == [1]
            client.send(packet)  # as if the answer had been lost
            assert await client.answers(1) == [1]
            assert not client.has_answer()
        assert len(given.desk.bodies) == 1
        assert given.listener.counts()["repeated"] == 2

    asyncio.run(main())


def test_what_a_killed_process_had_stored_and_not_answered_makes_no_second_record() -> None:
    async def main() -> None:
        first, packet = Set(), request(1, User_Name="bob").RequestPacket()
        async with first.client() as client:
            own = client.sock.getsockname()[1]
            client.send(packet)
            await async_wait_until(lambda: first.desk.bodies)

        def kept(body: bytes, method: str = "w.i", stream: str = "radius/127.0.0.1", at: float = 990.0) -> SpoolRecord:
            return SpoolRecord(bytes(16), 1, method, stream, at, body)

        body = first.desk.bodies[0]
        others = [kept(octets) for octets in (b"", b"[]", b'{"peer": 1, "raw": 2}', b'{"peer": "", "raw": ""}')]
        others += [kept(body, at=800.0), kept(body, method="w.other"), kept(body, stream="")]
        for recalled, records in ((others, 1), ([*others, kept(body)], 0)):
            second = Set()
            second.recalled = recalled
            async with second.client(own) as client:
                client.send(packet)
                assert await client.answers(1) == [1]
            assert len(second.desk.bodies) == records

    asyncio.run(main())


def test_another_identifier_sender_or_content_is_another_packet() -> None:
    async def main() -> None:
        given = Set()
        async with given.client() as client:
            one, other = Client(port_of(given.listener)), request(1, Acct_Delay_Time=5).RequestPacket()
            with one.sock:
                first = request(1, Acct_Delay_Time=0)
                client.send(first.RequestPacket())
                client.send(request(2, Acct_Delay_Time=0).RequestPacket())
                client.send(other)
                one.send(first.RequestPacket())
                assert sorted(await client.answers(3)) == [1, 1, 2]
                assert await one.answers(1) == [1]
        assert len(given.desk.bodies) == 4

    asyncio.run(main())


def test_many_packets_share_one_round() -> None:
    async def main() -> None:
        given = Set()
        async with given.client() as client:
            given.desk.open.clear()
            client.send(request(0).RequestPacket())
            await async_wait_until(lambda: given.desk.asked)
            for identifier in range(1, 200):
                client.send(request(identifier).RequestPacket())
            await async_wait_until(lambda: given.listener.counts()["received"] == 200)
            given.desk.open.set()
            assert sorted(await client.answers(200)) == list(range(200))
        assert given.desk.asked == [("w.i", "radius/127.0.0.1", 1), ("w.i", "radius/127.0.0.1", 199)]

    asyncio.run(main())


def test_accounting_on_and_off_are_packets_like_others() -> None:
    async def main() -> None:
        given = Set()
        async with given.client() as client:
            for identifier, status in enumerate(("Accounting-On", "Accounting-Off")):
                client.send(request(identifier, Acct_Status_Type=status, Event_Timestamp=77).RequestPacket())
            assert sorted(await client.answers(2)) == [0, 1]
        told = [entry["fields"] for entry in given.desk.entries()]
        assert [fields["attributes"]["Acct-Status-Type"] for fields in told] == ["Accounting-On", "Accounting-Off"]
        assert [fields["time"] for fields in told] == [77, 77]

    asyncio.run(main())


IGNORED = [
    (request(1, b"other").RequestPacket(), "127.0.0.0/8", "its authenticator does not fit the secret"),
    (b"\x04", "127.0.0.0/8", "it has 1 octets"),
    (request(1).RequestPacket(), "192.0.2.0/24", "it has no secret; give it one in the secret file"),
]


@pytest.mark.parametrize(("octets", "network", "complaint"), IGNORED)
def test_what_is_to_be_ignored_is_counted_and_named(octets: bytes, network: str, complaint: str) -> None:
    async def main() -> None:
        given = Set(network)
        async with given.client() as client:
            client.send(octets)
            await async_wait_until(lambda: given.listener.counts()["ignored"] == 1)
            assert not client.has_answer()
        assert given.desk.bodies == []
        (sentence,) = given.complaints
        assert sentence.startswith("radius: a packet of 127.0.0.1 is ignored: ")
        assert complaint in sentence

    asyncio.run(main())
