"""What somebody sees who watches the calls of a client."""

from __future__ import annotations

import pytest

from mesh.core.calls import PendingCall
from mesh.core.observer import status_of
from mesh.core.peers import FLP
from mesh.errors import (
    CallTimeout,
    LocalProtocolError,
    MeshError,
    NoServer,
    OutcomeUnknown,
    Overloaded,
    RemoteError,
    Status,
)
from tests.unit.mesh.core.harness import Client


class Witness:
    """Writes down what it is told, and sends a number along."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def sent(self, call: PendingCall, metadata: dict[str, str] | None) -> dict[str, str]:
        assert call.at is not None
        self.told.append(f"{call.call_id} sent to {call.at.server.name}")
        return {**(metadata or {}), "seen": str(call.attempts)}

    def finished(self, call: PendingCall, now: float) -> None:
        self.told.append(f"{call.call_id} finished: {status_of(call.error).name}")

    def abandoned(self, call: PendingCall, now: float) -> None:
        self.told.append(f"{call.call_id} abandoned")


@pytest.fixture
def witness(client: Client) -> Witness:
    witness = Witness()
    client.core.observe(witness)
    return witness


def test_an_observer_sees_each_attempt_and_the_end(client: Client, witness: Witness) -> None:
    far = client.join("a")
    call = client.call(metadata={"mine": "1"})
    far.refuse(call)
    client.advance(0.5)
    assert [sent.metadata for sent in far.calls] == [{"mine": "1", "seen": "1"}, {"mine": "1", "seen": "2"}]
    far.answer(call)
    assert witness.told == ["1 sent to a", "1 sent to a", "1 finished: OK"]


def test_an_observer_sees_calls_to_servers_that_take_no_metadata(client: Client, witness: Witness) -> None:
    client.join("a", proto=FLP)
    client.call("calc", plain=True)
    assert witness.told == ["1 sent to a"]


def test_an_observer_sees_a_call_that_is_given_up_once(client: Client, witness: Witness) -> None:
    client.join("a")
    call = client.call()
    client.abandon(call)
    client.abandon(call)
    assert witness.told == ["1 sent to a", "1 abandoned"]


def test_an_observer_sees_no_waiting_for_servers(client: Client, witness: Witness) -> None:
    client.watch(1)
    client.join("a")
    assert witness.told == []


def test_a_core_that_nobody_observes_is_as_it_was(client: Client) -> None:
    assert "handle" not in vars(client.core)


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (None, Status.OK),
        (NoServer("nobody"), Status.UNAVAILABLE),
        (CallTimeout("too late"), Status.DEADLINE_EXCEEDED),
        (Overloaded("no room"), Status.RESOURCE_EXHAUSTED),
        (OutcomeUnknown("lost"), Status.UNKNOWN),
        (LocalProtocolError("too large"), Status.INVALID_ARGUMENT),
        (RemoteError("no such order", code=Status.NOT_FOUND), Status.NOT_FOUND),
    ],
)
def test_every_end_has_a_status(error: MeshError | None, status: Status) -> None:
    assert status_of(error) is status
