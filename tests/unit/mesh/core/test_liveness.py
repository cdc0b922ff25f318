"""The table of a connection's states: complete, and without a trap."""

from __future__ import annotations

import itertools

import pytest

from mesh.core.liveness import TRANSITIONS, Sign, State, next_state


@pytest.mark.parametrize(("state", "sign"), list(itertools.product(State, Sign)))
def test_every_state_has_a_row_for_every_sign(state: State, sign: Sign) -> None:
    assert next_state(state, sign) is TRANSITIONS[state, sign]


def test_the_table_has_no_other_rows() -> None:
    assert set(TRANSITIONS) == set(itertools.product(State, Sign))


@pytest.mark.parametrize("state", [state for state in State if state is not State.GONE])
def test_a_sign_of_life_makes_every_connection_alive(state: State) -> None:
    assert next_state(state, Sign.LIFE) is State.ALIVE


@pytest.mark.parametrize("state", list(State))
def test_a_lost_link_ends_every_connection(state: State) -> None:
    assert next_state(state, Sign.LINK_DOWN) is State.GONE


@pytest.mark.parametrize("sign", list(Sign))
def test_what_is_gone_stays_gone(sign: Sign) -> None:
    assert next_state(State.GONE, sign) is State.GONE


@pytest.mark.parametrize("state", [State.ALIVE, State.SUSPECT, State.DEAD])
def test_a_proven_connection_survives_silence_while_its_link_is_up(state: State) -> None:
    assert {next_state(state, sign) for sign in (Sign.UNANSWERED, Sign.MISSES)} <= {State.SUSPECT, State.DEAD}


@pytest.mark.parametrize("state", [State.CONNECTING, State.PROVING])
def test_an_unproven_connection_ends_when_nothing_comes(state: State) -> None:
    assert next_state(state, Sign.MISSES) is State.GONE


def test_a_handshake_proves_nothing() -> None:
    assert next_state(State.CONNECTING, Sign.LINK_UP) is State.PROVING
