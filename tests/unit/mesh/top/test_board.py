"""The board: rates from two looks, events from changes, and how long who is gone stays."""

from __future__ import annotations

import pytest

from mesh import ServerView
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
        (["alive", "suspect", "dead", "dead"], ["appeared", "suspect", "dead"]),
        (["alive", "connecting", "waiting", "alive"], ["appeared", "dead", "back"]),
        (["alive", "draining", "alive"], ["appeared", "draining", "back"]),
        (["alive", "ejected", "alive"], ["appeared", "ejected", "back"]),
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
        ("dead", "calc-1", "connection refused"),
    ]
    assert [event.clock for event in screen.events] == ["10:01:01", "10:01:02"]


def test_who_is_gone_says_nothing_more_fades_and_leaves() -> None:
    board = Board()
    board.update(snapshot(0, view(), said={"id-1": stats()}))
    for at, faded in ((5, False), (34.9, False), (35, True), (64.9, True)):
        [row] = board.update(snapshot(at)).rows
        assert (row.state, row.calls, row.rtt_s, row.faded) == ("gone", None, None, faded)
    screen = board.update(snapshot(65))
    assert (screen.rows, screen.departed) == ((), 0)
    assert [event.kind for event in screen.events] == ["appeared", "gone"]


def test_who_is_dead_fades_and_leaves_although_it_is_advertised() -> None:
    board = Board()
    board.update(snapshot(0, view()))
    for at, faded in ((5, False), (35, True), (604.9, True)):
        [row] = board.update(snapshot(at, view(state="waiting"))).rows
        assert (row.state, row.faded) == ("dead", faded)
    screen = board.update(snapshot(605, view(state="waiting")))
    assert (screen.rows, screen.departed, screen.totals.servers) == ((), 1, 0)
    screen = board.update(snapshot(700))
    assert (screen.rows, screen.departed) == ((), 0)
    assert [event.kind for event in screen.events] == ["appeared", "dead"]


def test_who_was_dead_for_long_has_its_row_again_when_it_is_back() -> None:
    board = Board()
    for at, state in ((0, "alive"), (1, "waiting"), (900, "alive")):
        screen = board.update(snapshot(at, view(state=state)))
    assert [(row.state, row.faded) for row in screen.rows] == [("alive", False)]


@pytest.mark.parametrize("last", [(), (view(state="waiting"),)])
def test_who_is_gone_or_dead_stays_for_good_where_that_is_wanted(last: tuple[ServerView, ...]) -> None:
    board = Board(everything=True)
    board.update(snapshot(0, view()))
    board.update(snapshot(1, *last))
    assert [row.faded for row in board.update(snapshot(9999, *last)).rows] == [True]


def test_a_dead_server_that_is_forgotten_was_dead_and_has_not_left() -> None:
    board = Board()
    board.update(snapshot(0, view()))
    board.update(snapshot(1, view(state="dead")))
    assert [event.kind for event in board.update(snapshot(2)).events] == ["appeared", "dead"]


def test_who_comes_back_is_no_longer_gone() -> None:
    board = Board()
    board.update(snapshot(0, view()))
    board.update(snapshot(1))
    screen = board.update(snapshot(2, view()))
    assert [row.state for row in screen.rows] == ["alive"]
    assert [event.kind for event in screen.events] == ["appeared", "gone", "back"]


def test_another_address_that_takes_over_is_an_event() -> None:
    first, second = "tcp://10.0.0.1:5", "tcp://10.0.1.1:5"
    board = Board()
    board.update(snapshot(0, view(address=first)))
    board.update(snapshot(1, view(address=second)))
    board.update(snapshot(2, view(address=second, state="waiting")))
    screen = board.update(snapshot(3, view(address=first)))
    assert events(screen)[1:] == [
        ("failed over", "calc-1", f"from {first} to {second}"),
        ("dead", "calc-1", "no sign of life for 100ms"),
        ("failed over", "calc-1", f"from {second} to {first}"),
    ]


