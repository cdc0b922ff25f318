"""Freed memory is kept from the first large body on, sent or received; seen by the page faults of fresh processes."""

from __future__ import annotations

import platform
import sys

import pytest

from tests.helpers import spawn

pytestmark = pytest.mark.network

needs_glibc = pytest.mark.needs(why="needs the GNU C library", met=lambda: platform.libc_ver()[0] == "glibc")

RECEIVE = """
with serving() as (server, endpoint), raw(zmq.DEALER) as client:
    client.connect(endpoint)
    client.send_multipart(FRAMES)
    received(server)
    print(faults())
"""
SEND = """
with raw(zmq.ROUTER) as server:
    port = server.bind_to_random_port("tcp://127.0.0.1")
    dialler = Dialler(SMALL)
    dialler.dial(1, f"tcp://127.0.0.1:{port}")
    dialler.send(1, *FRAMES)
    print(faults())
"""
COMMON = """
import resource
import zmq
from tests.unit.mesh.io.test_link import SMALL, Dialler, raw, received, serving

FRAMES = {frames}

def faults():
    turn()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        turn()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def turn():
    few_large, many_small = [b"x" * (1 << 20) for _ in range(8)], [b"x" * (1 << 16) for _ in range(64)]
"""


@needs_glibc
@pytest.mark.parametrize("program", [RECEIVE, SEND], ids=["receive", "send"])
@pytest.mark.parametrize(("frames", "least", "most"), [([b"head", b"body"], 0, 100), ([b"head"], 10_000, 50_000)])
def test_only_a_process_with_large_bodies_keeps_what_is_freed(
    program: str, frames: list[bytes], least: int, most: int
) -> None:
    with spawn([sys.executable, "-c", COMMON.format(frames=frames) + program]) as process:
        assert process.wait() == 0, process.stderr
        assert least <= int(process.stdout[0]) <= most
