"""The filter that the kernel runs, tried on a socket."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from discovery.mdns.sieve import SOURCES_MAX, Source, sift

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has such filters")
ANSWER, QUESTION = b"\0\0\x84\0rest", b"\0\0\0\0rest"


@pytest.fixture
def reader() -> Iterator[socket.socket]:
    """A socket that waits for nobody."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as reader:
        reader.bind(("127.0.0.1", 0))
        reader.setblocking(False)
        yield reader


@pytest.fixture
def heard(reader: socket.socket) -> Callable[[str, bytes], bool]:
    """Send a packet from a host; return whether it arrives (on loopback at once or never)."""

    def send(host: str, octets: bytes) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind((host, 0))
            sender.sendto(octets, reader.getsockname())
        try:
            return reader.recv(100) == octets
        except BlockingIOError:
            return False

    return send


def test_a_source_is_a_host_and_a_kind_of_packet() -> None:
    assert Source.of("10.0.0.1", ANSWER) == Source("10.0.0.1", True)
    assert Source.of("10.0.0.1", QUESTION) == Source("10.0.0.1", False)
    assert Source.of("10.0.0.1", b"") == Source("10.0.0.1", False)


def test_the_kinds_are_dropped_apart(reader: socket.socket, heard: Callable[[str, bytes], bool]) -> None:
    sift([reader], [Source("127.0.0.2", True), Source("127.0.0.3", False), Source("fe80::1%lo", True)])
    assert not heard("127.0.0.2", ANSWER)
    assert heard("127.0.0.2", QUESTION)
    assert heard("127.0.0.3", ANSWER)
    assert not heard("127.0.0.3", QUESTION)
    assert heard("127.0.0.1", ANSWER)
    sift([reader], [])
    assert heard("127.0.0.2", ANSWER)


@pytest.mark.parametrize("is_answer", [True, False])
def test_as_many_as_allowed_are_dropped_all_of_them(
    reader: socket.socket, heard: Callable[[str, bytes], bool], is_answer: bool
) -> None:
    octets = ANSWER if is_answer else QUESTION
    hosts = [f"127.0.1.{number}" for number in range(SOURCES_MAX)]
    sift([reader], [Source(host, is_answer) for host in hosts])
    assert not any(heard(host, octets) for host in hosts)
    assert heard("127.0.0.1", octets)


def test_addresses_that_are_mapped_into_ipv6_are_those_of_ipv4(
    reader: socket.socket, heard: Callable[[str, bytes], bool]
) -> None:
    sift([reader], [Source("::ffff:127.0.0.2", True)])
    assert not heard("127.0.0.2", ANSWER)


def test_a_socket_that_is_closed_is_left_alone() -> None:
    reader = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    reader.close()
    sift([reader], [Source("127.0.0.2", True)])
