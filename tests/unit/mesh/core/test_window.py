"""A server that has no room gets fewer calls, and is tried with a little more before long."""

from __future__ import annotations

from mesh.config import ClientConfig
from mesh.errors import Overloaded, Status

from .harness import Client


def view_window(client: Client) -> int:
    (view,) = client.core.views(client.now)
    return view.window


def test_a_refusal_for_want_of_room_cuts_the_window_to_what_the_server_took() -> None:
    client = Client()
    server = client.join("a", window=100)
    calls = [client.call() for _ in range(10)]
    for call in calls[4:]:
        server.refuse(call, Status.RESOURCE_EXHAUSTED, after_ms=50)
    assert view_window(client) == 4


def test_what_was_refused_waits_for_the_window_and_not_for_the_retry_budget() -> None:
    client = Client(ClientConfig(retry_min_per_s=0, retry_ratio=0))
    server = client.join("a", window=100)
    calls = [client.call() for _ in range(10)]
    for call in calls[4:]:
        server.refuse(call, Status.RESOURCE_EXHAUSTED, after_ms=50)
    for call in calls[:4]:
        server.answer(call)
    client.advance(0.06)
    for call in calls[4:8]:
        server.answer(call)
    for call in calls[8:]:
        server.answer(call)
    assert all(call.done and call.error is None for call in calls)


def test_a_cut_window_grows_by_a_quarter_each_second_of_answers_up_to_what_is_told() -> None:
    client = Client()
    server = client.join("a", window=10)
    calls = [client.call() for _ in range(10)]
    for call in calls[8:]:
        server.refuse(call, Status.RESOURCE_EXHAUSTED, after_ms=1)
    assert view_window(client) == 8
    for call in calls[:7]:
        server.answer(call)
    assert view_window(client) == 8
    client.advance(1.1)
    server.answer(calls[7])
    assert view_window(client) == 10


def test_a_call_that_found_every_window_full_says_so() -> None:
    client = Client()
    client.join("a", window=1)
    client.call(timeout=5.0)
    waiting = client.call(timeout=0.5)
    client.advance(0.6)
    assert isinstance(waiting.error, Overloaded)
    assert "every server had all the calls that it takes" in str(waiting.error)


def test_a_server_that_is_back_gets_what_its_pong_has_room_for() -> None:
    client = Client()
    server = client.join("a", window=100)
    server.frozen = True
    client.advance(5.0)
    assert client.state("a") == "dead"
    calls = [client.call(timeout=60.0) for _ in range(10)]
    server.window = 3
    server.thaw()
    client.advance(2.0)
    assert len(server.calls) == 3
    assert not any(call.done for call in calls)


def test_a_lone_server_that_refuses_is_asked_again_more_and_more_rarely() -> None:
    client = Client()
    server = client.join("a")
    call = client.call(timeout=5.0)
    asked = 0
    while not call.done:
        if len(server.calls) > asked:
            asked = len(server.calls)
            server.refuse(call, Status.UNAVAILABLE, after_ms=0)
        client.advance(0.001)
    assert 8 <= asked <= 20
