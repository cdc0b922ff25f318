"""One context for everybody in a process, and none of it in a fork."""

from __future__ import annotations

import os

import pytest
import zmq

from mesh.errors import ForkedError
from mesh.io.context import acquire_context, check_process, process_mark, release_context


def test_it_lives_while_somebody_holds_it() -> None:
    first = acquire_context()
    second = acquire_context()
    assert first is second
    release_context()
    assert not first.closed
    release_context()
    assert first.closed


def test_who_comes_after_the_last_one_gets_another() -> None:
    first = acquire_context()
    release_context()
    second = acquire_context()
    try:
        assert second is not first
        assert not second.closed
    finally:
        release_context()


def test_it_has_room_for_more_sockets_than_libzmq_gives() -> None:
    context = acquire_context()
    try:
        assert context.get(zmq.MAX_SOCKETS) > 1023
    finally:
        release_context()


def test_a_forked_child_is_told_so_and_gets_a_context_of_its_own() -> None:
    context = acquire_context()
    mark = process_mark()
    check_process(mark)
    child = os.fork()
    if child == 0:
        try:
            with pytest.raises(ForkedError, match="make a new one in the child"):
                check_process(mark)
            check_process(process_mark())
            assert acquire_context() is not context
            release_context()
        except BaseException:
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    release_context()
    assert status == 0
