"""Asking all workers how they do."""

from __future__ import annotations

import select
import threading
from collections.abc import Iterator

import msgspec
import pytest

from mesh.core.figures import ServerFigures
from mesh.workers import survey as surveys
from mesh.workers.survey import Survey
from tests.helpers import PATIENCE_S
from tests.unit.mesh.metrics.test_server import FIGURES


class Asker:
    """A thread that asks, and what it was told."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()
        self.names: list[str] = []
        self.silent: list[str] = []

    def _ask(self) -> None:
        figures, silent = self._survey.ask()
        self.names, self.silent = [told.name for told in figures], silent

    def told(self) -> tuple[list[str], list[str]]:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        return self.names, self.silent


def named(name: str) -> ServerFigures:
    return msgspec.structs.replace(FIGURES, name=name)


@pytest.fixture
def survey() -> Iterator[Survey]:
    survey = Survey()
    yield survey
    survey.close()


def begun(survey: Survey, workers: dict[int, str]) -> int:
    """Wait until somebody asks, as the supervisor does, and have the workers answer."""
    assert select.select([survey.descriptor], [], [], PATIENCE_S)[0]
    return survey.begin(workers)


def test_whoever_asks_gets_the_answers_of_all(survey: Survey) -> None:
    asker = Asker(survey)
    number = begun(survey, {1: "w-1", 2: "w-2"})
    survey.answered(2, number, named("w-2"))
    survey.answered(1, number, named("w-1"))
    assert asker.told() == (["w-2", "w-1"], [])


def test_who_died_is_not_waited_for(survey: Survey) -> None:
    asker = Asker(survey)
    number = begun(survey, {1: "w-1", 2: "w-2"})
    survey.died(2)
    survey.answered(1, number, named("w-1"))
    assert asker.told() == (["w-1"], [])


def test_who_does_not_answer_in_time_is_named(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "_ANSWER_S", 0.3)
    asker = Asker(survey)
    begun(survey, {1: "w-1"})
    assert asker.told() == ([], ["w-1"])


def test_an_answer_to_an_earlier_question_does_not_count(survey: Survey, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(surveys, "_ANSWER_S", 0.3)
    first = Asker(survey)
    number = begun(survey, {1: "w-1"})
    first.told()
    second = Asker(survey)
    begun(survey, {1: "w-1"})
    survey.answered(1, number, named("old"))
    assert second.told() == ([], ["w-1"])


def test_without_workers_there_is_nothing_to_wait_for(survey: Survey) -> None:
    asker = Asker(survey)
    begun(survey, {})
    assert asker.told() == ([], [])


def test_nobody_waits_for_a_supervisor_that_has_ended() -> None:
    survey = Survey()
    asker = Asker(survey)
    survey.close()
    assert asker.told() == ([], [])
    assert survey.ask() == ([], [])
