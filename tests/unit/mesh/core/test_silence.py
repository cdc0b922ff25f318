"""How soon a silent server is noticed by the calls it holds."""

from __future__ import annotations

from tests.unit.mesh.core.harness import Client


def test_a_server_that_froze_right_after_a_pong_loses_its_calls_as_soon_as_any_other(client: Client) -> None:
    froze = client.join("a")
    earlier = client.call()
    client.advance(0.05)
    call = client.call()
    client.advance(0.05)  # the earlier call is overdue, so the server is asked, and answers at once
    froze.frozen = True
    other = client.join("b")
    client.advance(0.25)  # the call is overdue 0.05 s later; the PING has 0.1 s
    assert [record.call_id for record in other.calls] == [earlier.call_id, call.call_id]
