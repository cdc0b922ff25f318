"""pyzmq's own thread, which releases large frames that were sent without a copy and lives as long as the process."""

from __future__ import annotations

import pytest
import zmq

from tests.helpers.wait import PATIENCE_S

__all__ = ["collector"]


@pytest.fixture(scope="session", autouse=True)
def collector() -> None:
    """Have it started before any test that sends such a frame, so that it is not held against that test."""
    with zmq.Context() as context, context.socket(zmq.PAIR) as one, context.socket(zmq.PAIR) as other:
        one.bind("inproc://collector")
        other.connect("inproc://collector")
        sent = one.send(bytes(1 << 20), copy=False, track=True)
        other.recv()
        sent.wait(PATIENCE_S)
