"""The guard: what it takes for an attack, and that it lives as long as there is something to guard."""

from __future__ import annotations

import os
import random
import resource
import threading

import pytest

from mesh.config import Limits
from mesh.core.wire import Call, encode
from mesh.io import guard
from mesh.io.guard import Ports, is_bomb
from tests.helpers.zmtp import MORE, frame, message


def guards() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "mesh-guard"]


@pytest.mark.parametrize("octets", [b"", b"a", b"ab" * 31, bytes(255)])
@pytest.mark.parametrize("cut", [0, 1, 2, 100])
def test_short_unfinished_frames_in_a_row_are_a_bomb_wherever_one_looks(octets: bytes, cut: int) -> None:
    assert is_bomb((frame(octets, MORE) * 200)[cut:])


def test_messages_and_random_octets_are_none() -> None:
    rng = random.Random(1)
    heads = [message(encode([Call(number, "work.echo", b"x" * 40)], Limits())[0]) for number in range(500)]
    parts = [message([rng.randbytes(9) for _ in range(60)]) for _ in range(50)]
    assert not is_bomb(b"".join(heads))
    assert not is_bomb(b"".join(parts))
    assert not any(is_bomb(rng.randbytes(32768)) for _ in range(50))
    assert not is_bomb(bytes(32768))
    assert not is_bomb(b"")


def test_one_thread_guards_all_and_ends_with_the_last() -> None:
    one, other = Ports(), Ports()
    guard.watch(one)
    guard.watch(other)
    assert len(guards()) == 1
    guard.unwatch(one)
    assert len(guards()) == 1
    guard.unwatch(other)
    guard.unwatch(other)
    assert guards() == []


def test_it_asks_for_all_the_descriptors_there_are() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    ports = Ports()
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
        guard.watch(ports)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (min(65536, before[1]), before[1])
    finally:
        guard.unwatch(ports)
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_a_child_process_has_a_guard_of_its_own() -> None:
    ports = Ports()
    guard.watch(ports)
    try:
        child = os.fork()
        if child == 0:
            guard.watch(Ports())
            os._exit(0 if len(guards()) == 1 else 1)
        assert os.waitpid(child, 0)[1] == 0
    finally:
        guard.unwatch(ports)
