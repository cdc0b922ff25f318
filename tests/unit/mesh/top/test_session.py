"""A session: what comes is shown, keys are obeyed, and whatever goes wrong ends it with the terminal given back."""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from mesh.top import session
from mesh.top.board import Board, Screen
from mesh.top.columns import Order
from mesh.top.controls import Ask
from mesh.top.probe import Probe
from mesh.top.session import Session
from tests.helpers.top import snapshot, view

OPTIONS = argparse.Namespace(realm="lab", fields=(), order=Order(), filter="")


class Terminal:
    """Stands for the terminal: has what was shown, and its user's hands."""

    def __init__(self, console: object, on_keys: Callable[[str], None], on_redraw: Callable[[], None]) -> None:
        self.press = on_keys
        self.shown: list[Any] = []
        self.given_back = False
        terminals.append(self)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *error: object) -> None:
        self.given_back = True

    def show(self, picture: Any) -> None:
        self.shown.append(picture)


terminals: list[Terminal] = []


class Asked:
    """Stands for the probe: notes what it is asked."""

    def __init__(self) -> None:
        self.asks: list[Ask] = []

    async def act(self, ask: Ask) -> str:
        self.asks.append(ask)
        return "done"


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminals.clear()
    monkeypatch.setattr(session, "Terminal", Terminal)


async def _screens(*steps: Callable[[], None]) -> AsyncIterator[Screen]:
    """Yield one screen, and another after each step."""
    board = Board()
    yield board.update(snapshot(0, view()))
    for at, step in enumerate(steps, start=1):
        await asyncio.sleep(0)
        step()
        await asyncio.sleep(0)
        yield board.update(snapshot(at, view()))


def run(*steps: Callable[[], None], probe: object = None) -> Terminal:
    asyncio.run(Session(cast("Probe", probe), OPTIONS).run(_screens(*steps)))
    [terminal] = terminals
    assert terminal.given_back
    return terminal


def press(keys: str) -> Callable[[], None]:
    return lambda: terminals[0].press(keys)


def test_it_ends_when_there_is_no_more_to_show() -> None:
    assert [picture._screen.clock for picture in run(press("j"), press("k")).shown][-1] == "10:00:02"


@pytest.mark.parametrize("keys", ["q", "jq", ""])
def test_it_ends_when_somebody_quits_or_the_terminal_is_gone(keys: str) -> None:
    assert run(press(keys), *[press("p")] * 9).shown[-1]._screen.clock < "10:00:05"


def test_while_it_is_paused_it_shows_what_was_there() -> None:
    pictures = run(press("p"), press("j"), press("j")).shown
    assert {picture._screen.clock for picture in pictures} == {"10:00:00"}
    assert pictures[-1]._controls.selected == "id-1"


def test_what_is_to_be_asked_is_asked_and_the_answer_shown() -> None:
    probe = Asked()
    pictures = run(press("jP"), press("\x0c"), press("\x0c"), probe=probe).shown
    assert probe.asks == [Ask("ping", "id-1", "calc-1")]
    assert pictures[-1]._controls.message == "done"


def test_an_error_on_the_way_ends_it() -> None:
    def fail() -> None:
        raise KeyError("oops")

    with pytest.raises(KeyError, match="oops"):
        run(press("j"), fail)
    assert terminals[0].given_back


def test_an_error_in_drawing_after_a_key_ends_it() -> None:
    def break_it() -> None:
        setattr(terminals[0], "show", None)  # noqa: B010
        terminals[0].press("j")

    with pytest.raises(TypeError):
        run(break_it, *[press("k")] * 9)
    assert terminals[0].given_back
