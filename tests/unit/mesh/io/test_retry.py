"""Trying again at the edges."""

from __future__ import annotations

import pytest

from mesh.io.retry import retrying


class _Busy(Exception):
    pass


def test_it_tries_until_it_works_and_pauses_longer_each_time() -> None:
    pauses: list[float] = []
    outcomes: list[Exception | str] = [_Busy(), _Busy(), _Busy(), "done"]

    def attempt() -> str:
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    assert retrying(attempt, on=_Busy, pause_s=0.5, sleep=pauses.append) == "done"
    assert [pytest.approx(pause, abs=0.25) for pause in (0.75, 1.25, 1.25)] == pauses


def test_the_last_error_goes_to_the_caller() -> None:
    pauses: list[float] = []
    raised: list[_Busy] = []

    def attempt() -> None:
        raised.append(_Busy(len(raised)))
        raise raised[-1]

    with pytest.raises(_Busy) as caught:
        retrying(attempt, on=_Busy, attempts_max=3, sleep=pauses.append)
    assert caught.value is raised[-1]
    assert len(raised) == 3
    assert len(pauses) == 2


def test_an_error_that_time_does_not_mend_is_not_tried_again() -> None:
    def attempt() -> None:
        raise KeyError("no")

    with pytest.raises(KeyError):
        retrying(attempt, on=_Busy, sleep=lambda pause: pytest.fail("it paused"))
