"""What is held against calls that ran when workers died."""

from __future__ import annotations

from mesh.workers.events import Running
from mesh.workers.suspects import Suspects


def ran(*marks: str) -> list[Running]:
    return [Running(mark, f"calc.{mark}") for mark in marks]


def test_a_call_that_was_alone_at_its_last_death_is_condemned() -> None:
    suspects = Suspects(3, 600.0)
    assert suspects.died(ran("a", "b"), 0.0)[1] == []
    changed, _ = suspects.died(ran("a", "c"), 1.0)
    assert [(doubt.mark, doubt.deaths, doubt.alone) for doubt in changed] == [("a", 2, True), ("c", 1, False)]
    _, [condemned] = suspects.died(ran("a"), 2.0)
    assert (condemned.mark, condemned.method, condemned.deaths) == ("a", "calc.a", 3)
    assert condemned.quarantined_s == 600.0


def test_a_call_that_was_not_alone_is_condemned_only_after_twice_as_many() -> None:
    suspects = Suspects(3, 600.0)
    for death in range(5):
        assert suspects.died(ran("a", f"other-{death}"), 0.0)[1] == []
    assert [doubt.mark for doubt in suspects.died(ran("a", "other"), 0.0)[1]] == ["a"]


def test_calls_with_the_same_content_count_as_one() -> None:
    suspects = Suspects(2, 600.0)
    suspects.died(ran("a", "a"), 0.0)
    _, condemned = suspects.died(ran("a", "a"), 0.0)
    assert [doubt.deaths for doubt in condemned] == [2]


def test_a_call_that_ends_well_is_cleared_and_begins_anew() -> None:
    suspects = Suspects(2, 600.0)
    suspects.died(ran("a"), 0.0)
    cleared = suspects.clear("a")
    assert cleared is not None
    assert cleared.deaths == 0
    assert suspects.clear("a") is None
    assert suspects.died(ran("a"), 0.0)[1] == []


def test_a_condemned_call_is_not_cleared_by_one_that_was_on_its_way() -> None:
    suspects = Suspects(2, 600.0)
    suspects.died(ran("a"), 0.0)
    suspects.died(ran("a"), 0.0)
    assert suspects.clear("a") is None
    assert len(suspects) == 1


def test_everything_is_forgotten_in_time() -> None:
    suspects = Suspects(2, 600.0)
    suspects.died(ran("a"), 0.0)
    suspects.died(ran("b"), 10.0)
    assert suspects.deadline() == 600.0
    assert [doubt.mark for doubt in suspects.expire(600.0)] == ["a"]
    assert [doubt.mark for doubt in suspects.doubts(605.0)] == ["b"]
    assert [doubt.mark for doubt in suspects.lift()] == ["b"]
    assert suspects.deadline() is None


def test_the_table_is_bounded_and_keeps_the_condemned() -> None:
    suspects = Suspects(2, 600.0, records_max=3)
    suspects.died(ran("poison"), 0.0)
    suspects.died(ran("poison"), 0.0)
    suspects.died(ran(*"abcdefgh"), 1.0)
    assert [doubt.mark for doubt in suspects.doubts(1.0)] == ["poison", "g", "h"]
