"""What stands around calls and handlers where a program wants it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from mesh.core.calls import PendingCall
from mesh.instruments import install_calls, install_runner, instrumented_call, instrumented_runner


class Instrument:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begins(self, call: PendingCall) -> None:
        self.told.append("begins")

    def sent(self, call: PendingCall, metadata: dict[str, str] | None) -> dict[str, str] | None:
        return metadata

    def finished(self, call: PendingCall, now: float) -> None:
        self.told.append("finished")

    def abandoned(self, call: PendingCall, now: float) -> None:
        self.told.append("abandoned")


@pytest.fixture
def instrument() -> Iterator[Instrument]:
    instrument = Instrument()
    end = install_calls(instrument)
    yield instrument
    end()


@pytest.fixture
def call() -> PendingCall:
    return PendingCall("calc.add", b"", 0, 0.0, 1.0)


def test_an_instrument_observes_the_client_and_sees_the_call_first(instrument: Instrument, call: PendingCall) -> None:
    observers: list[object] = []
    make = instrumented_call(lambda call: instrument.told.append("made"), observers.append)
    make(call)
    assert observers == [instrument]
    assert instrument.told == ["begins", "made"]


def test_a_call_that_a_closed_client_ends_by_itself_has_ended(instrument: Instrument, call: PendingCall) -> None:
    def refuse(call: PendingCall) -> None:
        call.done = True

    instrumented_call(refuse, lambda observer: None)(call)
    assert instrument.told == ["begins", "finished"]


def test_a_call_that_was_never_made_is_given_up(instrument: Instrument, call: PendingCall) -> None:
    def refuse(call: PendingCall) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        instrumented_call(refuse, lambda observer: None)(call)
    assert instrument.told == ["begins", "abandoned"]


def test_runners_stand_around_each_other_until_they_are_taken_out() -> None:
    def around(runner: Any) -> Any:
        return [runner]

    runner: Any = "runner"
    ends = [install_runner(around), install_runner(around)]
    twice: Any = instrumented_runner(runner)
    for end in ends:
        end()
    assert twice == [["runner"]]
    assert instrumented_runner(runner) is runner
