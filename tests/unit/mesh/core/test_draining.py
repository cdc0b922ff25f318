"""Servers that drain and are taken back, as a client sees them: reserved methods still reach them."""

from __future__ import annotations

from discovery.model import PeerAdded
from tests.unit.mesh.core.harness import Client


def test_a_draining_server_takes_reserved_methods_alone(client: Client) -> None:
    far = client.join("a")
    far.state = 1
    far.pong()
    named, any_server = client.call("mesh.stats", peer="a"), client.call("mesh.health")
    assert [got.method for got in far.calls] == ["mesh.stats", "mesh.health"]
    far.answer(named)
    far.answer(any_server)
    waiting = [client.call(peer="a"), client.call()]
    assert len(far.calls) == 2
    other = client.join("b")
    assert [got.call_id for got in other.calls] == [waiting[1].call_id]
    assert client.call("mesh.health").call_id == other.calls[-1].call_id  # one that serves is better
    far.state = 2
    far.pong()
    assert client.call("mesh.stats", peer="a").at is None  # it ends
    far.state = 0
    far.pong()
    assert waiting[0].call_id in [got.call_id for got in far.calls]


def test_a_call_of_a_reserved_method_waits_for_a_server_that_turns_out_to_drain(client: Client) -> None:
    far = client.far("a")
    far.state = 1
    waiting, other = client.call("mesh.resume", peer="a"), client.call(peer="a")
    client.feed(PeerAdded(far.peer))
    assert [got.call_id for got in far.calls] == [waiting.call_id]
    assert other.at is None