def test_a_server_known_by_its_address_becomes_the_one_that_answers_there() -> None:
    board = Board()
    board.update(snapshot(0, view(peer_id="static:127.0.0.1:5001", state="connecting")))
    screen = board.update(snapshot(1, view(peer_id="id-1")))
    assert [row.peer_id for row in screen.rows] == ["id-1"]
    assert [event.kind for event in screen.events] == ["appeared"]


@pytest.mark.parametrize("old", [(), (view(state="waiting"),)], ids=["it said goodbye", "it is still advertised"])
@pytest.mark.parametrize(
    "successor",
    [view(peer_id="id-2", address="tcp://10.0.0.9:1"), view(peer_id="id-2", name="other")],
    ids=["of the same name", "at the same address"],
)
def test_a_successor_takes_the_row(old: tuple[ServerView, ...], successor: ServerView) -> None:
    board = Board()
    board.update(snapshot(0, view()))
    board.update(snapshot(1, *old))
    screen = board.update(snapshot(2, *old, successor))
    assert [(row.peer_id, row.state) for row in screen.rows] == [("id-2", "alive")]
    assert events(screen)[-1] == ("back", successor.name, f"as another process, at {successor.address}")
    assert screen.departed == 0
    assert len(board.update(snapshot(3, *old, successor)).events) == len(screen.events)


def test_a_successor_at_once_is_seen_as_well() -> None:
    board = Board()
    board.update(snapshot(0, view()))
    screen = board.update(snapshot(1, view(peer_id="id-2")))
    assert [row.peer_id for row in screen.rows] == ["id-2"]
    assert [event.kind for event in screen.events] == ["appeared", "gone", "back"]


def test_two_that_live_may_have_one_name() -> None:
    screen = Board().update(snapshot(0, view(), view(peer_id="id-2", address="tcp://127.0.0.1:7")))
    assert [event.kind for event in screen.events] == ["appeared", "appeared"]
    assert len(screen.rows) == 2


def test_round_trips_are_those_of_answers_each_once_and_not_of_others() -> None:
    board = Board()
    first, second = stats(uptime_s=1.0, rtt_s=0.001), stats(uptime_s=2.0, rtt_s=0.003)
    untimed = stats(uptime_s=3.0, rtt_s=None)
    for at, said in enumerate((first, second, second, untimed)):
        screen = board.update(snapshot(at, view(rtt_s=9.0), said={"id-1": said}))
    assert screen.rows[0].rtt_history_s == (0.001, 0.003)


def test_round_trips_of_pings_are_not_mixed_with_those_of_answers() -> None:
    board = Board()
    board.update(snapshot(0, view(), said={"id-1": stats(rtt_s=0.001)}))
    screen = board.update(snapshot(1, view(state="suspect", rtt_s=0.5)))
    assert screen.rows[0].rtt_history_s == (0.001,)


def test_who_cannot_be_asked_has_the_round_trips_of_pings() -> None:
    board = Board()
    for at, rtt_s in enumerate((None, 0.001, 0.001, 0.002)):
        screen = board.update(snapshot(at, view(proto="flp", rtt_s=rtt_s)))
    assert screen.rows[0].rtt_history_s == (0.001, 0.002)


def test_what_is_remembered_has_a_bound() -> None:
    board = Board(everything=True)
    for number in range(210):
        screen = board.update(
            snapshot(number, view(peer_id=f"id-{number}", name=f"n{number}", address=f"tcp://127.0.0.1:{number + 1}"))
        )
    assert len(screen.rows) == 101
    assert len(screen.events) == 200
    assert {row.peer_id for row in screen.rows} == {f"id-{number}" for number in range(109, 210)}


def test_servers_of_other_realms_are_counted_and_shown_only_on_demand() -> None:
    look = snapshot(0, view(peer_id="a"), view(peer_id="b", state="ignored", note="it is in realm 'x'"))
    screen = Board().update(look)
    assert [row.peer_id for row in screen.rows] == ["a"]
    assert screen.strangers == 1
    screen = Board(everything=True).update(look)
    assert [row.peer_id for row in screen.rows] == ["a", "b"]
    assert screen.strangers == 0
    assert events(screen)[-1] == ("ignored", "calc-1", "it is in realm 'x'")
