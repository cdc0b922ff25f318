"""Which records go next, and what becomes of them: one decision at a time."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

import pytest

from mesh.spool import courier as limits
from mesh.spool.courier import Courier
from mesh.spool.letters import (
    Answered,
    AskNewest,
    Event,
    Failed,
    Failure,
    Fetch,
    Fetched,
    Letter,
    Newest,
    Put,
    Send,
    Settle,
    Tick,
)
from tests.helpers.spools import joined, letter


class Office:
    """A courier with a store that is a dictionary, and a clock that stands still."""

    def __init__(self, window: int = 4, live_first: bool = False, together: int = 1) -> None:
        self.courier = Courier(random.Random(1), window=window, live_first=live_first)
        self.now = 100.0
        self.store: dict[int, Letter] = {}
        self.sent: list[Send] = []
        """Not answered yet."""
        self.delivered: list[int] = []
        self.quarantined: dict[int, str] = {}
        self.fetches = 0
        self.together = together
        """Most records that were put together."""

    def put(self, *letters: tuple[int, str] | int, octets: int = 0) -> None:
        for one in letters:
            row, stream = (one, "") if isinstance(one, int) else one
            self.store[row] = Letter(row, stream, bytes(octets)) if octets else letter(row, stream)
        self.feed(Put())

    def feed(self, event: Event) -> None:
        events = [event]
        while events:
            for action in self.courier.handle(events.pop(0), self.now):
                match action:
                    case Fetch():
                        self.fetches += 1
                        rows = sorted(row for row in self.store if row > action.after)[: action.limit]
                        letters = joined((self.store[row] for row in rows), self.together)
                        events.append(Fetched(letters, not rows, action.live))
                    case AskNewest():
                        events.append(Newest(max(self.store, default=0)))
                    case Send():
                        self.sent.append(action)
                    case Settle():
                        delivered = [row for first, last in action.delivered for row in range(first, last + 1)]
                        for row in (*delivered, *action.quarantined):
                            del self.store[row]
                        self.delivered += delivered
                        self.quarantined |= action.quarantined

    def wait(self, seconds: float) -> None:
        """Let time pass, with every tick that is due."""
        until = self.now + seconds
        while (due_at := self.courier.deadline()) is not None and due_at <= until:
            self.now = due_at
            self.feed(Tick())
        self.now = until
        self.feed(Tick())

    def take(self, at: int = 0) -> Send:
        return self.sent.pop(at)

    def answer(self, refused: Mapping[int, str] | None = None, left: Sequence[int] = (), at: int = 0) -> None:
        """Store all of a parcel but what is refused or left, by position."""
        send = self.take(at)
        gone = {*(refused or {}), *left}
        durable = [(position, position) for position in range(len(rows(send))) if position not in gone]
        self.feed(Answered(send.parcel, durable, refused or {}))

    def fail(self, failure: Failure, peer: str = "", at: int = 0) -> None:
        self.feed(Failed(self.take(at).parcel, failure, "a reason", peer))


def rows(send: Send) -> list[int]:
    return [row for letter in send.letters for row in range(letter.row, letter.last + 1)]


def all_rows(sends: Iterable[Send]) -> list[list[int]]:
    return [rows(send) for send in sends]


def test_what_is_put_goes_at_once_and_is_settled_when_it_is_answered() -> None:
    office = Office()
    office.put(1, 2, 3)
    assert all_rows(office.sent) == [[1, 2, 3]]
    assert office.sent[0].peer == ""
    assert office.courier.in_flight == 3
    office.answer()
    assert office.delivered == [1, 2, 3]
    assert office.courier.in_flight == office.courier.held == 0
    assert office.courier.deadline() is None


def test_parcels_without_a_stream_are_in_flight_together_up_to_the_window() -> None:
    office = Office(window=3)
    office.put(*range(1, 5001))
    assert [len(send.letters) for send in office.sent] == [1000, 1000, 1000]
    office.answer(at=1)
    assert office.delivered == list(range(1001, 2001))
    assert [rows(send)[0] for send in office.sent] == [1, 2001, 3001]


def test_a_parcel_has_a_mebibyte_at_the_most_unless_its_only_record_has_more() -> None:
    office = Office()
    office.put(1, 2, 3, octets=400_000)
    office.put(4, octets=3_000_000)
    assert all_rows(office.sent) == [[1, 2], [3]]
    office.answer()
    assert all_rows(office.sent) == [[3], [4]]


def test_few_records_wait_for_company_while_two_parcels_are_in_flight() -> None:
    office = Office()
    for row in range(1, 6):
        office.put(row)
    assert all_rows(office.sent) == [[1], [2]]
    office.answer()
    assert all_rows(office.sent) == [[2], [3, 4, 5]]
    office.put(*range(6, 6 + limits.SMALL_MAX))
    assert [len(send.letters) for send in office.sent] == [1, 3, limits.SMALL_MAX]


def test_a_stream_has_one_parcel_in_flight_and_the_others_go_on() -> None:
    office = Office()
    office.put((1, "a"), (2, "b"))
    office.put((3, "a"), (4, "c"), (5, "a"), (6, ""))
    assert all_rows(office.sent) == [[1, 2], [4, 6]]
    office.answer()
    assert all_rows(office.sent) == [[4, 6], [3, 5]]


def test_a_stream_that_stands_still_does_not_hold_up_others_far_behind() -> None:
    office = Office()
    office.put((1, "a"))
    office.put(*((row, "a") for row in range(2, 3000)), (3000, "b"))
    assert all_rows(office.sent) == [[1], [3000]]


def test_a_refused_record_comes_again_after_pauses_and_is_set_aside_the_fifth_time() -> None:
    office = Office()
    office.put(1, 2, 3)
    office.answer(refused={1: "no such sensor"})
    assert office.delivered == [1, 3]
    assert not office.sent
    pauses = []
    for _ in range(4):
        assert not office.quarantined
        due_at = office.courier.deadline()
        assert due_at is not None
        pauses.append(due_at - office.now)
        office.wait(due_at - office.now)
        assert rows(office.sent[0]) == [2]
        office.answer(refused={0: "no such sensor"})
    assert office.quarantined == {2: "no such sensor"}
    assert pauses[0] < pauses[1] < pauses[3] < 2
    assert office.courier.deadline() is None


def test_others_flow_while_a_refused_record_waits() -> None:
    office = Office()
    office.put(1)
    office.answer(refused={0: "no"})
    office.put(2)
    assert all_rows(office.sent) == [[2]]


def test_a_stream_waits_for_its_refused_record_and_goes_on_when_that_is_set_aside() -> None:
    office = Office()
    office.put((1, "a"), (2, "a"), (3, "a"))
    office.put((4, "a"))
    office.answer(refused={1: "no"}, left=[2])  # an inbox stores no record of a stream behind a refused one
    assert office.delivered == [1]
    for _ in range(4):
        office.wait(5.0)
        assert all_rows(office.sent) == [[2, 3]]
        office.answer(refused={0: "no"}, left=[1])
    assert office.quarantined == {2: "no"}
    office.wait(5.0)
    assert all_rows(office.sent) == [[3]]
    office.answer()
    assert all_rows(office.sent) == [[4]]


def take_all_but(culprit: int, office: Office) -> None:
    """Refuse each parcel with this row as a whole, and take the others, until nothing comes any more."""
    for _ in range(500):
        if not office.sent:
            office.wait(5.0)
        if not office.sent:
            break
        if culprit in rows(office.sent[0]):
            office.fail(Failure.INVALID)
        else:
            office.answer()


def test_a_parcel_that_is_refused_as_a_whole_is_halved_until_the_culprit_is_alone() -> None:
    office = Office()
    office.put(*range(1, 9))
    take_all_but(6, office)
    assert sorted(office.delivered) == [1, 2, 3, 4, 5, 7, 8]
    assert office.quarantined == {6: "a reason"}


def test_halves_of_a_stream_go_one_after_the_other() -> None:
    office = Office()
    office.put(*((row, "a") for row in range(1, 5)))
    office.fail(Failure.INVALID)
    assert all_rows(office.sent) == [[1, 2]]
    office.put((5, "a"))
    assert all_rows(office.sent) == [[1, 2]]
    office.fail(Failure.INVALID)
    assert all_rows(office.sent) == [[1]]
    office.answer()
    assert all_rows(office.sent) == [[2]]
    office.answer()
    assert all_rows(office.sent) == [[3, 4]]
    office.answer()
    assert all_rows(office.sent) == [[5]]


def test_a_parcel_of_unknown_outcome_goes_to_the_same_warehouse_and_later_to_any() -> None:
    office = Office()
    office.put(1)
    office.fail(Failure.UNKNOWN, "w1")
    assert [(rows(send), send.peer) for send in office.sent] == [([1], "w1")]
    assert office.sent[0].within_s == pytest.approx(limits.STICKY_S)
    office.now += limits.STICKY_S
    office.fail(Failure.NOBODY)
    assert [(rows(send), send.peer) for send in office.sent] == [([1], "")]


def test_others_do_not_wait_for_the_warehouse_that_may_have_a_parcel() -> None:
    office = Office(window=1)
    office.put(1)
    office.fail(Failure.UNKNOWN, "w1")
    office.put(2)
    assert [(rows(send), send.peer) for send in office.sent] == [([1], "w1"), ([2], "")]


def test_a_warehouse_that_cannot_now_is_asked_again_after_pauses() -> None:
    office = Office()
    office.put(1)
    office.fail(Failure.UNKNOWN, "w1")
    office.fail(Failure.NOT_NOW)
    assert not office.sent
    office.wait(1.0)
    assert [(rows(send), send.peer) for send in office.sent] == [([1], "w1")]


def test_a_parcel_of_unknown_outcome_is_halved_the_second_time() -> None:
    office = Office()
    office.put(1, 2)
    office.fail(Failure.UNKNOWN, "w1")
    office.fail(Failure.UNKNOWN, "w1")
    office.wait(1.0)
    assert [(rows(send), send.peer) for send in office.sent] == [([1], "w1"), ([2], "w1")]


def test_parcels_become_smaller_where_they_take_too_long_and_larger_again() -> None:
    office = Office(window=1)
    office.put(*range(1, 3001))
    office.fail(Failure.UNKNOWN, "w1")
    office.answer(at=1)
    assert len(office.sent[-1].letters) == 1000
    office = Office(window=1)
    office.put(*range(1, 3001))
    office.fail(Failure.UNKNOWN, "w1")
    assert [len(send.letters) for send in office.sent] == [1000, 500]


def test_while_nobody_is_there_one_parcel_tries_and_the_first_answer_lets_all_go() -> None:
    office = Office(window=3)
    office.put(*range(1, 6001))
    office.now += 10.0
    for _ in range(3):
        office.fail(Failure.NOBODY)
    assert office.courier.away
    assert len(office.sent) == 1, "who has waited for somebody in vain goes on with that without a pause"
    office.answer()
    assert not office.courier.away
    assert len(office.sent) == 3


def test_pauses_grow_while_nothing_is_taken_and_begin_anew_after_an_answer() -> None:
    office = Office(window=2)
    office.put(*range(1, 3001))
    pauses = []
    for _ in range(12):
        office.fail(Failure.NOT_NOW)
        if office.sent:
            office.fail(Failure.NOT_NOW)  # the other one that was in flight counts no second time
        due_at = office.courier.deadline()
        assert due_at is not None
        pauses.append(due_at - office.now)
        office.wait(due_at - office.now)
        assert len(office.sent) == 1
    assert pauses[0] <= limits.PAUSE_MIN_S
    assert limits.PAUSE_MAX_S / 2 <= pauses[-1] <= limits.PAUSE_MAX_S
    office.answer()
    office.fail(Failure.NOT_NOW)
    due_at = office.courier.deadline()
    assert due_at is not None
    assert due_at - office.now <= limits.PAUSE_MIN_S


def test_a_refusal_at_once_by_nobody_is_followed_by_a_pause() -> None:
    office = Office()
    office.put(1)
    office.fail(Failure.NOBODY)
    assert not office.sent
    office.wait(limits.PAUSE_MIN_S)
    assert len(office.sent) == 1


def test_live_records_go_before_backlog_also_after_an_outage() -> None:
    office = Office(window=1, live_first=True)
    office.put(*range(1, 2001))
    office.put(2001, (2002, "a"))
    office.answer()
    assert all_rows(office.sent) == [[2001]]
    office.answer()
    assert rows(office.sent[0])[0] == 1001
    assert 2002 not in rows(office.sent[0]), "a stream keeps its order, and goes with the backlog"
    office.now += 10.0
    office.fail(Failure.NOBODY)
    office.put(*range(3000, 5000))  # live no more when somebody is back
    office.answer()
    office.put(6000)
    assert rows(office.sent[0])[0] == 2002
    office.answer()
    assert all_rows(office.sent) == [[6000]]
    while office.sent:
        office.answer()
    assert not office.store
    assert sorted(office.delivered) == [*range(1, 2003), *range(3000, 5000), 6000]


def test_a_few_live_records_go_before_a_full_parcel_of_backlog() -> None:
    office = Office(window=3, live_first=True)
    office.put(*range(1, 10_001))
    office.put(10_001)
    office.answer()
    assert rows(office.sent[-1]) == [10_001]


def test_what_is_held_is_bounded_however_large_the_backlog_is() -> None:
    office = Office(window=2)
    office.put(*range(1, 30_001))
    assert office.courier.held <= limits.HELD_MAX * 2 * limits.RECORDS_MAX
    for _ in range(50):
        office.now += 10.0
        office.fail(Failure.NOBODY)
        assert office.courier.held <= limits.HELD_MAX * 2 * limits.RECORDS_MAX
    while office.sent:
        office.answer()
    assert len(office.delivered) == 30_000


def test_held_octets_are_bounded_too() -> None:
    office = Office(window=1)
    office.put(*range(1, 100), octets=1 << 19)
    assert office.courier.held * (1 << 19) < (limits.HELD_MAX + 2000) * limits.OCTETS_MAX


def test_a_record_that_is_ready_again_behind_the_newest_is_found() -> None:
    office = Office()
    office.put(5)
    office.answer()
    office.put(1)  # an operator has replayed it
    office.wait(limits.REWIND_S)
    assert all_rows(office.sent) == [[1]]


def test_it_is_found_in_time_while_others_keep_coming() -> None:
    office = Office(window=2)
    office.put(10)
    office.put(1)
    assert all_rows(office.sent) == [[10]]
    for row in range(11, 20):
        office.now += limits.REWIND_S / 5
        office.put(row)
        office.answer()
    assert 1 in office.delivered


def test_a_look_from_the_beginning_takes_nothing_twice() -> None:
    office = Office()
    office.put(1, 2)
    office.now += limits.REWIND_S
    office.put(3)
    assert all_rows(office.sent) == [[1, 2], [3]]


def test_positions_that_are_not_in_the_parcel_do_no_harm() -> None:
    office = Office()
    office.put(1, 2)
    parcel = office.take().parcel
    office.feed(Answered(parcel, [(0, 99)], {7: "what?"}))
    assert office.delivered == [1, 2]


def test_records_that_were_put_together_travel_together() -> None:
    office = Office(together=250)
    office.put(*range(250, 1750))
    assert [[letter.records for letter in send.letters] for send in office.sent] == [[250] * 4, [250] * 2]
    assert office.courier.in_flight == office.courier.held == 1500
    office.answer()
    assert office.delivered == list(range(250, 1250))
    office.answer()
    assert office.delivered == list(range(250, 1750))
    assert office.courier.held == 0


def test_a_bundle_is_cut_where_parts_of_it_are_refused_or_left() -> None:
    office = Office(together=10)
    office.put(*((row, "a") for row in range(10, 20)))
    office.answer(refused={3: "no"}, left=[4, 5, 9])
    assert office.delivered == [10, 11, 12, 16, 17, 18]
    office.wait(5.0)
    assert [(letter.row, letter.records) for letter in office.sent[0].letters] == [(13, 3), (19, 1)]
    assert office.sent[0].letters[0] == letter(13, "a", 3)
    for _ in range(4):
        office.answer(refused={0: "no"}, left=[1, 2, 3])
        office.wait(5.0)
    assert office.quarantined == {13: "no"}
    assert all_rows(office.sent) == [[14, 15, 19]]
    office.answer()
    assert office.courier.held == 0
    assert not office.store


def test_a_bundle_is_halved_until_the_culprit_is_alone() -> None:
    office = Office(together=100)
    office.put(*range(1, 10))
    take_all_but(6, office)
    assert sorted(office.delivered) == [1, 2, 3, 4, 5, 7, 8, 9]
    assert office.quarantined == {6: "a reason"}
    assert office.courier.held == 0


def test_a_bundle_is_cut_where_parcels_have_become_smaller() -> None:
    office = Office(window=1, together=1000)
    office.put(*range(1000, 2700))
    office.fail(Failure.UNKNOWN, "w1")
    assert all_rows(office.sent) == [[*range(1000, 2000)], [*range(2000, 2500)]]
    while office.sent:
        office.answer()
    assert sorted(office.delivered) == list(range(1000, 2700))


def test_a_look_from_the_beginning_takes_of_a_bundle_what_is_not_held() -> None:
    office = Office(together=10)
    office.put(*range(13, 17))
    office.now += limits.REWIND_S
    office.put(*range(11, 19))
    assert [[letter.row for letter in send.letters] for send in office.sent] == [[13], [11, 17]]
    assert all_rows(office.sent) == [[13, 14, 15, 16], [11, 12, 17, 18]]
