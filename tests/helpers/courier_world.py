"""A courier, its store and some warehouses in virtual time: answers are lost and late, and everything dies."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mesh.spool.courier import STICKY_S, Courier
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

__all__ = ["CourierWorld", "FakeWarehouse", "Faults"]

_LOOK_S = 0.1
_TOGETHER = 7
"""Most records that were put together."""


@dataclass(frozen=True)
class Faults:
    """What goes wrong, as probabilities of each call, and of each second."""

    lost: float = 0.0
    """The answer is lost."""
    refused: float = 0.0
    """The warehouse cannot now."""
    invalid: float = 0.0
    """The batch fails as a whole, for no reason that lies in it."""
    dies: float = 0.0
    """A warehouse goes away, each second; and comes back after some."""
    restarts: float = 0.0
    """The courier's process dies and comes back, each second."""
    delay_s: float = 0.05
    """Longest time of a message."""


@dataclass
class FakeWarehouse:
    """Stores what it does not know yet, in order."""

    name: str
    stored: dict[int, None] = field(default_factory=dict)
    away_until: float = 0.0

    def take(self, letters: Sequence[Letter], poison: set[int]) -> tuple[list[tuple[int, int]], dict[int, str]]:
        """Do what an inbox does."""
        records = [letter.part(row, row) for letter in letters for row in range(letter.row, letter.last + 1)]
        durable: list[tuple[int, int]] = []
        refused: dict[int, str] = {}
        held_up: set[str] = set()
        for position, record in enumerate(records):
            if record.row in self.stored:
                durable.append((position, position))
            elif record.stream in held_up:
                continue
            elif record.row in poison:
                refused[position] = "poison"
                if record.stream:
                    held_up.add(record.stream)
            else:
                self.stored[record.row] = None
                durable.append((position, position))
        return durable, refused


class CourierWorld:
    """Everything; `run` lets time pass.

    Args:
        seed: Draws what happens.
        faults: What may happen.
        warehouses: How many there are.
        window: Of the courier.
        live_first: Of the courier.
    """

    def __init__(
        self, seed: int, faults: Faults, *, warehouses: int = 1, window: int = 4, live_first: bool = False
    ) -> None:
        self.rng = random.Random(seed)
        self.faults = faults
        self.now = 0.0
        self.store: dict[int, Letter] = {}
        self.streams: dict[int, str] = {}
        """Stream of every letter that ever was."""
        self.poison: set[int] = set()
        self.quarantined: dict[int, str] = {}
        self.warehouses = [FakeWarehouse(f"w{number}") for number in range(warehouses)]
        self.restarts = 0
        self.most_held = 0
        self._settings = (window, live_first)
        self._numbers = itertools.count(1)
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()
        self.courier = self._new_courier()
        self._later(1.0, self._fate)

    def put(self, count: int, streams: int = 0, poison: float = 0.0) -> None:
        """Put letters, each without a stream or in one of some, and let some of them be invalid."""
        for row in itertools.islice(self._numbers, count):
            number = self.rng.randint(0, streams)
            self.streams[row] = stream = f"s{number}" if number else ""
            self.store[row] = letter(row, stream)
            if self.rng.random() < poison:
                self.poison.add(row)
        self._feed(Put())

    def run(self, seconds: float) -> None:
        """Let time pass."""
        until = self.now + seconds
        while True:
            due_at = self.courier.deadline()
            next_at = self._agenda[0][0] if self._agenda else until
            if due_at is not None and due_at <= min(next_at, until):
                self.now = max(self.now, due_at)
                self._feed(Tick())
            elif self._agenda and next_at <= until:
                self.now, _, happen = heapq.heappop(self._agenda)
                happen()
            else:
                break
        self.now = until

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.faults = Faults()
        for warehouse in self.warehouses:
            warehouse.away_until = 0.0

    def _later(self, seconds: float, happen: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, next(self._order), happen))

    def _new_courier(self) -> Courier:
        window, live_first = self._settings
        return Courier(random.Random(self.rng.random()), window=window, live_first=live_first)

    def _fate(self) -> None:
        """Decide who dies in this second."""
        for warehouse in self.warehouses:
            if self.rng.random() < self.faults.dies:
                warehouse.away_until = self.now + self.rng.uniform(0, 2 * STICKY_S)
        if self.rng.random() < self.faults.restarts:
            self.restarts += 1
            self.courier = self._new_courier()
            self._feed(Put())
        self._later(1.0, self._fate)

    def _feed(self, event: Event) -> None:
        events = [event]
        while events:
            for action in self.courier.handle(events.pop(0), self.now):
                match action:
                    case Fetch():
                        rows = sorted(row for row in self.store if row > action.after)[: action.limit]
                        letters = joined((self.store[row] for row in rows), _TOGETHER)
                        events.append(Fetched(letters, not rows, action.live))
                    case AskNewest():
                        events.append(Newest(max(self.store, default=0)))
                    case Send():
                        self._arrive(self.courier, action, self.now + action.within_s)
                    case Settle():
                        self._settle(action)
        self.most_held = max(self.most_held, self.courier.held)

    def _settle(self, settle: Settle) -> None:
        for row in (row for first, last in settle.delivered for row in range(first, last + 1)):
            assert any(row in warehouse.stored for warehouse in self.warehouses), f"{row} is nowhere"
            self.store.pop(row, None)
        for row, reason in settle.quarantined.items():
            if self.store.pop(row, None):
                self.quarantined[row] = reason

    def _arrive(self, courier: Courier, send: Send, until: float) -> None:
        """Bring a parcel to a warehouse that is there; look again later if there is none."""
        there = [one for one in self.warehouses if one.away_until <= self.now and send.peer in ("", one.name)]
        if there:
            one = self.rng.choice(there)
            self._later(self.rng.uniform(0, self.faults.delay_s), lambda: self._process(courier, send, one))
        elif self.now + _LOOK_S < until:
            self._later(_LOOK_S, lambda: self._arrive(courier, send, until))
        else:
            self._later(until - self.now, lambda: self._answer(courier, Failed(send.parcel, Failure.NOBODY, "nobody")))

    def _process(self, courier: Courier, send: Send, warehouse: FakeWarehouse) -> None:
        event: Event
        chance = self.rng.random
        if warehouse.away_until > self.now:
            event = Failed(send.parcel, Failure.UNKNOWN, "lost", warehouse.name)
        elif chance() < self.faults.refused:
            event = Failed(send.parcel, Failure.NOT_NOW, "not now")
        elif chance() < self.faults.invalid:
            event = Failed(send.parcel, Failure.INVALID, "a bug")
        else:
            event = Answered(send.parcel, *warehouse.take(send.letters, self.poison))
            if chance() < self.faults.lost:
                event = Failed(send.parcel, Failure.UNKNOWN, "lost", warehouse.name)
        self._later(self.rng.uniform(0, self.faults.delay_s), lambda: self._answer(courier, event))

    def _answer(self, courier: Courier, event: Event) -> None:
        if courier is self.courier:  # the answer to a process that has died reaches nobody
            self._feed(event)
