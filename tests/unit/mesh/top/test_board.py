"""The board: rates from two looks, events from changes, and how long who is gone stays."""

from __future__ import annotations

import pytest

from mesh.top.board import Board, Screen
from tests.helpers.top import snapshot, stats, view


def events(screen: Screen) -> list[tuple[str, str, str]]:
    return [(event.kind, event.name, event.detail) for event in screen.events]


def test_two_answers_make_a_rate_and_a_history() -> None:
    board = Board()
    first = board.update(snapshot(0, view(), said={"id-1": stats(uptime_s=1.0, calls=10)}))
    second = board.update(snapshot(1, view(), said={"id-1": stats(uptime_s=2.0, calls=30)}))
    assert first.rows[0].calls_per_s is None
    assert first.history == ()
    assert second.rows[0].calls_per_s == second.totals.calls_per_s == 20.0
    assert second.history == (20.0,)


def test_an_answer_that_is_late_leaves_the_last_rate() -> None:
    board = Board()
    board.update(snapshot(0, view(), said={"id-1": stats(uptime_s=1.0, calls=10)}))
    said = {"id-1": stats(uptime_s=2.0, calls=30)}
    board.update(snapshot(1, view(), said=said))
    assert board.update(snapshot(2, view(), said=said)).rows[0].calls_per_s == 20.0


def test_a_server_that_stopped_answering_has_no_rate_when_it_answers_again() -> None:
    board = Board()
    board.update(snapshot(0, view(), said={"id-1": stats(uptime_s=1.0, calls=10)}))
    board.update(snapshot(1, view()))
    assert board.update(snapshot(9, view(), said={"id-1": stats(uptime_s=9.0, calls=90)})).rows[0].calls_per_s is None


@pytest.mark.parametrize(
    ("states", "kinds"),
    [
        (["alive"], ["appeared"]),
        (["connecting", "alive"], ["appeared"]),
        (["connecting", "waiting", "connecting"], ["unreachable"]),
        (["alive", "suspect", "alive"], ["appeared", "suspect", "back"]),
        (["alive", "suspect", "dead", "dead"], ["appeared", "suspect", "lost"]),
        (["alive", "connecting", "waiting", "alive"], ["appeared", "lost", "back"]),
        (["alive", "draining"], ["appeared", "draining"]),
    ],
)
def test_changes_of_state_are_events(states: list[str], kinds: list[str]) -> None:
    board = Board()
    screens = [board.update(snapshot(at, view(state=state, note="why"))) for at, state in enumerate(states)]
    assert [event.kind for event in screens[-1].events] == kinds


def test_an_event_says_what_when_and_why() -> None:
    board = Board()
    board.update(snapshot(61, view()))
    screen = board.update(snapshot(62, view(state="waiting", note="connection refused")))
    assert events(screen) == [
        ("appeared", "calc-1", "tcp://127.0.0.1:5001 calc"),
        ("lost", "calc-1", "connection refused"),
    ]
    assert [event.clock for event in screen.events] == ["10:01:01", "10:01:02"]


def test_who_is_gone_stays_for_half_a_minute() -> None:
    board = Board()
    board.update(snapshot(0, view(), said={"id-1": stats()}))
    for at in (5, 34.9):
        screen = board.update(snapshot(at))
        assert [(row.state, row.calls, row.rtt_s) for row in screen.rows] == [("gone", None, None)]
    assert board.update(snapshot(35)).rows == ()
    assert [event.kind for event in screen.events] == ["appeared", "left"]


def test_who_is_gone_stays_for_good_where_that_is_wanted() -> None:
    board = Board(everything=True)
    board.update(snapshot(0, view()))
    board.update(snapshot(1))
    assert [row.state for row in board.update(snapshot(9999)).rows] == ["gone"]


def test_a_dead_server_that_is_forgotten_was_lost_and_has_not_left() -> None:
    board = Board()
    board.update(snapshot(0, view()))
    board.update(snapshot(1, view(state="dead")))
    assert [event.kind for event in board.update(snapshot(2)).events] == ["appeared", "lost"]


def test_who_comes_back_is_no_longer_gone() -> None:
    board = Board()
    board.update(snapshot(0, view()))
    board.update(snapshot(1))
    screen = board.update(snapshot(2, view()))
    assert [row.state for row in screen.rows] == ["alive"]
    assert [event.kind for event in screen.events] == ["appeared", "left", "back"]


def test_a_server_known_by_its_address_becomes_the_one_that_answers_there() -> None:
    board = Board()
    board.update(snapshot(0, view(peer_id="static:127.0.0.1:5001", state="connecting")))
    screen = board.update(snapshot(1, view(peer_id="id-1")))
    assert [row.peer_id for row in screen.rows] == ["id-1"]
    assert [event.kind for event in screen.events] == ["appeared"]


def test_a_successor_at_the_same_address_takes_the_row() -> None:
    board = Board()
    board.update(snapshot(0, view()))
    screen = board.update(snapshot(1, view(peer_id="id-2")))
    assert [(row.peer_id, row.state) for row in screen.rows] == [("id-2", "alive")]


def test_what_is_remembered_has_a_bound() -> None:
    board = Board(everything=True)
    for number in range(250):
        screen = board.update(snapshot(number, view(peer_id=f"id-{number}", address=f"tcp://127.0.0.1:{number + 1}")))
    assert len(screen.rows) == 101
    assert len(screen.events) == 100
    assert {row.peer_id for row in screen.rows} == {f"id-{number}" for number in range(149, 250)}


def test_servers_of_other_realms_are_counted_and_shown_only_on_demand() -> None:
    look = snapshot(0, view(peer_id="a"), view(peer_id="b", state="ignored", note="it is in realm 'x'"))
    screen = Board().update(look)
    assert [row.peer_id for row in screen.rows] == ["a"]
    assert screen.strangers == 1
    screen = Board(everything=True).update(look)
    assert [row.peer_id for row in screen.rows] == ["a", "b"]
    assert screen.strangers == 0
    assert events(screen)[-1] == ("ignored", "calc-1", "it is in realm 'x'")
