"""One connection's state, as a table.

A *connection* is one dial of one address of one server. It proves itself by an answered PING; a record on the
network, a completed TCP handshake, even a completed ZMTP handshake prove nothing (a stopped process gets CONNECTED
from its kernel). Any message from the server is a sign of life. A PING that stays unanswered makes a *suspect*: it
gets no new calls while anybody better is there, and is asked again. After `misses_max` of them it is *dead*: it gets no
calls at all, and those it holds move. Its link stays up as long as the transport believes in it: a server that
blocked its loop for a while and answers again is alive at once. Only a lost link ends a connection; ids are never
reused.

    connecting --link up--> proving --sign of life--> alive <--sign of life-- suspect --misses--> dead
                                                        +------unanswered------^  dead --sign of life--> alive
    any --link down--> gone
"""

from __future__ import annotations

import enum

__all__ = ["TRANSITIONS", "Sign", "State", "next_state"]


class State(enum.Enum):
    """Where a connection stands."""

    CONNECTING = "connecting"
    PROVING = "proving"
    ALIVE = "alive"
    SUSPECT = "suspect"
    DEAD = "dead"
    GONE = "gone"


class Sign(enum.Enum):
    """What was seen of it."""

    LINK_UP = "link up"
    LIFE = "sign of life"
    UNANSWERED = "ping unanswered"
    MISSES = "too many unanswered"
    LINK_DOWN = "link down"


_C, _P, _A, _S, _D, _G = State.CONNECTING, State.PROVING, State.ALIVE, State.SUSPECT, State.DEAD, State.GONE

TRANSITIONS: dict[tuple[State, Sign], State] = {
    (_C, Sign.LINK_UP): _P,
    (_C, Sign.LIFE): _A,  # the monitor's event may come after the first message
    (_C, Sign.UNANSWERED): _C,
    (_C, Sign.MISSES): _G,  # the dial timed out
    (_C, Sign.LINK_DOWN): _G,
    (_P, Sign.LINK_UP): _P,
    (_P, Sign.LIFE): _A,
    (_P, Sign.UNANSWERED): _P,
    (
        _P,
        Sign.MISSES,
    ): _G,  # it connected and never answered: dial again, somewhere else if there is another address
    (_P, Sign.LINK_DOWN): _G,
    (_A, Sign.LINK_UP): _A,
    (_A, Sign.LIFE): _A,
    (_A, Sign.UNANSWERED): _S,
    (_A, Sign.MISSES): _D,
    (_A, Sign.LINK_DOWN): _G,
    (_S, Sign.LINK_UP): _S,
    (_S, Sign.LIFE): _A,
    (_S, Sign.UNANSWERED): _S,
    (_S, Sign.MISSES): _D,
    (_S, Sign.LINK_DOWN): _G,
    (_D, Sign.LINK_UP): _D,
    (_D, Sign.LIFE): _A,
    (_D, Sign.UNANSWERED): _D,
    (_D, Sign.MISSES): _D,
    (_D, Sign.LINK_DOWN): _G,
    (_G, Sign.LINK_UP): _G,
    (_G, Sign.LIFE): _G,
    (_G, Sign.UNANSWERED): _G,
    (_G, Sign.MISSES): _G,
    (_G, Sign.LINK_DOWN): _G,
}
"""Every state has a row for every sign, even where it says "nothing changes"."""


def next_state(state: State, sign: Sign) -> State:
    """Return the state that follows."""
    return TRANSITIONS[state, sign]
